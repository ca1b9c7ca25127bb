"""How good a model is, and how much of it a conversion kept: on this machine, and on a device."""
