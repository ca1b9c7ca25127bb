"""What a model will cost, before anything is trained: its untrained twin, converted and counted."""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv import models
from edgecv.coral import planner as coral
from edgecv.device.description import Device
from edgecv.latency import device as latency
from edgecv.latency.measured import Profile
from edgecv.latency.model import Estimate, estimate
from edgecv.progress import Progress
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, kinds, operators


@dataclass(frozen=True)
class Plan:
    """The cost of a model; the int8 figures are estimated from its float32 file."""

    arch: str
    width: float
    depth: float | None
    resolution: int
    classes: int
    parameters: int
    macs: int
    float32_bytes: int
    int8_bytes_estimated: int
    activation_peak_bytes_estimated: int  # of the int8 model, buffers shared as the runtime does
    operators: dict[str, int]
    lanes: bool | None = None
    latency: list[Estimate] | None = None  # on the device that was asked for
    coral: dict[str, Any] | None = None  # the int8 model on an Edge TPU, estimated

    def to_json(self) -> str:
        """The plan as JSON; what does not apply is left out."""
        table = dataclasses.asdict(self)
        return json.dumps({key: value for key, value in table.items() if value is not None})


def plan(
    options: ModelOptions,
    progress: Progress,
    device: Device | None = None,
    profiles: Sequence[Profile] = (),
) -> Plan:
    """Parameters, multiply-accumulates, sizes and operators of an architecture; needs no data.

    With a device, also an estimate of the latency there, from published figures or, where there are
    any of the device, from `profiles` by operator. Raises RecipeError when there are neither.
    """
    from edgecv.convert.keras import convert
    from edgecv.quantize.int8 import sample_twin

    options = models.resolve(options)
    paces = latency.models(device, profiles) if device else []
    classes = options.classes or 1000
    progress.line(f"building {options.arch} {options.width:g}/{options.resolution}")
    model = models.build(options, classes)
    with tempfile.TemporaryDirectory() as folder:
        converted = convert(model, Path(folder) / "model.tflite")
        float32_bytes = converted.path.stat().st_size
        flat = flatbuffer.read(converted.path)
    return Plan(
        arch=options.arch,
        width=options.width or 1.0,
        depth=options.depth,
        resolution=options.resolution or model.input_shape[1],
        classes=classes,
        parameters=model.count_params(),
        macs=operators.macs(flat),
        float32_bytes=float32_bytes,
        int8_bytes_estimated=operators.int8_bytes(flat),
        activation_peak_bytes_estimated=operators.activation_peak(flat) // 4,
        operators=operators.counts(flat),
        lanes=options.lanes or None,
        latency=[estimate(each, kinds.costs(flat)) for each in paces] or None,
        coral=coral.plan(sample_twin(flat, options.arch), options.arch).summary(),
    )
