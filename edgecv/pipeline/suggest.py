"""Which model? Every published size of every family, estimated on a device; nothing is built."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecv import models
from edgecv.coral import planner as coral
from edgecv.coral.rule_tables import costs
from edgecv.device.description import Device
from edgecv.errors import RecipeError
from edgecv.estimate import device as latency
from edgecv.estimate.measured import Profile
from edgecv.estimate.model import LatencyModel, estimate
from edgecv.models import Architecture
from edgecv.models.float_file import float_model
from edgecv.models.published_accuracy import IMAGES, Accuracy, accuracy, sizes
from edgecv.recipe import ModelOptions
from edgecv.tflite import operator_kinds, operators
from edgecv.tflite.int8_shapes import int8_shapes
from edgecv.tflite.schema import ModelT
from edgecv.tradeoff.choose import Choice, Limits, Option, choose
from edgecv.tradeoff.front import front
from edgecv.tradeoff.runs import Candidate, Latency, Runs

CLASSES = 1000
SCHEME = "int8"
DATA = "ImageNet, as published"
CORAL_HOSTS = {  # of the estimates for an Edge TPU, by device
    "host": "usb3_desktop",
    "coral_dev_board": "dev_board",
    "coral_usb_rpi4": "rpi4_usb3",
    "rpi4": "rpi4_usb3",
    "rpi3b_plus": "rpi3_usb2",
}


@dataclass(frozen=True)
class Suggestion:
    """A model on the device, with what was published of it."""

    option: Option
    top1: Accuracy  # of the float model, by which all are ranked
    int8: Accuracy | None

    @property
    def candidate(self) -> Candidate:
        """Its shape and size."""
        return self.option.candidate

    @property
    def name(self) -> str:
        """`mobilenet_v2_0.75_192`: architecture, width and resolution."""
        return self.candidate.run.name

    @property
    def build_line(self) -> str:
        """The command that builds it."""
        size = f"--width {self.candidate.width:g} --res {self.candidate.resolution}"
        return f"edgecv build {self.candidate.arch} {size} --data DIR"

    @property
    def imagenet(self) -> str | None:
        """The weights that `--weights imagenet` takes for it; None where none fit."""
        candidate = self.candidate
        options = ModelOptions(candidate.arch, candidate.width, candidate.resolution)
        sources = models.imagenet_sources(options)
        return str(sources[0]) if sources else None

    def to_json(self) -> dict[str, Any]:
        """The suggestions as JSON, each accuracy with its source."""
        candidate = self.candidate
        return {
            "name": self.name,
            "arch": candidate.arch,
            "width": candidate.width,
            "resolution": candidate.resolution,
            "parameters": candidate.parameters,
            "macs": candidate.macs,
            "int8_bytes_estimated": candidate.bytes,
            "latency_ms_estimated": self.option.ms,
            "top1": _accuracy_json(self.top1),
            **({"int8_top1": _accuracy_json(self.int8)} if self.int8 else {}),
            "imagenet": self.imagenet,
            "build": self.build_line,
        }


class Suggestions(NamedTuple):
    """All models on a device, those that nothing beats within the limits, and the picks."""

    device: str
    basis: str  # what the latencies were estimated from, and how far off they may be
    models: list[Suggestion]
    front: list[Suggestion]
    choice: Choice

    def of(self, option: Option) -> Suggestion:
        """The suggestion that an option of the choice is."""
        return next(suggestion for suggestion in self.models if suggestion.option is option)

    def runs(self) -> Runs:
        """The models as the trade-off page takes them."""
        return Runs([suggestion.candidate for suggestion in self.models], [])

    def to_json(self) -> dict[str, Any]:
        """The front and the picks; where nothing fits, what is nearest and which limit to give."""
        choice = self.choice
        table: dict[str, Any] = {
            "device": self.device,
            "basis": self.basis,
            "models": [suggestion.to_json() for suggestion in self.models],
            "front": [suggestion.name for suggestion in self.front],
            "picks": {name: self.of(option).to_json() for name, option in choice.chosen.items()},
        }
        if choice.nearest:
            table["nearest"] = self.of(choice.nearest).to_json()
            table["instead"] = {
                flag: self.of(option).to_json() for flag, option in choice.instead.items()
            }
        return table


class Pace(NamedTuple):
    """How latencies come about on a device: by its processor, or by an Edge TPU at a host."""

    device: str
    processor: LatencyModel | None
    host: str = ""

    @property
    def basis(self) -> str:
        """The basis of the estimated latencies, and how far off they may be."""
        if self.processor:
            return f"{self.processor.threads} threads; {estimate(self.processor, []).basis}"
        host = costs()["hosts"][self.host]
        return f"{host['title']}; {host['source']}"

    def latency(self, flat: ModelT) -> Latency | None:
        """The latency of a float model's int8 twin; None where it does not map to an Edge TPU."""
        if self.processor:
            result = estimate(self.processor, operator_kinds.costs(flat))
            doubt = result.ms * result.error.get("median", 0.0)
            bounds = (result.ms - doubt, result.ms + doubt)
            return self._entry(result.ms, bounds, result.threads, result.runtime)
        rows = coral.plan(int8_shapes(flat)).latency
        row = next((row for row in rows if row["host"] == self.host), None)
        if row is None:
            return None
        return self._entry(row["ms"], (row["low_ms"], row["high_ms"]), 1, "edgetpu")

    def _entry(self, ms: float, bounds: tuple[float, float], threads: int, runtime: str) -> Latency:
        return Latency(self.device, threads, runtime, "", "estimated", ms, *bounds, 0, True)


def pace(
    device: Device,
    target: str = "cpu",
    threads: int | None = None,
    profiles: Sequence[Profile] = (),
) -> Pace:
    """The latency models of a device. Raises RecipeError where it, or its threads, have none."""
    if target == "coral":
        if device.name not in CORAL_HOSTS:
            names = ", ".join(CORAL_HOSTS)
            raise RecipeError(
                f"--device {device.name}: no latency of an Edge TPU there is known"
                f" (there are for: {names})"
            )
        if threads:
            raise RecipeError(f"--threads {threads}: an Edge TPU has none; leave it out")
        return Pace(device.name, None, CORAL_HOSTS[device.name])
    profiles = [profile for profile in profiles if threads in (None, profile["threads"])]
    usable = [model for model in latency.models(device, profiles) if model.scheme == SCHEME]
    if not usable:
        raise RecipeError(
            f"--device {device.name}: no estimate of int8 with runtime {device.runtime} there;"
            f" measure a model: edgecv profile MODEL --device {device.name} --per-op --keep"
        )
    if threads and threads != usable[0].threads:
        raise RecipeError(
            f"--threads {threads}: latencies on {device.name} are known with {usable[0].threads}"
            f" threads; measure others: edgecv profile MODEL --device {device.name} --per-op"
        )
    return Pace(device.name, usable[0])


def suggest(pace: Pace, limits: Limits) -> Suggestions:
    """Every published size of every family, and which of them to take within the limits."""
    made = (_suggestion(options, pace) for options in candidates())
    suggestions = [suggestion for suggestion in made if suggestion]
    choice = choose([suggestion.option for suggestion in suggestions], limits)
    fitting = [suggestion for suggestion in suggestions if limits.allow(suggestion.option)]
    objectives = [
        (-suggestion.option.top1, suggestion.option.ms, suggestion.option.bytes)
        for suggestion in fitting
    ]
    best = sorted(
        (fitting[place] for place in front(objectives)),
        key=lambda suggestion: -suggestion.option.top1,
    )
    return Suggestions(pace.device, pace.basis, suggestions, best, choice)


def candidates() -> Iterator[Architecture]:
    """Every architecture at its published widths and resolutions."""
    for arch in models.MODELS:
        for width, resolution in sizes(arch):
            yield models.resolve(ModelOptions(arch, width, resolution))


def _suggestion(architecture: Architecture, pace: Pace) -> Suggestion | None:
    """A model on the device; None where its accuracy or its latency there is not known."""
    size = (architecture.width, architecture.resolution)
    top1 = accuracy(architecture.arch, size)
    network = models.network(architecture, CLASSES)
    flat = float_model(network)
    entry = pace.latency(flat)
    if top1 is None or entry is None:
        return None
    candidate = Candidate(
        run=Path(network.name),
        scheme=SCHEME,
        file="",
        arch=architecture.arch,
        width=architecture.width,
        resolution=architecture.resolution,
        parameters=network.parameters,
        macs=operators.macs(flat),
        bytes=operators.int8_bytes(flat),
        gzip_bytes=operators.int8_bytes(flat),
        pruning="none",
        sparsity=0.0,
        data=DATA,
        images=IMAGES,
        top1=top1.top1,
        latencies=(entry,),
    )
    option = Option(candidate, entry, top1.top1, entry.ms, candidate.bytes)
    return Suggestion(option, top1, accuracy(architecture.arch, size, SCHEME))


def _accuracy_json(figure: Accuracy) -> dict[str, Any]:
    return {key: value for key, value in figure._asdict().items() if value != ""}
