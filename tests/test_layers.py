"""The house: imports point downwards, stages do not know each other, TensorFlow stays put."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (  # a module may import from its own layer only within its own package
    {"cli"},
    {"sweep", "export"},
    {"pipeline"},
    {"tradeoff"},
    {"report"},
    {
        "train",
        "prune",
        "convert",
        "quantize",
        "evaluate",
        "profile",
        "estimate",
        "coral",
        "demo",
    },
    {"models", "data", "tflite", "device"},
    {"recipe", "artifacts", "files", "progress", "errors"},
)
BESIDE = {("prune", "train")}  # fine-tunes what it has cut, and keeps it as training does
TENSORFLOW_FREE = (
    "coral.planner",
    "evaluate.accuracy",
    "evaluate.on_device",
    "profile",
    "report",
    "demo.run",
    "demo.remote",
    "demo.service",
    "data",
    "pipeline.plan",
    "pipeline.suggest",
    "models.float_file",
    "models.identify",
    "sweep.estimate",
    "tflite.runtime",
    "device.checkup",
    "models",
)
SOURCES = sorted((ROOT / "edgecv").rglob("*.py"))


def layer(package):
    return next(n for n, packages in enumerate(LAYERS) if package in packages)


def imported(source):
    """The top-level packages of edgecv that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "edgecv":
            yield from (alias.name for alias in node.names if not alias.name.startswith("_"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgecv."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(source):
    package = source.relative_to(ROOT / "edgecv").parts[0].removesuffix(".py")
    if package in ("__init__", "__main__"):
        return
    for other in set(imported(source)) - {package}:
        allowed = layer(other) > layer(package) or (package, other) in BESIDE
        bottom = layer(package) == layer(other) == len(LAYERS) - 1 or other == "tflite"
        assert allowed or bottom, f"{source.name} imports {other}"


def test_tensorflow_is_not_needed_to_measure_and_report():
    imports = "; ".join(f"import edgecv.{module}" for module in TENSORFLOW_FREE)
    code = (
        f"import sys; {imports}; print([m for m in sys.modules if m in ('tensorflow', 'tf_keras')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_agent_imports_nothing_of_edgecv():
    for name in ("agent.py", "worker.py", "conditions.py", "edgetpu.py"):
        assert not list(imported(ROOT / "edgecv" / "device" / name))


def test_every_extra_that_has_tflite_runtime_holds_numpy_below_2():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for name, lines in extras.items():
        if any(line.startswith("tflite-runtime") for line in lines):
            assert any(line.startswith("numpy<2") for line in lines), name
    assert not any("numpy<2" in line for line in extras["build"])


def test_no_module_of_the_pipeline_needs_one_that_needs_it():
    """A build calls a comparison, which calls runs: never the other way round."""
    needed = {}
    for source in (ROOT / "edgecv" / "pipeline").glob("*.py"):
        text = source.read_text(encoding="utf-8")
        inside = re.findall(r"from edgecv\.pipeline\.(\w+) import", text)
        named = re.findall(r"from edgecv\.pipeline import (.+)", text)
        needed[source.stem] = {*inside, *re.findall(r"\w+", " ".join(named))}
    while free := [name for name in needed if not needed[name] & set(needed)]:
        for name in free:
            del needed[name]
    assert not needed
