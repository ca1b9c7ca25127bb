"""The compiler's `DWN1` packages, in the `edgetpu-custom-op` operators of a model.

A package is a FlatBuffer in a FlexBuffer in the operator's options. Which field is which was read
in libedgetpu's executable.fbs (Apache-2.0); of its tables, five say what a run will cost.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgecv.errors import UnsupportedModelError
from edgecv.tflite.compiled import CUSTOM
from edgecv.tflite.flatbuffer import DAMAGE, ModelT
from edgecv.tflite.graph import Graph

IDENTIFIER = b"DWN1"
OPTIONS_PACKAGE = "4"  # key in the operator's options
KINDS = ("stand-alone", "parameter caching", "execution only")
TARGETS = ("output", "input", "parameters", "scratch")  # of a DMA descriptor
DIRECTIONS = ("in", "out")
MOST = 1_000_000  # entries of a vector; real ones have thousands


@dataclass(frozen=True)
class Executable:
    """One program of a package; all sizes in bytes."""

    kind: str  # stand-alone | parameter caching | execution only
    chip: str
    parameter_bytes: int
    instruction_bytes: int
    chunks: int  # of instructions
    scratch_bytes: int
    narrow_memory_bytes: int  # of each of the 16 tiles
    cycles: int | None  # as the compiler estimated; from 16.0 on it does not
    dma_bytes: dict[str, int]  # by `input in`, `output out`, `scratch in` ...
    inputs: list[str]
    outputs: list[str]


@dataclass(frozen=True)
class Package:
    """The contents of one `edgetpu-custom-op`."""

    min_runtime: int
    compiler: str  # nearly always only `cl/`: files do not tell by which they were made
    executables: list[Executable]

    @property
    def running(self) -> list[Executable]:
        """The programs of an inference, as against the one that fills the cache."""
        return [executable for executable in self.executables if executable.kind != KINDS[1]]

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip."""
        return sum(
            executable.parameter_bytes
            for executable in self.executables
            if executable.kind == KINDS[1]
        )

    @property
    def streamed_bytes(self) -> int:
        """Parameters that are sent again with every inference."""
        return sum(executable.parameter_bytes for executable in self.running)

    @property
    def instruction_bytes(self) -> int:
        """Instructions, sent with every inference, too."""
        return sum(executable.instruction_bytes for executable in self.running)

    @property
    def scratch_bytes(self) -> int:
        """Activations that did not fit on the chip."""
        return sum(executable.scratch_bytes for executable in self.running)

    @property
    def cycles(self) -> int | None:
        """The compiler's own estimate for an inference, where it made one."""
        cycles = [executable.cycles for executable in self.running if executable.cycles]
        return sum(cycles) if cycles else None

    def dma_bytes(self, name: str) -> int:
        """Bytes that an inference moves: `input in`, `output out`, `scratch in` ..."""
        return sum(executable.dma_bytes.get(name, 0) for executable in self.running)


def packages(model: ModelT, name: str = "the model") -> list[Package]:
    """The packages of a compiled model, in the order its operators run.

    Raises UnsupportedModelError when there is none, or one cannot be read.
    """
    graph = Graph(model)
    every = []
    for operator in graph.operators:
        if graph.code(operator) == CUSTOM:
            options = operator.customOptions
            try:
                every.append(read(bytes(_package(bytes([] if options is None else options)))))
            except (*DAMAGE, KeyError, MemoryError, RecursionError) as error:
                raise UnsupportedModelError(
                    f"{name}: its Edge TPU package is damaged or of another kind"
                ) from error
    if not every:
        raise UnsupportedModelError(
            f"{name}: is not compiled for the Edge TPU; compile it: edgecv coral compile"
        )
    return every


def _package(options: bytes) -> bytes:
    """The package in an operator's options, a FlexBuffer map; its strings need not be text."""
    from flatbuffers import flexbuffers

    data: bytes = flexbuffers.GetRoot(bytearray(options)).AsMap[OPTIONS_PACKAGE].AsStringBytes
    return data


def read(data: bytes) -> Package:
    """The package in `data`, which alone has the mark: of its parts, the compiler leaves it zero.

    Raises struct.error, IndexError or ValueError when it is damaged.
    """
    package = _root(data)
    multiple = _root(package.blob(1), identified=False)
    executables = [_executable(_root(blob, identified=False)) for blob in multiple.blobs(0)]
    if not executables:
        raise ValueError("no executable")
    return Package(package.int32(0), package.text(4), executables)


class _Table(NamedTuple):
    """A table of a FlatBuffer, whose fields are known by their number."""

    data: bytes
    at: int

    def place(self, field: int) -> int:
        """Where a field is; 0 when it is left out."""
        vtable = self.at - self.unpack("<i", self.at)
        entry = 4 + 2 * field
        if entry >= self.unpack("<H", vtable):
            return 0
        offset = self.unpack("<H", vtable + entry)
        return self.at + offset if offset else 0

    def unpack(self, form: str, at: int) -> int:
        """A number; struct counts a negative place from the end, which is never meant."""
        if at < 0:
            raise IndexError(at)
        return int(struct.unpack_from(form, self.data, at)[0])

    def number(self, field: int, form: str) -> int:
        place = self.place(field)
        return self.unpack(form, place) if place else 0

    def int32(self, field: int) -> int:
        return self.number(field, "<i")

    def target(self, field: int) -> int:
        """Where a field of a table, a vector or a string points; 0 when it is left out."""
        place = self.place(field)
        return place + self.unpack("<I", place) if place else 0

    def blob(self, field: int) -> bytes:
        """A vector of bytes or a string."""
        place = self.target(field)
        return self._content(place) if place else b""

    def text(self, field: int) -> str:
        return self.blob(field).decode(errors="replace")

    def blobs(self, field: int) -> list[bytes]:
        """A vector of strings, which hold bytes."""
        return [self._content(place) for place in self._targets(field)]

    def tables(self, field: int) -> list["_Table"]:
        """A vector of tables."""
        return [_Table(self.data, place) for place in self._targets(field)]

    def table(self, field: int) -> "_Table | None":
        """A single table, where there is one."""
        place = self.target(field)
        return _Table(self.data, place) if place else None

    def _content(self, place: int) -> bytes:
        length = self.unpack("<I", place)
        if place + 4 + length > len(self.data):
            raise IndexError(length)
        return self.data[place + 4 : place + 4 + length]

    def _targets(self, field: int) -> Iterator[int]:
        vector = self.target(field)
        length = self.unpack("<I", vector) if vector else 0
        if length > MOST or vector + 4 + 4 * length > len(self.data):
            raise IndexError(length)
        for place in range(vector + 4, vector + 4 + 4 * length, 4):
            yield place + self.unpack("<I", place)


def _root(data: bytes, identified: bool = True) -> _Table:
    if identified and data[4:8] != IDENTIFIER:
        raise ValueError("no DWN1 identifier")
    return _Table(data, struct.unpack_from("<I", data)[0])


def _executable(table: _Table) -> Executable:
    chunks = [len(chunk.blob(0)) for chunk in table.tables(5)]
    cycles = table.number(16, "<q") or table.int32(11)
    hints = table.table(7)
    sizes = {"parameter_bytes": len(table.blob(6)), "instruction_bytes": sum(chunks)}
    sizes |= {"scratch_bytes": table.int32(4), "narrow_memory_bytes": table.int32(12)}
    if min(sizes.values()) < 0 or cycles < 0:
        raise ValueError("a negative size")
    return Executable(
        kind=KINDS[table.number(13, "<H")],
        chip=table.text(10),
        chunks=len(chunks),
        cycles=cycles or None,
        dma_bytes=_dma_bytes(hints) if hints else {},
        inputs=[tensor.text(0) for tensor in table.tables(8)],
        outputs=[tensor.text(0) for tensor in table.tables(9)],
        **sizes,
    )


def _dma_bytes(hints: _Table) -> dict[str, int]:
    """Bytes by what they are and where they go; only descriptors move any."""
    sums: dict[str, int] = {}
    for hint in hints.tables(0):
        descriptor = hint.table(1) if hint.number(0, "<B") == 1 else None
        meta = descriptor.table(0) if descriptor else None
        if descriptor and meta:
            name = f"{TARGETS[meta.number(0, '<H')]} {DIRECTIONS[hint.number(2, '<H')]}"
            sums[name] = sums.get(name, 0) + max(0, descriptor.int32(2))
    return sums


def summary(model: ModelT, name: str = "the model") -> dict[str, Any]:
    """The figures of a compiled model, summed over its packages, as `inspect` shows them."""
    every = packages(model, name)
    graph = Graph(model)
    codes = [graph.code(operator) for operator in graph.operators]
    left = [code for code in codes if code != CUSTOM]
    cycles = [package.cycles for package in every if package.cycles]
    return {
        "origin": "compiled",
        "packages": len(every),
        "cpu_operators": {code: left.count(code) for code in dict.fromkeys(left)},
        "min_runtime": max(package.min_runtime for package in every),
        "compiler": every[0].compiler,
        "chip": every[0].executables[0].chip,
        "executables": [executable.kind for package in every for executable in package.executables],
        **{
            key: sum(getattr(package, key) for package in every)
            for key in ("cached_bytes", "streamed_bytes", "instruction_bytes", "scratch_bytes")
        },
        "dma_bytes": {
            key: sum(package.dma_bytes(key) for package in every)
            for key in (f"{target} {way}" for target in TARGETS for way in DIRECTIONS)
            if any(package.dma_bytes(key) for package in every)
        },
        "narrow_memory_bytes": max(
            executable.narrow_memory_bytes
            for package in every
            for executable in package.executables
        ),
        "estimated_cycles": sum(cycles) if cycles else None,
    }
