"""Exports of a run: its model with a model card, and as C source."""
