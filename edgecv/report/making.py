"""How a run's model was made, and the commands worth running next."""

import shlex

from edgecv.artifacts import Report
from edgecv.report import figures, pruning
from edgecv.tflite import delegation


def making(report: Report) -> dict[str, str]:
    """How the model was quantized and pruned, what it consists of, and the seconds that took."""
    quantization = report.quantization
    operators = quantization.get("operators", {})
    facts = {
        "quantization": quantization.get("method"),
        "input": quantization.get("input"),
        "notes": "; ".join(quantization.get("notes", [])),
        "arithmetic": "all int8" if quantization.get("full_int8") else None,
        "XNNPACK": delegation.text(taken) if (taken := quantization.get("xnnpack")) else None,
        "pruning": pruning.words(report),
        "operators": ", ".join(f"{count} {name}" for name, count in operators.items()),
        "seconds": ", ".join(f"{stage} {spent:.0f}" for stage, spent in report.seconds.items()),
    }
    return {name: text for name, text in facts.items() if text}


def next_commands(report: Report, run_folder: str) -> list[tuple[str, str]]:
    """Commands worth running next, and what each is for."""
    model = shlex.quote(f"{run_folder}/{report.files[figures.final_scheme(report)]['path']}")
    recipe = shlex.quote(f"{run_folder}/recipe.toml")
    coral = [(f"edgecv coral compile {model}", "for the Edge TPU")] if report.coral else []
    return [
        *coral,
        (f"edgecv profile {model} --threads 2", "latency with two threads"),
        (f"edgecv evaluate {model} --data DIR", "accuracy on images of your own"),
        (f"edgecv build --recipe {recipe} -o DIR", "the same build again"),
    ]
