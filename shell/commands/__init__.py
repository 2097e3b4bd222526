"""What the verbs do: one module for each group, imported only when one of its verbs is asked for."""
