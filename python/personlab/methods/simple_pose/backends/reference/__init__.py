"""The stages of Simple Pose in plain float64 NumPy, written for reading: what compiled stages have to equal."""
