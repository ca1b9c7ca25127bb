"""A search over a grid: which of its cells to build next, and which not to finish."""
