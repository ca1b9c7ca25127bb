"""What leaves the house: a run's model with its card, and as C source."""
