"""The report of a rehearsal: one HTML page with pictures, and the numbers behind them as CSV."""
