"""Pruning: weights that become zero (`magnitude`), channels that really go (`channels`)."""
