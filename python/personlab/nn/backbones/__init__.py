"""Backbones that any method's network stands on."""
