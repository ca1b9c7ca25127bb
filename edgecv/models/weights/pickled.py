"""A pickle of tensors, read as data: containers, numbers, names and descriptions of tensors.

Python's own unpickler calls whatever a file names. This one has no way to call anything: it knows
the operations of which dictionaries of tensors are made, and refuses every other by its name.
"""

import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple

MAX_OPERATIONS = 1_000_000  # a model of 1,000 tensors takes 50,000
DTYPES = {  # of the storages that PyTorch names
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "BoolStorage": "?",
}


class Storage(NamedTuple):
    """A block of numbers that tensors are cut from."""

    key: str
    kind: str  # FloatStorage, LongStorage ...
    numbers: int


class Tensor(NamedTuple):
    """How a tensor lies in a storage: its first number, its shape and the steps of each axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Global(NamedTuple):
    """Something that the pickle names, and what its call would give, with nothing called."""

    name: str
    make: Callable[..., Any] | None


def load(file: IO[bytes]) -> Any:
    """The next object of an open file: its tensors as `Tensor`s, dictionaries of them as `dict`s.

    Raises ValueError where the pickle is cut short, or asks for anything that is no tensor.
    """
    return _Stack().run(file)


def _tensor(storage: Storage, offset: int, shape: Any, strides: Any, *_: object) -> Tensor:
    """A tensor, from the arguments that PyTorch rebuilds it with."""
    numbers = (offset, *shape, *strides)
    whole = all(type(number) is int and 0 <= number < 1 << 48 for number in numbers)
    if not isinstance(storage, Storage) or not whole or len(shape) != len(strides):
        raise ValueError("describes a tensor without whole numbers or a storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_: object) -> Any:
    """A tensor that is trained, which is stored as a tensor."""
    return data


def _ordered(*items: object) -> dict[Any, Any]:
    """An empty dictionary; items come later."""
    if items:
        raise ValueError("an OrderedDict with items of its own")
    return {}


GLOBALS = {
    name: Global(name, make)
    for name, make in {
        "collections.OrderedDict": _ordered,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        **{f"torch.{kind}": None for kind in DTYPES},
    }.items()
}


class _Stack:
    """The stack, the marks on it and the memory of one pickle."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        """Every operation up to the end of the pickle."""
        try:
            for count, (code, argument, _) in enumerate(pickletools.genops(file)):
                if code.name == "STOP":
                    return self.items.pop()
                if code.name not in OPERATIONS or count > MAX_OPERATIONS:
                    raise ValueError(f"asks for {code.name}, which no tensor needs")
                OPERATIONS[code.name](self, argument)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"is no whole pickle ({error})") from error
        raise ValueError("is a pickle without an end")

    def push(self, value: Any) -> None:
        self.items.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.items))

    def since_mark(self) -> list[Any]:
        """Take off and return all above the last mark."""
        start = self.marks.pop()
        taken, self.items = self.items[start:], self.items[:start]
        return taken

    def last(self, count: int) -> tuple[Any, ...]:
        """The last `count` items, taken off."""
        if count > len(self.items):
            raise IndexError("nothing left on the stack")
        taken, self.items = self.items[-count:], self.items[:-count]
        return tuple(taken)

    def append(self, values: list[Any]) -> None:
        list.extend(self.items[-1], values)

    def update(self, values: list[Any]) -> None:
        keys = values[::2]
        if not all(type(key) in (str, int) for key in keys):
            raise ValueError("has keys that are neither names nor numbers")
        dict.update(self.items[-1], zip(keys, values[1::2], strict=True))

    def remember(self, place: int | None) -> None:
        self.memory[len(self.memory) if place is None else place] = self.items[-1]

    def name(self, module: str, name: str) -> None:
        """A global by its name. Raises ValueError when tensors do not need it."""
        full = f"{module}.{name}"
        if full not in GLOBALS:
            raise ValueError(f"asks for {full}, which no tensor needs; nothing of it was run")
        self.push(GLOBALS[full])

    def reduce(self) -> None:
        """The stand-in for the result of a global's call."""
        called, arguments = self.last(2)
        if not isinstance(called, Global) or called.make is None:
            name = getattr(called, "name", type(called).__name__)
            raise ValueError(f"calls {name}, which no tensor needs; nothing of it was run")
        self.push(called.make(*arguments))

    def storage(self) -> None:
        """A storage, from what PyTorch calls it by."""
        (said,) = self.last(1)
        word, kind, key, _, numbers = said[:5]
        if word != "storage" or type(key) is not str or type(numbers) is not int or kind.make:
            raise ValueError("asks for something else than a storage of numbers")
        self.push(Storage(key, kind.name.rpartition(".")[2], numbers))


def _constant(stack: _Stack, value: Any) -> None:
    stack.push(value)


def _ignored(stack: _Stack, value: Any) -> None:
    """Marks of the format itself."""


Operation = Callable[[_Stack, Any], None]
OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(("PROTO", "FRAME"), _ignored),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _constant),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING"), _constant),
    "NONE": lambda stack, _: stack.push(None),
    "NEWTRUE": lambda stack, _: stack.push(True),
    "NEWFALSE": lambda stack, _: stack.push(False),
    "EMPTY_TUPLE": lambda stack, _: stack.push(()),
    "EMPTY_LIST": lambda stack, _: stack.push([]),
    "EMPTY_DICT": lambda stack, _: stack.push({}),
    "MARK": _Stack.mark,
    "TUPLE": lambda stack, _: stack.push(tuple(stack.since_mark())),
    "TUPLE1": lambda stack, _: stack.push(stack.last(1)),
    "TUPLE2": lambda stack, _: stack.push(stack.last(2)),
    "TUPLE3": lambda stack, _: stack.push(stack.last(3)),
    "APPEND": lambda stack, _: stack.append([*stack.last(1)]),
    "APPENDS": lambda stack, _: stack.append(stack.since_mark()),
    "SETITEM": lambda stack, _: stack.update([*stack.last(2)]),
    "SETITEMS": lambda stack, _: stack.update(stack.since_mark()),
    "BINPUT": _Stack.remember,
    "LONG_BINPUT": _Stack.remember,
    "MEMOIZE": _Stack.remember,
    "BINGET": lambda stack, place: stack.push(stack.memory[place]),
    "LONG_BINGET": lambda stack, place: stack.push(stack.memory[place]),
    "GLOBAL": lambda stack, names: stack.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda stack, _: stack.name(*stack.last(2)),
    "BINPERSID": lambda stack, _: stack.storage(),
    "REDUCE": lambda stack, _: stack.reduce(),
    "BUILD": lambda stack, _: _ignored(stack, stack.last(1)),  # attributes of a dictionary
}
