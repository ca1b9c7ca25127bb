"""`edgecv inspect`: what any .tflite takes, gives and costs, without running it."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgecv.cli.measurements import measurements
from edgecv.cli.options import device_option, json_option
from edgecv.errors import plural

SHOWN = 12  # layers; all are in the JSON
BYTES = {"uint8": "bytes as they are", "int8": "bytes with the highest bit flipped, pixel ^ 0x80"}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--layers", is_flag=True, help="Show every layer, not only the costliest.")
@device_option("Estimate the latency on it: rpi4, rpi5 ...")
@json_option
def inspect(model: Path, layers: bool, device: str | None, as_json: bool) -> None:
    """Show what MODEL, any .tflite file, takes and gives, and what its layers cost. Runs nothing.

    How pixels go in, where that is known from, the labels, operators, multiply-accumulates and
    bytes by layer, memory, the file's sections, and which delegate would take it, in how many
    partitions, and what it would leave out and why (estimated).

    \b
    edgecv inspect model_int8.tflite
    edgecv inspect model_int8.tflite --device rpi5 --json
    """
    from edgecv.tflite import inspection

    contents = inspection.inspect(model)
    if device:
        contents["latency"] = _latency(model, contents["scheme"], device)
    contents["next"] = _next(contents, model)
    click.echo(json.dumps(contents) if as_json else _text(contents, layers))


def _latency(model: Path, scheme: str, device_name: str) -> dict[str, Any]:
    """The estimate for a device, as JSON has it."""
    from edgecv.device import description
    from edgecv.estimate import device
    from edgecv.tflite import flatbuffer

    board = description.find(device_name)
    profiles = measurements(board.name, schemes=[scheme])
    flat = flatbuffer.read_to_look_at(model)
    return asdict(device.estimate_file(flat, scheme, board, profiles))


def _text(contents: dict[str, Any], layers: bool) -> str:
    """The file in aligned lines, and what to do next."""
    counts = ", ".join(f"{count} {name}" for name, count in contents["operators"].items())
    facts = {
        "file": f"{contents['bytes']:,} bytes, {contents['scheme']}",
        **_ends(contents),
        "operators": counts or "none",
        "MACs": f"{contents['macs']:,}",
        "parameters": f"{contents['parameter_bytes']:,} bytes",
        "arena": f"{contents['activation_peak_bytes']:,} bytes of activations at once (estimated)",
        "sections": ", ".join(f"{size:,} {name}" for name, size in contents["sections"].items()),
        "delegate": _delegate(contents["delegate"]),
    }
    if "latency" in contents:
        latency = contents["latency"]
        words = f"{latency['ms']:.3g} ms estimated, {plural(latency['threads'], 'thread')}"
        facts[f"on {latency['device']}"] = f"{words}; {latency['basis']}"
    return "\n".join(
        [
            *(f"{name:<12} {value}" for name, value in facts.items()),
            *(f"{'note':<12} {note}" for note in contents["notes"]),
            *(f"{'warning':<12} {warning}" for warning in contents.get("warnings", ())),
            *_layers(contents["layers"], layers),
            "",
            f"Next: {contents['next']}",
        ]
    )


def _ends(contents: dict[str, Any]) -> dict[str, str]:
    """Input and output: by the contract, or as the tensors they are."""
    if "contract" not in contents:
        tensors = {
            name: "; ".join(_tensor(tensor) for tensor in contents[f"{name}s"]) or "none"
            for name in ("input", "output")
        }
        return tensors | {"no image": contents["no_contract"]}
    image, output = contents["contract"]["input"], contents["contract"]["output"]
    pixels, labels = image["pixels"], output["labels"]
    color = "RGB" if image["channels"] == 3 else "gray"
    how = BYTES[image["dtype"]] if image["takes_bytes"] else _formula(pixels)
    crop = f", the central {image['crop']:.1%}" if image["crop"] < 1 else ""
    shape = "x".join(map(str, output["shape"]))
    names = (
        f"{plural(labels['count'], 'label')} ({labels['origin']})"
        if labels["count"]
        else "no labels"
    )
    more = f"; the first of {len(contents['outputs'])} outputs" if contents["outputs"][1:] else ""
    return {
        "input": f"{image['height']}x{image['width']} {color}, {_stored(image)}{crop}",
        "pixels": f"{how} ({pixels['origin']})",
        "output": f"{shape or '1'} {_stored(output)}: {output['scores']}, {names}{more}",
    }


def _formula(pixels: dict[str, Any]) -> str:
    mean, std = (
        ", ".join(f"{value:g}" for value in dict.fromkeys(pixels[key])) for key in ("mean", "std")
    )
    return f"(pixel - {mean}) / {std}"


def _stored(tensor: dict[str, Any]) -> str:
    scaled = "scale" in tensor
    grid = f" (scale {tensor['scale']:.6g}, zero point {tensor['zero_point']})" if scaled else ""
    return f"{tensor['dtype']}{grid}"


def _tensor(tensor: dict[str, Any]) -> str:
    shape = "x".join(map(str, tensor["shape"])) or "scalar"
    return f"{tensor['name']} {shape} {_stored(tensor)}"


def _delegate(contents: dict[str, Any]) -> str:
    custom = f"; custom operators: {', '.join(contents['custom'])}" if contents["custom"] else ""
    names = {"xnnpack": "XNNPACK", "edgetpu": "an Edge TPU", "none": "no delegate"}
    taken = f"{contents['operators']} of {contents['of']} operators"
    if contents["name"] == "xnnpack":
        from edgecv.tflite import delegation

        taken = delegation.text(contents)
    return f"{names[contents['name']]}: {taken} ({contents['origin']}){custom}"


def _layers(rows: list[dict[str, Any]], every: bool) -> list[str]:
    """The costliest layers, or all in the order they run."""
    costliest = sorted(rows, key=lambda row: (-row["macs"], -row["bytes"]))[:SHOWN]
    shown = rows if every else [row for row in costliest if row["macs"] or row["bytes"]]
    if not shown:
        return []
    head = f"{'MMACs':>9} {'kB':>9}  layer"
    lines = [
        f"{row['macs'] / 1e6:9.3f} {row['bytes'] / 1e3:9.1f}  {row['index']} {row['operator']}"
        f" -> {'x'.join(map(str, row['shape']))} {row['dtype']}"
        for row in shown
    ]
    left = len(rows) - len(shown)
    return ["", head, *lines, *([f"{'':20} and {left} more: --layers"] if left else [])]


def _next(contents: dict[str, Any], model: Path) -> str:
    """The command to go on with."""
    path = shlex.quote(str(model))
    if contents["delegate"]["name"] == "edgetpu":
        return f"edgecv coral inspect {path}"
    if "contract" not in contents:
        return f"edgecv profile {path}"
    if contents["scheme"] == "float32":
        return (
            f"edgecv quantize {path} --calibration IMAGES -o {shlex.quote(model.stem)}_int8.tflite"
        )
    return f"edgecv evaluate {path} --data LABELED_FOLDER"
