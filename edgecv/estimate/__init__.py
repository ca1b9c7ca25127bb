"""Latency without the board: estimates from what operators cost, always with their error."""
