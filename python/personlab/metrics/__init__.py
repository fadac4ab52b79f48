"""Metrics of results: average precision, its uncertainty, and the reliability of scores."""
