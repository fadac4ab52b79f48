"""Shards: files that hold many images with their annotations each, for training from millions of images."""
