"""A .tflite model's main subgraph as tensors and operators that can be looked up and edited."""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgecv.tflite.schema import DTYPES, ModelT, enum_names, schema

TensorT: TypeAlias = Any
OperatorT: TypeAlias = Any
Array: TypeAlias = npt.NDArray[Any]
SCHEMA_NAMES = {numpy_name: name for name, numpy_name in DTYPES.items()}


class Graph:
    """The tensors and operators of one subgraph; edits go straight into the model."""

    def __init__(self, model: ModelT, subgraph: int = 0) -> None:
        self.model = model
        self.subgraph = model.subgraphs[subgraph]

    @property
    def tensors(self) -> list[TensorT]:
        """All tensors, constants among them; operators refer to them by index."""
        return self.subgraph.tensors  # type: ignore[no-any-return]

    @property
    def operators(self) -> list[OperatorT]:
        """The operators in the order they run."""
        return self.subgraph.operators or []

    def code(self, operator: OperatorT) -> str:
        """An operator's name in the schema, or a custom operator's own."""
        return _code_name(self.model.operatorCodes[operator.opcodeIndex])

    def uses(self, code: str) -> bool:
        """Whether the model lists an operator of that name among its own."""
        return any(_code_name(listed) == code for listed in self.model.operatorCodes)

    def fused(self, operator: OperatorT) -> str:
        """The fused activation of an operator: NONE, RELU, RELU6 ..."""
        value = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        return enum_names("ActivationFunctionType").get(value, "NONE")

    def place(self, tensor: int) -> int:
        """The place in `operators` of the one that makes an activation."""
        return next(
            place
            for place, operator in enumerate(self.operators)
            if tensor in map(int, operator.outputs)
        )

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return (self.tensors[tensor].name or b"").decode(errors="replace")

    def unique_names(self) -> dict[int, str]:
        """Every tensor's name; one that is used twice gets its index behind it."""
        names = [self.name(tensor) for tensor in range(len(self.tensors))]
        times = Counter(names)
        return {
            tensor: name if name and times[name] == 1 else f"{name}#{tensor}"
            for tensor, name in enumerate(names)
        }

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's dimensions; a scalar has none."""
        shape = self.tensors[tensor].shape
        return () if shape is None else tuple(indices(shape))

    def dtype(self, tensor: int) -> str:
        """How a tensor's elements are stored, in numpy's words; unknown types keep the schema's."""
        name = enum_names("TensorType").get(self.tensors[tensor].type, "UNKNOWN")
        return DTYPES.get(name, name)

    def size_bytes(self, tensor: int) -> int:
        """The bytes a tensor takes when the model runs."""
        dtype = self.dtype(tensor)
        width = np.dtype(dtype).itemsize if dtype in DTYPES.values() else 1
        return math.prod(self.shape(tensor)) * width

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values are in the file."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def constant(self, tensor: int) -> Array | None:
        """The values of a tensor that has them in the file, else None."""
        if tensor < 0 or not self.is_constant(tensor) or self.dtype(tensor) not in DTYPES.values():
            return None
        data = np.asarray(self.model.buffers[self.tensors[tensor].buffer].data, np.uint8)
        return data.view(self.dtype(tensor)).reshape(self.shape(tensor))

    def activations(self) -> list[int]:
        """The tensors that hold something only while the model runs, inputs first."""
        made = [tensor for operator in self.operators for tensor in indices(operator.outputs)]
        return [*indices(self.subgraph.inputs), *made]

    def add_constant(self, values: Array, name: str) -> int:
        """A new tensor that holds `values` in the file; returns its index."""
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self.add_tensor(values.shape, str(values.dtype), name, len(self.model.buffers) - 1)

    def add_zeros(self, shape: tuple[int, ...], dtype: str, name: str) -> int:
        """A new constant of zeros; returns its index."""
        buffer = self.add_buffer(math.prod(shape) * np.dtype(dtype).itemsize)
        return self.add_tensor(shape, dtype, name, buffer)

    def add_buffer(self, size_bytes: int) -> int:
        """A new buffer of zeros, which take no memory until they are touched; returns its index."""
        buffer = schema().BufferT()
        buffer.data = _zeros(size_bytes.bit_length())[:size_bytes]
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def add_activation(self, like: int, name: str) -> int:
        """A new tensor of the shape and type of another; returns its index."""
        return self.add_tensor(self.shape(like), self.dtype(like), name)

    def add_tensor(self, shape: tuple[int, ...], dtype: str, name: str, buffer: int = 0) -> int:
        """A new tensor, an activation unless it has a buffer; returns its index."""
        tensor = schema().TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = getattr(schema().TensorType, SCHEMA_NAMES[dtype])
        tensor.name, tensor.buffer, tensor.hasRank = name.encode(), buffer, True
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def new_operator(
        self, code: str, inputs: Iterable[int], outputs: Iterable[int], options: Any
    ) -> OperatorT:
        """An operator that is not yet in the list of operators."""
        operator = schema().OperatorT()
        operator.opcodeIndex = self._opcode(code)
        operator.inputs = np.array([*inputs], np.int32)
        operator.outputs = np.array([*outputs], np.int32)
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, kind)
        return operator

    def tidy(self) -> None:
        """Drop the tensors, buffers and operator codes that nothing refers to any more."""
        used = {int(index) for index in [*self.subgraph.inputs, *self.subgraph.outputs]}
        for operator in self.operators:
            used |= {int(index) for index in [*operator.inputs, *operator.outputs] if index >= 0}
        self._renumber_tensors(sorted(used))
        self.drop_unused_buffers()
        codes = sorted(
            {
                operator.opcodeIndex
                for subgraph in self.model.subgraphs
                for operator in subgraph.operators or []
            }
        )
        for subgraph in self.model.subgraphs:
            for operator in subgraph.operators or []:
                operator.opcodeIndex = codes.index(operator.opcodeIndex)
        self.model.operatorCodes = [self.model.operatorCodes[code] for code in codes]

    def _opcode(self, code: str) -> int:
        """The index of an operator's code, added when the model has not used it so far."""
        for index, listed in enumerate(self.model.operatorCodes):
            if _code_name(listed) == code:
                return index
        wanted = getattr(schema().BuiltinOperator, code)
        added = schema().OperatorCodeT()
        added.builtinCode, added.deprecatedBuiltinCode, added.version = wanted, min(wanted, 127), 1
        self.model.operatorCodes.append(added)
        return len(self.model.operatorCodes) - 1

    def _renumber_tensors(self, kept: list[int]) -> None:
        new = {old: index for index, old in enumerate(kept)} | {-1: -1}
        self.subgraph.tensors = [self.tensors[old] for old in kept]
        rename: Callable[[Any], Array] = lambda indices: np.array(  # noqa: E731
            [new[int(index)] for index in indices], np.int32
        )
        self.subgraph.inputs = rename(self.subgraph.inputs)
        self.subgraph.outputs = rename(self.subgraph.outputs)
        for operator in self.operators:
            operator.inputs, operator.outputs = rename(operator.inputs), rename(operator.outputs)
        for signature in self.model.signatureDefs or []:
            for tensor_map in [*(signature.inputs or []), *(signature.outputs or [])]:
                tensor_map.tensorIndex = new[tensor_map.tensorIndex]

    def drop_unused_buffers(self) -> None:
        """Drop the buffers that no tensor and no metadata refer to any more."""
        used = {0, *(entry.buffer for entry in self.model.metadata or [])}
        for subgraph in self.model.subgraphs:
            used |= {tensor.buffer for tensor in subgraph.tensors}
        kept = sorted(used)
        new = {old: index for index, old in enumerate(kept)}
        self.model.buffers = [self.model.buffers[old] for old in kept]
        for holder in [*(self.model.metadata or [])]:
            holder.buffer = new[holder.buffer]
        for subgraph in self.model.subgraphs:
            for tensor in subgraph.tensors:
                tensor.buffer = new[tensor.buffer]


def indices(numbers: Any) -> list[int]:
    """Whole numbers of the schema, a list or an array, as Python's own."""
    whole: list[int] = np.asarray(numbers, np.int64).tolist()
    return whole


def _code_name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = enum_names("BuiltinOperator").get(number) or f"BUILTIN_{number}"
    return code.customCode.decode(errors="replace") if name == "CUSTOM" else name


@functools.cache
def _zeros(bits: int) -> Array:
    """Zeros that many buffers can share: fewer than 2 ** `bits` of them, never to be written."""
    zeros = np.zeros(1 << bits, np.uint8)
    zeros.flags.writeable = False
    return zeros


def new_graph() -> Graph:
    """The main subgraph of a new model, still without tensors and operators."""
    model = schema().ModelT()
    model.version, model.operatorCodes, model.buffers = 3, [], [schema().BufferT()]
    subgraph = schema().SubGraphT()
    subgraph.tensors, subgraph.operators = [], []
    model.subgraphs = [subgraph]
    return Graph(model)
