"""`edgecv demo`: a model at work on what a camera sees, here or on a board."""

import json
import os
import re
import secrets
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import Command, add_group, option
from edgecv.cli.options import device_option, normalization, pixel_options
from edgecv.cli.recipe_flags import plain
from edgecv.cli.units import OneOf
from edgecv.errors import plural
from edgecv.recipe import RUNTIMES

if TYPE_CHECKING:
    from edgecv.artifacts import Normalization
    from edgecv.demo.options import DemoOptions
    from edgecv.device.description import Device

FILE = click.Path(path_type=Path)
LEAST_TOKEN = 16  # characters
RUNTIME = OneOf(("auto", *RUNTIMES))
DELEGATES = ("auto", "builtin", "edgetpu")


@click.command(cls=Command)
@click.argument("models", nargs=-1, type=FILE)
@add_group(
    "Pictures",
    plain(
        "--source",
        default="0",
        show_default=True,
        help="A camera's number, picamera, synthetic, a video, a folder, rtsp:// or http://.",
    ),
    plain("--size", default="640x480", show_default=True, help="Of a camera's pictures."),
    plain("--fps", type=float, help="Pictures a second of a camera, or of a folder."),
    plain("--once", is_flag=True, help="End with the file or folder, and skip no picture."),
)
@add_group(
    "Model",
    plain("--labels", type=FILE, help="A class a line.", show_default="the model's"),
    plain("--threads", type=int, help="Threads of the runtime.", show_default="the device's"),
    plain("--runtime", type=RUNTIME, help="The runtime.", show_default="the device's"),
    plain(
        "--delegate",
        type=OneOf(DELEGATES),
        help="What runs the operators; auto is XNNPACK.",
        show_default="the device's",
    ),
)
@pixel_options
@add_group(
    "Page",
    plain("--port", type=click.IntRange(0, 65535), help="Of the page.", show_default="8080"),
    plain("--listen", help="An address for the network, 0.0.0.0 for all; asks for a token."),
    plain(
        "--token",
        envvar="EDGECV_DEMO_TOKEN",
        help="What viewers must know.",
        show_default="a random one",
    ),
    plain(
        "--snapshots",
        default="snapshots",
        type=FILE,
        show_default=True,
        help="Where pictures are kept, in a folder for each class.",
    ),
    plain("--window", is_flag=True, help="In a window of the desktop, not in a page."),
    plain("--headless", "--json", "headless", is_flag=True, help="A line of JSON per picture."),
    plain("--open/--no-open", "opens", default=True, help="Open the page in a browser."),
)
@device_option("Where it runs.", default="host", show_default="this machine")
@option("--install", is_flag=True, help="First install what the device lacks, in a venv.")
@option(
    "--service",
    is_flag=False,
    flag_value="install",
    type=OneOf(["install", "remove"]),
    help="Start it with the machine, from now on; or remove that.",
)
def demo(models: tuple[Path, ...], device: str, **flags: Any) -> None:
    """Watch MODELS, .tflite files, classify what a camera sees: live, in a page of your browser.

    The page shows the picture, the classes, rates and delays, switches between the models, and
    keeps pictures in a folder per class for the next `edgecv build --data`. On a board it is
    watched through an ssh tunnel, and ends with the connection.

    \b
    edgecv demo model_int8.tflite
    edgecv demo model_int8.tflite --source synthetic --headless
    edgecv demo model_int8.tflite --source video.mp4 --once --json
    edgecv demo model_int8.tflite model_float32.tflite --device rpi4 --source picamera
    edgecv demo model_int8.tflite --device rpi4 --listen 0.0.0.0 --service
    edgecv demo --device rpi4 --service remove
    """
    pixels = normalization(flags.pop("mean"), flags.pop("std"))
    _check_installed()
    from edgecv.cli.progress import Terminal
    from edgecv.demo import remote
    from edgecv.device import description

    chosen = description.find(device)
    options = _options(models, chosen, flags, pixels)
    if flags["install"] and not chosen.local:
        remote.install(chosen, Terminal())
    if flags["service"]:
        _serve_always(chosen, options, flags["service"])
    elif chosen.local:
        _here(options, flags)
    else:
        _there(chosen, options, flags)


def _check_installed() -> None:
    """Raise DeviceError when edgecv was installed without what the demo needs."""
    import importlib.util

    from edgecv.errors import DeviceError

    missing = [name for name in ("cv2", "tornado") if importlib.util.find_spec(name) is None]
    if missing:
        raise DeviceError(
            f"the demo needs {' and '.join(missing)}: pip install 'edgecv[device]', or [build]"
        )


def _options(
    models: tuple[Path, ...],
    device: "Device",
    flags: dict[str, Any],
    pixels: "Normalization | None",
) -> "DemoOptions":
    """The options that the flags name. Raises RecipeError, and as `model.describe`."""
    from edgecv.cli.progress import Terminal
    from edgecv.demo.model_facts import describe
    from edgecv.demo.options import DemoOptions
    from edgecv.tflite import compiled

    _check(models, device, flags)
    compiled.check_runs(models, flags["delegate"] or device.delegate)
    return DemoOptions(
        models=describe([*dict.fromkeys(models)], flags["labels"], pixels, Terminal()),
        source=flags["source"],
        size=_size(flags["size"]),
        fps=flags["fps"],
        once=flags["once"],
        threads=flags["threads"] or device.threads,
        runtime=flags["runtime"] or device.runtime,
        delegate=flags["delegate"] or device.delegate,
        host=flags["listen"] or "127.0.0.1",
        port=flags["port"],
        token=(flags["token"] or secrets.token_urlsafe(LEAST_TOKEN)) if flags["listen"] else "",
        snapshots=str(flags["snapshots"]),
    )


def _check(models: tuple[Path, ...], device: "Device", flags: dict[str, Any]) -> None:
    """Raise RecipeError where flags are out of range, or do not go together."""
    from edgecv.errors import RecipeError

    fps, threads, token = (flags[name] for name in ("fps", "threads", "token"))
    removes = flags["service"] == "remove"
    rules = (
        (not models and not removes, "MODELS: name at least one .tflite file"),
        (fps is not None and not 0.01 <= fps <= 1000, f"--fps: must be 0.01 to 1000, got {fps}"),
        (threads is not None and not 1 <= threads <= 64,
         f"--threads: must be 1 to 64, got {threads}"),
        (flags["once"] and not flags["headless"], "--once: a page would end with it; add --json"),
        (flags["window"] and flags["headless"], "--window: not together with --headless"),
        (flags["window"] and not device.local, "--window: opens here; leave --device out"),
        (flags["service"] and (flags["window"] or flags["headless"]),
         "--service: shows a page; leave --window and --headless out"),
        (flags["listen"] and not device.local and not flags["service"],
         "--listen: a board's page comes through a tunnel; for its network add --service"),
        (token is not None and len(token) < LEAST_TOKEN,
         f"--token: must have {LEAST_TOKEN} characters or more"),
    )  # fmt: skip
    for broken, words in rules:
        if broken:
            raise RecipeError(words)


def _size(text: str) -> tuple[int, int]:
    """`640x480` as width and height. Raises RecipeError."""
    from edgecv.errors import RecipeError

    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if not match:
        raise RecipeError(f"--size: must be WIDTHxHEIGHT, such as 640x480, got {text!r}")
    return int(match[1]), int(match[2])


def _here(options: "DemoOptions", flags: dict[str, Any]) -> None:
    """Run it on this machine, until it ends or Ctrl-C."""
    from edgecv.demo import model_facts, run

    if options.delegate != "edgetpu":
        model_facts.check_runs(options.models, options.runtime)
    figures: dict[str, Any] = {}
    try:
        if flags["headless"]:
            figures = run.write_lines(options, run.print_line)
        elif flags["window"]:
            figures = run.show_window(options)
        else:

            def ready(port: int) -> None:
                _show_page(options, port, flags["opens"])

            figures = run.serve_page(options, run.snapshot_writer(options), ready)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `| head`: whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    _say_next(options, figures)


def _there(device: "Device", options: "DemoOptions", flags: dict[str, Any]) -> None:
    """Run it on a board, until it ends or Ctrl-C."""
    import dataclasses

    from edgecv.cli.progress import Terminal
    from edgecv.demo import remote

    archive, on_board = remote.place_demo(device, options, Terminal())
    on_board = dataclasses.replace(on_board, snapshots="")
    do = "lines" if flags["headless"] else "page"
    with remote.Session(device, archive, on_board, do) as session:
        try:
            for line in session.lines():
                if "ready" in line:
                    _show_page(options, session.port, flags["opens"])
                elif "snapshot" in line:
                    kept = remote.write_snapshot(flags["snapshots"], line)
                    click.echo(f"snapshot: {kept}", err=True)
                elif do == "lines":
                    click.echo(json.dumps(line))
        except KeyboardInterrupt:
            pass
    _say_next(options, {})


def _serve_always(device: "Device", options: "DemoOptions", do: str) -> None:
    """Make it start with the machine, or no more."""
    import tempfile

    from edgecv.cli.progress import Terminal
    from edgecv.demo import bundle, remote, service

    if device.local:
        with tempfile.TemporaryDirectory() as folder:
            said = (
                service.remove()
                if do == "remove"
                else service.install(options, bundle.build(Path(folder)))
            )
    else:
        archive, on_board = remote.place_demo(device, options, Terminal())
        with remote.Session(device, archive, on_board, do) as session:
            said = "\n".join(line["said"] for line in session.lines() if "said" in line)
    click.echo(said)
    if do == "install":
        click.echo(f"\nWatch it: {_watch(device, options)}")
    else:
        click.echo(f"\nNext: edgecv demo MODEL --device {device.name}")


def _watch(device: "Device", options: "DemoOptions") -> str:
    """How a service is looked at."""
    from edgecv.demo.options import PORT

    port = options.port or PORT
    if options.token:
        name = "THIS_MACHINE" if device.local else device.host.rpartition("@")[2]
        return f"http://{_in_url(name)}:{port}/?token={options.token}"
    if device.local:
        return f"http://127.0.0.1:{port}/"
    return f"ssh -L {port}:127.0.0.1:{port} {device.host}, then http://127.0.0.1:{port}/"


def _show_page(options: "DemoOptions", port: int, opens: bool) -> None:
    """Say where the page is, and open it where there is a screen."""
    own = "127.0.0.1" if options.host in ("0.0.0.0", "::", "") else options.host  # noqa: S104
    token = f"?token={options.token}" if options.token else ""
    page = f"http://{_in_url(own)}:{port}/{token}"
    click.echo(page)
    if options.token:
        click.echo(
            "anybody in the network who has the token can look; what they see is not encrypted",
            err=True,
        )
    click.echo("Ctrl-C ends it", err=True)
    screen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if opens and screen and sys.stdout.isatty():
        webbrowser.open(page)


def _in_url(host: str) -> str:
    """A host as it stands in an address: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _say_next(options: "DemoOptions", figures: dict[str, Any]) -> None:
    """The command's result in words, and the next command."""
    if "inference_ms" in figures:
        p50, p99 = (f"{figures['inference_ms'][name]:.2f} ms" for name in ("p50", "p99"))
        shown = plural(figures["frames"], "picture")
        click.echo(f"{shown}; inference p50 {p50}, p99 {p99}", err=True)
    click.echo(f"\nNext: {_next(options)}", err=True)


def _next(options: "DemoOptions") -> str:
    """Build from the snapshots, where there are any; else measure what was shown."""
    folder = Path(options.snapshots)
    if options.snapshots and folder.is_dir() and any(folder.iterdir()):
        return f"edgecv build mobilenet --data {shlex.quote(options.snapshots)}"
    return f"edgecv profile {shlex.quote(str(options.models[0].path))}"
