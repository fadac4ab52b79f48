"""The backends of the stages of Simple Pose."""
