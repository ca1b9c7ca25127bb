"""Efficient CNN classifiers, from a Keras architecture to a measured int8 model on the edge."""

__version__ = "0.1.0"
