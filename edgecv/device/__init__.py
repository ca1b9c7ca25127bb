"""Machines that run models: the agent that works on them, and the links that reach it."""
