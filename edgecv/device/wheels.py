"""Which wheel of a TFLite runtime fits a board, and the command that installs it."""

from collections.abc import Sequence
from typing import NamedTuple

VENV = "~/.cache/edgecv/board/venv"
Version = tuple[int, ...]


class Wheel(NamedTuple):
    """A row of PyPI's list of files: what a release needs."""

    requirement: str  # for pip, with the numpy that it works with
    runtime: str
    pythons: tuple[Version, Version]  # first and last
    glibc: Version
    machines: tuple[str, ...]


# Newest first. tflite-runtime is built against numpy 1, which its metadata does not say.
WHEELS = (
    Wheel("ai-edge-litert==2.3.0", "litert", ((3, 10), (3, 14)), (2, 27), ("aarch64", "x86_64")),
    Wheel("ai-edge-litert==1.4.0", "litert", ((3, 9), (3, 12)), (2, 17), ("aarch64", "x86_64")),
    Wheel(
        "tflite-runtime==2.14.0 numpy<2",
        "tflite",
        ((3, 8), (3, 11)),
        (2, 34),
        ("aarch64", "armv7l", "x86_64"),
    ),
    Wheel(
        "tflite-runtime==2.13.0 numpy<2",
        "tflite",
        ((3, 8), (3, 10)),
        (2, 17),
        ("aarch64", "armv7l", "x86_64"),
    ),
    Wheel(
        "tflite-runtime==2.11.0 numpy<2",
        "tflite",
        ((3, 7), (3, 9)),
        (2, 17),
        ("aarch64", "armv7l", "x86_64"),
    ),
)


def version(text: str) -> Version:
    """`2.31` or `3.11.2+` as numbers that can be compared; what is no number ends them."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def choose_wheel(python: str, glibc: str, machine: str, runtime: str = "auto") -> Wheel | None:
    """The newest wheel for a Python, a C library and a machine; LiteRT before tflite-runtime."""
    return next(iter(fitting_wheels(python, glibc, machine, runtime)), None)


def fitting_wheels(python: str, glibc: str, machine: str, runtime: str) -> list[Wheel]:
    """All wheels for a Python, a C library and a machine, as `choose_wheel` prefers them."""
    return [
        wheel
        for wheel in WHEELS
        if runtime in ("auto", wheel.runtime)
        and machine in wheel.machines
        and wheel.pythons[0] <= version(python)[:2] <= wheel.pythons[1]
        and version(glibc) >= wheel.glibc
    ]


def install_command(wheel: Wheel, python: str, others: Sequence[str] = ()) -> str:
    """The shell command that installs a wheel on the board: for a Python, or in edgecv's own venv.

    `others` are the requirements of more packages.
    """
    wanted = " ".join(f"'{requirement}'" for requirement in (*wheel.requirement.split(), *others))
    flags = "--disable-pip-version-check --only-binary :all:"  # a board compiles numpy for hours
    pip = f"{python or f'{VENV}/bin/python'} -m pip install {flags} {wanted}"
    return pip if python else f"python3 -m venv {VENV} && {pip}"
