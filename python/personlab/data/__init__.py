"""Annotated images: people with their keypoints and masks, for training and evaluation."""
