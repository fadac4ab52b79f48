"""Metrics of results: average precision and its uncertainty, reliability of scores, PCKh, and tracks of joints."""
