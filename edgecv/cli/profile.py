"""`edgecv profile`: the latency of any .tflite on this machine or on boards."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli import latency, parts
from edgecv.cli.command import Command, add_group, option
from edgecv.cli.options import device_option, json_option
from edgecv.cli.recipe_flags import plain
from edgecv.cli.units import OneOf
from edgecv.recipe import RUNTIMES

if TYPE_CHECKING:
    from edgecv.device.description import Device
    from edgecv.profile.fleet import Fleet, Job
    from edgecv.recipe import ProfileOptions

FILE = click.Path(path_type=Path)
Entry = dict[str, Any]
RUNTIME = OneOf(("auto", *RUNTIMES))


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, type=FILE)
@add_group(
    "Measurement",
    plain("--inferences", "runs", type=int, help="Timed inferences.", show_default="50"),
    plain(
        "--warmup",
        "warmup_runs",
        type=int,
        help="Least inferences before those, which begin when the times are steady.",
        show_default="5",
    ),
    plain("--threads", help="Threads, e.g. 4 or 1,2,4.", show_default="the device's"),
    plain("--sweep", is_flag=True, help="With 1 thread, 2, and so on, up to 4."),
    plain("--runtime", type=RUNTIME, help="The runtime.", show_default="the device's"),
    plain("--force", is_flag=True, help="Accept a measurement that is not valid."),
)
@add_group(
    "What is measured, in place of latency",
    plain("--per-op", is_flag=True, help="The time of every operator, and a chart."),
    plain("--keep", is_flag=True, help="Of --per-op: from now on, estimate this device from it."),
    plain("--count", is_flag=True, help="Instructions of an inference; on the emulated Pi."),
    plain(
        "--board",
        help="Whose core --count emulates: pi3, pi4 or pi5.",
        show_default="the board that runs, or pi4",
    ),
)
@device_option(
    "A device's name or file; again, or with commas between, for several at once.",
    multiple=True,
    default=("host",),
    show_default="this machine",
)
@option("--out", "-o", type=FILE, help="Keep the samples in this JSON file.")
@json_option
def profile(
    models: tuple[Path, ...],
    device: tuple[str, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure the latency and peak memory of MODELS, .tflite files, by turns, on a device.

    Exit code 3 says that a measurement is not valid: the board throttled, another program ran. What
    is measured of a model in a run's folder is kept there, for `edgecv check`.

    \b
    edgecv profile model_int8.tflite --threads 4
    edgecv profile a.tflite b.tflite --device rpi4 --sweep
    edgecv profile model_int8.tflite --device rpi4,rpi5
    edgecv profile model_int8.tflite --device rpi4 --per-op --keep
    edgecv profile model_int8.tflite --device emulated_pi --count --board pi5
    """
    from edgecv.cli.progress import Terminal
    from edgecv.device import description
    from edgecv.files import check_outputs
    from edgecv.profile import fleet
    from edgecv.tflite import compiled

    names = list(dict.fromkeys(name for text in device for name in text.split(",")))
    devices = [description.find(name) for name in names]
    wanted = parts.Wanted(*(flags.pop(name) for name in ("per_op", "count", "board", "keep")))
    plans = _plans(devices, flags)
    check_outputs([out] if out else [], [*models, *map(Path, names)])
    for board in devices:
        compiled.check_runs(models, board.delegate)
    parts.check(wanted, models, plans, devices, force)
    if wanted.any:
        options, _ = plans[devices[0].name]
        inside = parts.show(wanted, models[0], options, devices[0], out, as_json)
        _judge(fleet.Fleet([inside], {}), 1, force)
        return
    measured, progress = _measured(devices, models, plans), Terminal()
    for path in _keep(measured.latency, models, out):
        progress.line(f"samples: {path}")
    count = len(devices)
    click.echo(
        latency.as_json(measured, count) if as_json else latency.as_text(measured, models[0])
    )
    _judge(measured, count, force)


def _measured(
    devices: "Sequence[Device]",
    models: Sequence[Path],
    plans: "dict[str, tuple[ProfileOptions, list[int]]]",
) -> "Fleet":
    """The latencies of all devices; of one device alone, an error is the command's."""
    from edgecv.cli.progress import Terminal
    from edgecv.profile import fleet

    job, progress = _job(models, plans), Terminal()
    if len(devices) == 1:
        return fleet.Fleet(job(devices[0], progress), {})
    return fleet.measure_all(devices, job, progress)


def _plans(
    devices: "Sequence[Device]", flags: dict[str, Any]
) -> "dict[str, tuple[ProfileOptions, list[int]]]":
    """The options for each device, by its name. Raises RecipeError when two have the same."""
    from edgecv.errors import RecipeError

    plans = {device.name: _plan(device, flags) for device in devices}
    if len(plans) < len(devices):
        raise RecipeError(
            f"--device: two of them have the same name: {', '.join(e.name for e in devices)}"
        )
    return plans


def _plan(device: "Device", flags: dict[str, Any]) -> "tuple[ProfileOptions, list[int]]":
    """The options for a device, and the numbers of threads. Raises RecipeError."""
    from edgecv.errors import RecipeError
    from edgecv.profile.latency import sweep
    from edgecv.recipe import Recipe, override

    keys = {key: value for key, value in flags.items() if key not in ("threads", "sweep")}
    keys["runtime"] = keys["runtime"] or device.runtime
    if flags["sweep"] and flags["threads"]:
        raise RecipeError("--sweep: not together with --threads")
    wanted = sweep(device) if flags["sweep"] else _numbers(flags["threads"] or str(device.threads))
    options = [
        override(Recipe(), {}, {"profile": {**keys, "threads": threads}}).profile
        for threads in wanted
    ]
    return options[0], [option.threads for option in options]


def _numbers(text: str) -> list[int]:
    """`1,2,4` as numbers. Raises RecipeError."""
    from edgecv.errors import RecipeError

    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        words = "must be whole numbers with commas between, 1 to 64"
        raise RecipeError(f"--threads: {words}, got {text!r}") from None


def _job(models: Sequence[Path], plans: "dict[str, tuple[ProfileOptions, list[int]]]") -> "Job":
    """The measurement to make on each device."""
    from edgecv.artifacts import TFLiteModel
    from edgecv.coral.edge_tpu_check import check_ready
    from edgecv.profile.latency import TimedModel, measure
    from edgecv.progress import Progress

    named = [TFLiteModel(path, name) for path, name in zip(models, _names(models), strict=True)]

    def job(device: "Device", progress: Progress) -> list[Entry]:
        options, threads = plans[device.name]
        if device.delegate == "edgetpu":
            for model in named:
                for warning in check_ready(device, model.path, progress):
                    progress.warn(warning)
        variants = [TimedModel(model, count) for model in named for count in threads]
        return measure(variants, options, device, progress)

    return job


def _names(models: Sequence[Path]) -> list[str]:
    """Names for the models: of their files, with the folder where those are equal."""
    stems = [path.stem for path in models]
    return stems if len(set(stems)) == len(stems) else [f"{p.parent.name}/{p.stem}" for p in models]


def _keep(entries: Sequence[Entry], models: Sequence[Path], out: Path | None) -> Iterable[Path]:
    """The files that the samples are kept in: the one asked for, and in the runs' folders."""
    from edgecv.profile import results

    if out:
        yield results.write(out, entries)
    for path, name in zip(models, _names(models), strict=True):
        for device in dict.fromkeys(entry["device"] for entry in entries):
            kept = results.results_path(path, device)
            own = [
                {**entry, "model": path.stem}
                for entry in entries
                if (entry["model"], entry["device"]) == (name, device)
            ]
            if kept:
                yield results.keep(kept, own)


def _judge(measured: "Fleet", devices: int, force: bool) -> None:
    """Raise DeviceError when a device failed, CheckFailed when a figure is not valid."""
    from edgecv.errors import CheckFailed, DeviceError

    if measured.failed:
        raise DeviceError(
            f"{len(measured.failed)} of {devices} devices failed: {', '.join(measured.failed)}"
        )
    doubtful = [entry for entry in measured.latency if not entry["valid"]]
    if doubtful and not force:
        raise CheckFailed(
            f"{len(doubtful)} of {len(measured.latency)} measurements not valid:"
            f" {doubtful[0]['reason']}; --force accepts them"
        )
