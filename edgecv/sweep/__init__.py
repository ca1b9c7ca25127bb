"""A grid of builds: what its cells are, who builds them, and in which order."""
