"""Drawings of maps and of how people are assembled from them."""
