"""Whether a board's Edge TPU can run a model: asked step by step, the crash last and in a child."""

import re
from pathlib import Path
from typing import Any

from edgecv.coral import package
from edgecv.coral.rule_tables import table
from edgecv.device import board
from edgecv.device.description import Device
from edgecv.device.link import Link
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.progress import QUIET, Progress
from edgecv.tflite import flatbuffer
from edgecv.tflite.compiled import is_compiled

DRIVER_SECONDS = 60.0
FIRST_SECONDS = 300.0  # the first inference sends all parameters, on a Pi 3 by USB 2
VERSION = re.compile(r"RuntimeVersion\((\d+)\)")


def check_ready(device: Device, model: Path, progress: Progress = QUIET) -> list[str]:
    """Have the Edge TPU run a model once, which fills its cache; the warnings about it.

    A model that is not compiled is such a thing: it runs on the processor. Raises DeviceError where
    the driver is missing, too old for the model or for the runtime, or sees no Edge TPU.
    """
    flat = flatbuffer.read(model)
    if not is_compiled(flat):
        return [f"{model}: is not compiled for the Edge TPU; it runs on the processor"]
    needed = int(package.summary(flat, str(model))["min_runtime"])
    with board.connect(device) as agent:
        driver = _driver(agent, device)
        _check(driver, needed, device, model)
        there = board.place(agent, device, model, progress)
        _first(agent, device, there, driver["version"])
    return []


def _driver(agent: Link, device: Device) -> dict[str, Any]:
    """The driver's version and devices, read before anything is loaded with it."""
    try:
        return agent.call("attempt", {"name": "edgetpu"}, DRIVER_SECONDS)
    except DeviceUnreachable:
        raise
    except DeviceError as error:
        raise DeviceError(
            f"{device.name}: no Edge TPU driver: {str(error).partition('attempt: ')[2] or error};"
            f" install libedgetpu there, with the runtime that goes with it: {working_builds()}"
        ) from error


def _check(driver: dict[str, Any], needed: int, device: Device, model: Path) -> None:
    number = VERSION.search(driver["version"])
    if number and int(number[1]) < needed:
        raise DeviceError(
            f"{device.name}: {model.name} needs runtime {needed} or later, the driver there has"
            f" {number[1]}; update libedgetpu, or: edgecv coral compile --min-runtime {number[1]}"
        )
    if not driver["devices"]:
        raise DeviceError(
            f"{device.name}: the driver sees no Edge TPU; plug it in anew, and look at:"
            f" edgecv devices check {device.name}"
        )


def _first(agent: Link, device: Device, model: str, version: str) -> None:
    """Load and run once, in a process of its own. Raises DeviceError, explaining a crash."""
    params = {"model": model, **device.run_options()}
    try:
        agent.call("first", params, FIRST_SECONDS)
    except DeviceUnreachable:
        raise
    except DeviceError as error:
        if "signal" not in str(error):
            raise
        raise DeviceError(
            f"{device.name}: the runtime crashed ({str(error).rpartition(' with ')[2]}) with"
            f" libedgetpu {version}: they were built against different TFLite versions;"
            f" what works: {working_builds()}"
        ) from error


def working_builds() -> str:
    """The builds of libedgetpu that are known to work, with their runtimes."""
    rows = table("runtimes")["builds"]
    return "; ".join(
        f"{row['build']} with {row['runtime']}, Python {row['python']}"
        for row in rows
        if row["status"] == "works"
    )
