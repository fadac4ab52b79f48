"""Drawings of PersonLab's fields and decoding."""
