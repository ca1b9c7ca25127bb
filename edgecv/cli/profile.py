"""`edgecv profile`: the latency of any .tflite on this machine."""

import json
from pathlib import Path
from typing import Any

import click

from edgecv.cli.options import json_option
from edgecv.recipe import Recipe, override


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--runs", type=int, help="Timed inferences; 50 if left out.")
@click.option("--warmup-runs", type=int, help="Inferences before those; 5 if left out.")
@click.option("--threads", type=int, help="Threads of the runtime; 1 if left out.")
@click.option("--runtime", help="auto, litert or tflite.")
@json_option
def profile(model: Path, as_json: bool, **flags: Any) -> None:
    """Measure the latency and peak memory of MODEL, a .tflite file, on this machine.

    \b
    edgecv profile model_int8.tflite --threads 4
    """
    options = override(Recipe(), {}, {"profile": flags}).profile
    from edgecv.artifacts import TFLiteModel
    from edgecv.cli.progress import Terminal
    from edgecv.profile import profile as measure

    found = measure(TFLiteModel(model, model.stem), options, progress=Terminal())
    click.echo(json.dumps(found) if as_json else _text(found, model))


def _text(found: dict[str, Any], model: Path) -> str:
    """The percentiles, and what they were measured on."""
    rows = {
        "latency": f"p50 {found['p50_ms']:.3f} ms, p90 {found['p90_ms']:.3f}, "
        f"p99 {found['p99_ms']:.3f}, min {found['min_ms']:.3f}, first {found['first_ms']:.3f}",
        "measured": f"{found['runs']} runs, {found['threads']} thread(s), {found['runtime']},"
        f" {found['delegate']}, on {found['context']['cpu']}",
        "peak memory": f"{found['peak_rss_bytes'] / 1e6:.1f} MB",
        "valid": "yes" if found["valid"] else f"no: {found['reason']}",
    }
    lines = [f"{name:<12} {value}" for name, value in rows.items()]
    return "\n".join([*lines, "", f"Next: edgecv evaluate {model} --data LABELLED_FOLDER"])
