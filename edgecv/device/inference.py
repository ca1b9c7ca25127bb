"""Outputs of a model on a board, batch by batch; a batch that was answered is not sent again."""

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from edgecv.device import board
from edgecv.device.description import Device
from edgecv.device.link import Link
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.files import sha256
from edgecv.progress import QUIET, Progress

SILENCE_SECONDS = 300.0  # longer than the slowest single inference: B7 on a Pi Zero


class Inference:
    """A model on a device, in a `with` block; nothing is connected before the first question.

    Answers are kept in the user's cache, under what was asked of whom, until the block ends well:
    the same questions after an interruption go on where it was.
    """

    def __init__(self, device: Device, model: Path, progress: Progress = QUIET) -> None:
        self.ran_on: set[str] = set()  # runtime, its version and its kernels
        self._device = device
        self._model = model
        self._progress = progress
        self._connected: tuple[Link, str] | None = None
        self._file = _kept_file(device, model)
        self._kept = _read(self._file)
        self._writing: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._hang_up()
        if self._writing:
            self._writing.close()
        if kind is None:
            self._file.unlink(missing_ok=True)

    def outputs(self, inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Every output tensor [n, ...] for a model's one input [n, ...], an inference an item.

        A connection that is lost is made once more. Raises DeviceError, naming the model, when the
        board cannot be reached or cannot run it.
        """
        data = inputs.tobytes()
        name = hashlib.sha256(data).hexdigest()
        if name not in self._kept:
            self._keep(name, self._asked(data, len(inputs)))
        reply = self._kept.pop(name)
        self.ran_on.add(f"{reply['runtime']} {reply['delegate']}")
        return [_unpacked(array) for array in reply["outputs"]]

    def _asked(self, data: bytes, count: int) -> dict[str, Any]:
        """The board's own answer."""
        try:
            try:
                return self._run(data, count)
            except DeviceUnreachable as error:
                self._progress.line(f"{error}; once more")
                self._hang_up()
                return self._run(data, count)
        except DeviceError as error:
            raise type(error)(f"{self._model}: {error}") from error

    def _run(self, data: bytes, count: int) -> dict[str, Any]:
        device = self._device
        if self._connected is None:
            agent = board.connect(device)
            self._connected = agent, board.place(agent, device, self._model, self._progress)
        agent, path = self._connected
        inputs = [base64.b64encode(data).decode()]
        params = {"model": path, "count": count, "inputs": inputs, **device.run_options()}
        return agent.call("run", params, SILENCE_SECONDS)

    def _keep(self, name: str, reply: dict[str, Any]) -> None:
        """Add an answer to the file; a line that is cut off there is no answer."""
        self._kept[name] = reply
        if self._writing is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._writing = self._file.open("a", encoding="utf-8")
            self._writing.write("\n")  # ends what an interruption left
        self._writing.write(json.dumps({"inputs": name, "reply": reply}) + "\n")
        self._writing.flush()

    def _hang_up(self) -> None:
        if self._connected:
            self._connected[0].close()
            self._connected = None


def _kept_file(device: Device, model: Path) -> Path:
    """Where answers of this model on this device are kept."""
    asked = json.dumps([sha256(model), dataclasses.asdict(device)], sort_keys=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "edgecv" / "answers" / f"{hashlib.sha256(asked.encode()).hexdigest()}.jsonl"


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """The answers that an interrupted run left, by the hash of their inputs."""
    arrays = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last one, cut off
                entry = json.loads(line)
                arrays[entry["inputs"]] = entry["reply"]
    return arrays


def _unpacked(output: dict[str, Any]) -> NDArray[Any]:
    """An array from what JSON carries of it."""
    data = base64.b64decode(output["data"])
    return np.frombuffer(data, output["dtype"]).reshape(output["shape"])
