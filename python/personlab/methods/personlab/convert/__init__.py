"""Published PersonLab networks as checkpoints."""
