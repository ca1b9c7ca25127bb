"""Efficient CNN classifiers, from a Keras architecture to a measured int8 model on the edge.

What a script or a notebook needs is here; TensorFlow is loaded by what is called, not by importing.
The names of functions that take one file end in `_file`: `quantize`, `evaluate` and `profile` are
packages.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecv.errors import CheckFailed as CheckFailed
    from edgecv.errors import DataError as DataError
    from edgecv.errors import DeviceError as DeviceError
    from edgecv.errors import EdgecvError as EdgecvError
    from edgecv.errors import RecipeError as RecipeError
    from edgecv.errors import RunFolderError as RunFolderError
    from edgecv.errors import UnsupportedModelError as UnsupportedModelError
    from edgecv.errors import WeightsError as WeightsError
    from edgecv.pipeline.build import build as build
    from edgecv.pipeline.evaluate_file import evaluate_file as evaluate_file
    from edgecv.pipeline.plan import plan as plan
    from edgecv.pipeline.quantize_file import quantize_file as quantize_file
    from edgecv.pipeline.suggest import suggest as suggest
    from edgecv.profile.latency import profile_file as profile_file
    from edgecv.recipe import Recipe as Recipe

__version__ = "0.1.0"
HOMES = {
    "Recipe": "recipe",
    "build": "pipeline.build",
    "evaluate_file": "pipeline.evaluate_file",
    "plan": "pipeline.plan",
    "profile_file": "profile.latency",
    "quantize_file": "pipeline.quantize_file",
    "suggest": "pipeline.suggest",
    "CheckFailed": "errors",
    "DataError": "errors",
    "DeviceError": "errors",
    "EdgecvError": "errors",
    "RecipeError": "errors",
    "RunFolderError": "errors",
    "UnsupportedModelError": "errors",
    "WeightsError": "errors",
}
__all__ = [*HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """One of the names above, from its home. Raises AttributeError for any other."""
    if name not in HOMES:
        raise AttributeError(f"edgecv has no '{name}'; there are: {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*HOMES, "__version__"]
