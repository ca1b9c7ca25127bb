"""Scores from a device, and how far its outputs are from the host's on the same images."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import TFLiteModel
from edgecv.data import Sample
from edgecv.device.description import Device
from edgecv.device.inference import Inference
from edgecv.errors import DeviceError
from edgecv.evaluate.accuracy import evaluate
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES
from edgecv.tflite import contract, flatbuffer
from edgecv.tflite.compiled import ENDING, is_compiled, source
from edgecv.tflite.scores import Output

NAMES = {runtime.label: name for name, runtime in RUNTIMES.items()}  # a runtime's, by its label


def evaluate_on(
    device: Device,
    reference: TFLiteModel,
    candidate: TFLiteModel | None,
    samples: Iterable[Sample],
    labels: Sequence[str],
    data_name: str,
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """The accuracy of models on a device as by `evaluate`; under `on`, by scheme, where they ran.

    Raises as `evaluate`, and DeviceError when the device cannot be reached or run a model.
    """
    with ExitStack() as opened:
        running = {
            model.scheme: opened.enter_context(OnDevice(device, model, progress))
            for model in (reference, candidate)
            if model
        }
        result = evaluate(
            reference,
            candidate,
            samples,
            labels,
            data_name,
            progress,
            lambda model: running[model.scheme].scores,
        )
    return result.accuracy | {"on": {name: model.figures() for name, model in running.items()}}


class HostAgreement:
    """How far two machines' outputs are apart: every element of every tensor, as it is stored."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.images = self.identical = self.same_top1 = 0
        self.elements = self.differing = 0
        self.largest = 0.0

    def add(self, answers: list[NDArray[Any]], expected: list[NDArray[Any]]) -> None:
        """Compare the outputs [n, ...] of a batch; the first tensor holds the scores."""
        rows, other = (np.hstack([_rows(array) for array in side]) for side in (answers, expected))
        apart = np.abs(rows - other)
        self.images += len(apart)
        self.identical += int((apart == 0).all(1).sum())
        self.same_top1 += int((self._answers(answers[0]) == self._answers(expected[0])).sum())
        self.elements += apart.size
        self.differing += int((apart != 0).sum())
        self.largest = max(self.largest, float(apart.max()))

    def _answers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each image."""
        real = self._output.decode(values)
        answers: NDArray[np.int64] = self._output.of_each_class(real).argmax(1)
        return answers

    def figures(self) -> dict[str, Any]:
        """How much is equal; `max_difference` is in levels where the outputs are integers."""
        return {
            "images": self.images,
            "bit_equal": self.differing == 0,
            "identical_images": self.identical,
            "differing_share": self.differing / self.elements,
            "max_difference": self.largest,
            "same_top1": self.same_top1 / self.images,
        }


class OnDevice:
    """A model that scores images on a device while the host checks; used in a `with` block.

    The host uses the runtime that the device turns out to have. Scoring that is interrupted goes on
    where it was. Raises UnsupportedModelError when the model does not take an image.
    """

    def __init__(self, device: Device, model: TFLiteModel, progress: Progress = QUIET) -> None:
        self._device = device
        self._model = model
        self._said = contract.read(model.path, contract.Asked(model.normalization))
        self._open = ExitStack()
        self._there = self._open.enter_context(Inference(device, model.path, progress))
        self._here: Inference | None = None
        self._parity = HostAgreement(self._said.output)
        self._incomparable = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The device's real-valued scores [n, classes] for RGB images [n, height, width, 3]."""
        inputs = self._said.image.encode(images)
        answers = self._there.outputs(inputs)
        if not self._incomparable:
            self._compare(inputs, answers)
        output = self._said.output
        return output.of_each_class(output.decode(answers[0]))

    def figures(self) -> dict[str, Any]:
        """The model's device and runtime, and its `parity` with the host or the reason for none."""
        parity = self._parity.figures() if not self._incomparable else {}
        on_host = {"host": _words(self._here)} if self._here else {}
        reason = {"reason": self._incomparable} if self._incomparable else {}
        return {"device": self._device.name, "runtime": _words(self._there)} | {
            "parity": parity | on_host | reason
        }

    def _compare(self, inputs: NDArray[Any], answers: list[NDArray[Any]]) -> None:
        try:
            self._here = self._here or self._open.enter_context(self._on_host())
            self._parity.add(answers, self._here.outputs(inputs))
        except DeviceError as error:  # the host lacks a runtime, or an Edge TPU: no reason to stop
            self._here, self._incomparable = None, str(error)

    def _on_host(self) -> Inference:
        """The model on this machine, on the runtime that the device has."""
        label, _, _ = next(iter(self._there.ran_on)).partition(" ")
        delegate = "auto" if self._device.delegate == "edgetpu" else self._device.delegate
        host = Device("host", "local", runtime=NAMES[label], delegate=delegate)
        return Inference(host, self._comparable())

    def _comparable(self) -> Path:
        """The model itself, or, of one that only an Edge TPU runs, the one before compiling.

        Raises DeviceError when that is not beside it.
        """
        path = self._model.path
        if not is_compiled(flatbuffer.read(path)):
            return path
        uncompiled = source(path)
        if uncompiled is None:
            wanted = path.name.replace(ENDING, ".tflite")
            raise DeviceError(f"{path}: the model before compiling, {wanted}, is not beside it")
        return uncompiled


def _words(inference: Inference) -> str:
    """Runtime and kernels; more than one only where they changed between two parts of a run."""
    return ", ".join(sorted(inference.ran_on))


def _rows(values: NDArray[Any]) -> NDArray[np.float64]:
    """One row an image."""
    rows: NDArray[np.float64] = values.reshape(len(values), -1).astype(np.float64)
    return rows
