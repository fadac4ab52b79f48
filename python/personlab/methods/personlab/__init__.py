"""PersonLab: Hough voting, greedy grouping, mask association."""
