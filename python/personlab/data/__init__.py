"""Images with people whose keypoints and masks are known: what training and evaluation read."""
