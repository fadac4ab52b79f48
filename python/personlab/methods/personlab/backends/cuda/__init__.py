"""Stages on an NVIDIA GPU."""
