"""The operations that formulas of features are written in."""
