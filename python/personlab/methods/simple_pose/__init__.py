"""Simple Pose: people from maps of keypoints and of body parts between them (Li, Su, Wang, AAAI 2020)."""
