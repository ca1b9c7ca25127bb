"""Tables of a model packed once for many files: most of the time of writing a part of one."""

from typing import Any, TypeAlias

Table: TypeAlias = Any  # an OperatorT or a TensorT of the schema


class PackedTables:
    """The tables of a model in the bytes that stand for them in any file.

    A table is taken as it is when it is first asked for; an operator that is given other inputs or
    outputs is packed anew.
    """

    def __init__(self) -> None:
        self._tables: dict[int, _PackedTable] = {}

    def __getitem__(self, table: Table) -> "_PackedTable":
        packed = self._tables.get(id(table))
        if packed is None or not packed.stands_for(table):
            packed = self._tables[id(table)] = _PackedTable(table)
        return packed


class _PackedTable:
    """A table with all that it points to, and the other end of it, in bytes."""

    def __init__(self, table: Table) -> None:
        self.table, self.ends = table, _ends(table)  # kept: what is kept keeps its id
        import flatbuffers

        builder = flatbuffers.Builder(256)
        self.offset: int = table.Pack(builder)  # from the end of the bytes
        self.data = bytes(builder.Bytes[builder.head :])
        self.alignment: int = builder.minalign

    def stands_for(self, table: Table) -> bool:
        """Whether a table is the one that was packed, with the same inputs and outputs."""
        return all(one is other for one, other in zip(self.ends, _ends(table), strict=True))

    def Pack(self, builder: Any) -> int:  # named as the schema's
        """Write the bytes; all offsets in them are relative, and alignment is from the end."""
        builder.Prep(self.alignment, 0)
        before: int = builder.Offset()
        builder.Prep(1, len(self.data))
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        return before + self.offset


def _ends(table: Table) -> tuple[Any, Any]:
    return getattr(table, "inputs", None), getattr(table, "outputs", None)
