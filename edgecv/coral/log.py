"""The output of edgetpu_compiler, parsed; unknown lines stay as they are."""

import re
from typing import Any, NamedTuple

from edgecv.coral.rule_tables import table

BANNER = re.compile(r"Edge TPU Compiler version (\S+)")
ROW = re.compile(r"([A-Za-z0-9_-]+)\s{2,}(\d+)\s{2,}(\S.*?)\s*")
VALUE = re.compile(r"([A-Z][A-Za-z -]+?): (\S.*?)\s*")
SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)")
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
ON_TPU = "Number of operations that will run on Edge TPU"
ON_CPU = "Number of operations that will run on CPU"
HEADER = ("Operator", "Count", "Status")


class LogRow(NamedTuple):
    """A line of the table of operators."""

    operator: str
    times: int
    status: str  # verbatim
    mapped: bool
    meaning: str  # empty where the status is not known


class Log(NamedTuple):
    """The compiler's own account of a run."""

    version: str  # empty when it does not say
    values: dict[str, str]  # `Output size` ...: as printed
    sizes: dict[str, int]  # those that are sizes, in bytes
    rows: list[LogRow]
    failures: list[dict[str, str]]  # of tables in compiler.toml, in their order
    unknown: list[str]  # all other lines

    def number(self, key: str) -> int | None:
        """A value that is a whole number, or None."""
        text = self.values.get(key, "")
        return int(text) if text.isdecimal() else None

    def to_dict(self) -> dict[str, Any]:
        """The log as JSON has it."""
        return {**self._asdict(), "rows": [row._asdict() for row in self.rows]}


def parse(text: str) -> Log:
    """The log in `text`; any text is taken."""
    version, values, rows, unknown = "", {}, [], []
    for line in map(str.strip, text.splitlines()):
        if banner := BANNER.fullmatch(line):
            version = banner[1]
        elif row := ROW.fullmatch(line):
            rows.append(_row(row[1], int(row[2]), row[3]))
        elif value := VALUE.fullmatch(line):
            values[value[1]] = value[2]
        elif line and tuple(line.split()) != HEADER:
            unknown.append(line)
    sizes = {name: _bytes(match) for name, text in values.items() if (match := SIZE.match(text))}
    failures = [failure for failure in table("compiler")["failures"] if failure["text"] in text]
    return Log(version, values, sizes, rows, failures, unknown)


def _row(operator: str, count: int, status: str) -> LogRow:
    grammar = table("compiler")
    mapped = status == grammar["mapped"]
    meaning = next(
        (words for text, words in grammar["statuses"].items() if status.startswith(text)), ""
    )
    return LogRow(operator, count, status, mapped, "runs on the Edge TPU" if mapped else meaning)


def _bytes(size: re.Match[str]) -> int:
    return round(float(size[1]) * UNITS[size[2]])
