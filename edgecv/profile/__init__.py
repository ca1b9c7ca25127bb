"""Latency: samples taken by the agent of a device, statistics made here."""

from edgecv.profile.latency import profile

__all__ = ["profile"]
