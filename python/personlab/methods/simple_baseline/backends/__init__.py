"""The backends of the top-down method: `cpu`, the compiled core, and `reference`, float64 NumPy; they compute only."""
