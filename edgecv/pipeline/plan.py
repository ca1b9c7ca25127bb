"""The expected size and cost of a model, counted on shapes before anything is built."""

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
from edgecv.estimate import device as latency
from edgecv.estimate.measured import Profile
from edgecv.estimate.model import Estimate, estimate
from edgecv.models import Architecture
from edgecv.models.float_file import float_model
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, operator_kinds, operators
from edgecv.tflite.graph import Graph
from edgecv.tflite.int8_shapes import int8_shapes

CLASSES = 1000  # where no number is given: ImageNet's


@dataclass(frozen=True)
class Plan:
    """The cost of a model; what a file or a run adds to the counts is estimated."""

    arch: str
    width: float
    depth: float | None
    resolution: int
    classes: int
    parameters: int
    macs: int
    float32_bytes_estimated: int
    int8_bytes_estimated: int
    activation_peak_bytes_estimated: int  # of the int8 model, buffers shared as the runtime does
    operators: dict[str, int]
    lanes: bool | None = None
    latency: list[Estimate] | None = None  # on the device that was asked for
    coral: dict[str, Any] | None = None  # the int8 model on an Edge TPU, estimated
    imagenet: list[str] | None = None  # what `--weights imagenet` chooses from, its choice first

    def to_json(self) -> str:
        """The plan as JSON; what does not apply is left out."""
        table = dataclasses.asdict(self)
        return json.dumps({key: value for key, value in table.items() if value is not None})


def plan(
    options: ModelOptions,
    device: Device | None = None,
    profiles: Sequence[Profile] = (),
    edge_tpu: bool = True,
) -> Plan:
    """Parameters, multiply-accumulates, sizes and operators of an architecture; needs no data.

    With a device, also an estimate of the latency there, from published figures or, where there are
    any of the device, from `profiles` by operator. Raises RecipeError when there are neither.
    `edge_tpu` is whether to say what an Edge TPU would make of it, which takes the most time.
    """
    architecture = models.resolve(options)
    paces = latency.models(device, profiles) if device else []
    classes = options.classes or CLASSES
    parameters, flat = _converted(architecture, classes)
    costs = operator_kinds.costs(flat)
    return Plan(
        arch=architecture.arch,
        width=architecture.width,
        depth=architecture.depth if architecture.scales_depth else None,
        resolution=Graph(flat).shape(int(flat.subgraphs[0].inputs[0]))[1],
        classes=classes,
        parameters=parameters,
        macs=sum(cost.macs for cost in costs),
        float32_bytes_estimated=operators.file_bytes(flat),
        int8_bytes_estimated=operators.int8_bytes(flat),
        activation_peak_bytes_estimated=operators.activation_peak(flat) // 4,
        operators=operators.counts(flat),
        lanes=architecture.lanes or None,
        latency=[estimate(pace, costs) for pace in paces] or None,
        coral=coral.plan(int8_shapes(flat), architecture.arch).summary() if edge_tpu else None,
        imagenet=[str(source) for source in models.imagenet_sources(options)] or None,
    )


def latencies(
    options: ModelOptions, device: Device, profiles: Sequence[Profile] = ()
) -> list[Estimate]:
    """The estimates alone, by scheme. Raises RecipeError as `plan` does."""
    paces = latency.models(device, profiles)
    costs = operator_kinds.costs(_converted(models.resolve(options), options.classes or CLASSES)[1])
    return [estimate(pace, costs) for pace in paces]


def _converted(architecture: Architecture, classes: int) -> tuple[int, flatbuffer.ModelT]:
    """The parameters and the float model of an architecture, its weights left at zero.

    Only a model that is described by its own file is built and converted for that.
    """
    if architecture.arch != models.CUSTOM:
        network = models.network(architecture, classes)
        return network.parameters, float_model(network)
    from edgecv.convert.keras import convert

    model = models.build(architecture, classes)
    with tempfile.TemporaryDirectory() as folder:
        path = convert(model, Path(folder) / "model.tflite").path
        return model.count_params(), flatbuffer.read(path)
