"""The TFLite schema: its generated Python module, its enumerations, its element types."""

import functools
from typing import Any, TypeAlias

from edgecv.errors import DeviceError

ModelT: TypeAlias = Any  # ai_edge_litert.schema_py_generated.ModelT, which is untyped

DTYPES = {  # numpy's names for the schema's
    "FLOAT16": "float16",
    "FLOAT32": "float32",
    "FLOAT64": "float64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
}


@functools.cache
def schema() -> Any:
    """The schema's generated Python module, which comes with LiteRT.

    Raises DeviceError when LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise DeviceError(
            "reading a .tflite file needs LiteRT: pip install ai-edge-litert"
        ) from error
    return schema_py_generated


@functools.cache
def enum_numbers(enum: str) -> dict[str, int]:
    """The members of one of the schema's enumerations, by name."""
    return {name: number for number, name in enum_names(enum).items()}


@functools.cache
def enum_names(enum: str) -> dict[int, str]:
    """The members of one of the schema's enumerations, by value."""
    members = vars(getattr(schema(), enum))
    return {value: name for name, value in members.items() if isinstance(value, int)}
