"""Runs a demo on this machine: in a page, in a window, or as lines of JSON."""

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2

from edgecv.demo import server, snapshots, window
from edgecv.demo.frames import now
from edgecv.demo.live_figures import Machine
from edgecv.demo.options import DemoOptions
from edgecv.demo.pipeline import Pipeline, Result

FIRST_SECONDS = 6.0  # after which a page is shown of a silent camera too; it says so after 5
FIGURES_SECONDS = 1.0
SHOWN = 5  # classes in a line of JSON
SWITCH_SECONDS = 0.0005  # a thread that has scores need not wait 5 ms for one that counts bytes

log = logging.getLogger(__name__)
Write = Callable[[dict[str, Any]], None]


def snapshot_writer(options: DemoOptions) -> server.Keep:
    """A function that writes snapshots into the folder that the options name."""
    root = Path(options.snapshots)
    return lambda label, name, jpeg: str(snapshots.write_snapshot(root, label, name, jpeg))


def serve_page(
    options: DemoOptions,
    keep: server.Keep,
    ready: Callable[[int], None],
    stop: asyncio.Event | None = None,
) -> dict[str, Any]:
    """The figures of a demo in a page, when it has ended; `ready` hears the port it is served on.

    Raises EdgecvError when the source, the model or the port cannot be used.
    """
    with _running(options) as pipeline:
        pipeline.first.wait(FIRST_SECONDS)
        pipeline.wait(0)
        asyncio.run(server.serve(pipeline, keep, ready, stop or asyncio.Event()))
        return pipeline.figures.read()


def show_window(options: DemoOptions) -> dict[str, Any]:
    """The figures of a demo in a window, when it has ended. Raises as `serve_page`."""
    with _running(options) as pipeline:
        with suppress(KeyboardInterrupt):
            window.show(pipeline)
        return pipeline.figures.read()


def write_lines(
    options: DemoOptions, write: Write, stop: threading.Event | None = None
) -> dict[str, Any]:
    """The figures of a demo that writes every result, when it has ended. Raises as `serve_page`.

    A result has its classes, times and its file's name; once a second it has the figures too.
    """
    machine, last_written = Machine(), [now()]

    def tell(result: Result) -> None:
        line = {
            "time": round(time.time(), 3),
            **({"name": result.frame.name} if result.frame.name else {}),
            "top": result.top(SHOWN, smoothed=False),
            "inference_ms": round(1e3 * result.inference_seconds, 3),
            "delay_ms": round(1e3 * result.delay, 3),
        }
        if now() - last_written[0] >= FIGURES_SECONDS:
            last_written[0] = now()
            line["figures"] = {
                **pipeline.figures.read(),
                **machine.read(),
                "dropped": pipeline.dropped,
            }
        write(line)

    with _running(options, tell) as pipeline:
        with suppress(KeyboardInterrupt):
            noted = ""
            while not pipeline.wait(0.1) and not (stop and stop.is_set()):
                noted = _warn_anew(pipeline.note, noted)
        return pipeline.figures.read()


def _warn_anew(note: str, noted: str) -> str:
    """Say what is amiss, once, until nothing is; what was said."""
    if note and not noted:
        log.warning("%s", note)
    return note and (noted or note)


@contextmanager
def _running(
    options: DemoOptions, listen: Callable[[Result], None] = lambda _: None
) -> Iterator[Pipeline]:
    threads, interval = cv2.getNumThreads(), sys.getswitchinterval()
    cv2.setNumThreads(1)  # the cores are the model's
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        pipeline = Pipeline(options, listen)
        pipeline.start()
        try:
            yield pipeline
        finally:
            pipeline.close()
    finally:
        cv2.setNumThreads(threads)
        sys.setswitchinterval(interval)


def print_line(line: dict[str, Any]) -> None:
    """Write a line of JSON to standard output, now."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
