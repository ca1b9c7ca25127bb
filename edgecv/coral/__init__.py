"""The Coral Edge TPU: plans before compiling, compiling, checks of compiled files.

Every figure here is `estimated` (a formula of the model), `compiled` (read out of a compiled file)
or `measured` (by a clock, on a device); the three are never mixed.
"""
