"""The backends of Simple Pose: `cpu`, the compiled core, and `reference`, float64 NumPy; they compute, not check."""
