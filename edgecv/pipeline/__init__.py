"""The order of things: from a recipe to a run, and from a float file to an int8 one."""
