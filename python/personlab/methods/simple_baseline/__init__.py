"""Simple Baselines (Xiao, Wu, Wei, ECCV 2018): poses from heatmaps of one person at a time, cut out by boxes."""
