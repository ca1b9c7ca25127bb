"""Figures of layers for Model Explorer, which colors the graph of a .tflite by them.

A node data file, as google-ai-edge/model-explorer's node_data_builder.py describes it: a value for
each node by the name of a tensor that it makes, and the colors of the least and the greatest.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from edgecv.files import write_text

SUFFIX = "model_explorer.json"
GRADIENT = ((0, "#ffffff"), (1, "#58b3d1"))


def write_node_data(path: Path, values: Iterable[tuple[str, float]]) -> Path:
    """Write the values of nodes, by the names of the tensors that they make."""
    data = {
        "results": {tensor: {"value": value} for tensor, value in values},
        "gradient": [{"stop": stop, "bgColor": color} for stop, color in GRADIENT],
    }
    return write_text(path, json.dumps(data, indent=1) + "\n")
