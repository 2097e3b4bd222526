"""The task language: `parsing` reads a script into a `tree` once, the interpreter runs it many times, `machine` drives
runs."""
