"""The rules of the compiler for single operators: tables, applied and printed."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgecv.coral import constraints
from edgecv.coral.constraints import Node
from edgecv.coral.rule_tables import GRADES, table
from edgecv.tflite.schema import enum_numbers

TPU, CPU, REFUSED = "tpu", "cpu", "refused"
ALWAYS = ("eight_bits", "three_axes")  # for every operator
NEWEST_OPERATOR = 149  # of the schema's numbers; 150 was refused as out of range
NEWER = "Is an operator that the compiler's TFLite does not have: it refuses the file"
UNSUPPORTED = "Operation not supported"
OTHERS = "use operators that map: edgecv coral rules"
OPERATORS_PAGE = "coral.ai/docs/edgetpu/models-intro"


class RuleVerdict(NamedTuple):
    """Where an operator runs and why; `refused` means that the whole file would not compile."""

    place: str  # tpu | cpu | refused
    reason: str
    fix: str
    grade: str
    source: str


class Rule(NamedTuple):
    """A constraint or a risk by its name, with its words, its grade and its source."""

    name: str
    reason: str
    fix: str
    grade: str
    source: str


def rule(name: str) -> Rule:
    """The constraint or risk of that name in constraints.py."""
    words, _, origin = (inspect.getdoc(getattr(constraints, name)) or "").rpartition("\n\n")
    reason, _, fix = " ".join(words.split()).partition(". ")
    grade, _, source = " ".join(origin.split()).partition(": ")
    return Rule(name, reason, fix.rstrip("."), grade, source)


def names() -> list[str]:
    """The constraints and risks, in the order of constraints.py."""
    return [
        name
        for name, value in vars(constraints).items()
        if inspect.isfunction(value) and value.__module__ == constraints.__name__
    ]


def holds(name: str, node: Node) -> bool:
    """Whether the constraint of that name holds for an operator."""
    satisfied: bool = getattr(constraints, name)(node)
    return satisfied


def verdict(node: Node, version: int) -> RuleVerdict:
    """The compiler's verdict on an operator of that version, whatever the others are."""
    row = table("operators").get(node.code, {})
    if _is_newer(node.code):
        return RuleVerdict(REFUSED, NEWER, row.get("fix", OTHERS), "reported", "code 150 in logs")
    if not row:
        return RuleVerdict(CPU, UNSUPPORTED, OTHERS, "documented", "not in " + OPERATORS_PAGE)
    newest, refused = row.get("version"), row.get("refused_version")
    if newest and version > newest:
        seen = refused is not None and version >= refused
        fix = row.get("fix") or f"use a converter or a form that writes version {newest}"
        reason = f"Has version {version}, and the compiler knows {newest}: it refuses the file"
        return RuleVerdict(
            REFUSED, reason, fix, row["grade"] if seen else "expected", row["source"]
        )
    if not row["maps"]:
        return RuleVerdict(CPU, UNSUPPORTED, row.get("fix", OTHERS), row["grade"], row["source"])
    for name in (ALWAYS[0], *row.get("constraints", ()), *ALWAYS[1:]):
        if not holds(name, node):
            return RuleVerdict(CPU, *rule(name)[1:])
    return RuleVerdict(TPU, "", "", row["grade"], row["source"])


def risks(node: Node) -> list[Rule]:
    """The risks that make an operator's mapping unsure or costly."""
    names = table("operators").get(node.code, {}).get("risks", ())
    return [rule(name) for name in names if not holds(name, node)]


def _is_newer(code: str) -> bool:
    """Whether an operator came after the TFLite that is in the compiler."""
    return enum_numbers("BuiltinOperator").get(code, 0) > NEWEST_OPERATOR or code.startswith(
        "BUILTIN_"
    )


def all_rules() -> dict[str, Any]:
    """Every table, as `edgecv coral rules --json` prints it."""
    return {
        "grades": GRADES,
        "operators": table("operators"),
        "constraints": {name: rule(name)._asdict() for name in names()},
        "costs": table("costs"),
        "runtimes": table("runtimes"),
    }


def markdown() -> str:
    """The rules as a page: operators, what must hold for them, and how sure each line is."""
    return "\n".join(
        [
            "| operator | maps | up to version | if | grade | source |",
            "| --- | --- | --- | --- | --- | --- |",
            *_operator_lines(),
            "",
            "| rule | where it does not hold | what to do | grade | source |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| {row.name} | {row.reason} | {row.fix} | {row.grade} | {row.source} |"
                for row in map(rule, names())
            ),
            "",
            "| libedgetpu | runtime | Python | what happens | source |",
            "| --- | --- | --- | --- | --- |",
            *(
                "| {build} | {runtime} | {python} | {status} | {source} |".format(**row)
                for row in table("runtimes")["builds"]
            ),
            "",
            "| grade | meaning |",
            "| --- | --- |",
            *(f"| {grade} | {meaning} |" for grade, meaning in GRADES.items()),
        ]
    )


def _operator_lines() -> Iterator[str]:
    for name, row in table("operators").items():
        conditions = [*row.get("constraints", ()), *(f"({risk})" for risk in row.get("risks", ()))]
        yield (
            f"| {name} | {'yes' if row['maps'] else 'no'} | {row.get('version', '')} |"
            f" {', '.join(conditions)} | {row['grade']} | {row['source']} |"
        )
