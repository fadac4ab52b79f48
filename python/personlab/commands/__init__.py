"""One file for each command of the command line: its arguments, then what it does."""
