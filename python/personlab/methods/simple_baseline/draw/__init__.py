"""Drawings of heatmaps and of what decoding makes of them."""
