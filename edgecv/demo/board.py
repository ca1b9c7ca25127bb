"""The board's end of a demo that was started elsewhere: orders on stdin, news on stdout.

The first line of stdin is the order, a JSON object: `do`, and the demo's `options`. An empty line
has to follow every few seconds; when they cease, or stdin ends, so does the demo: nobody is there.
Started with the file of an order as its argument, as a service is, it needs no stdin.
"""

import base64
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgecv.demo import run, service
from edgecv.demo.options import DemoOptions, from_json
from edgecv.errors import EdgecvError

SILENCE_SECONDS = 15.0  # after which whoever started the demo is taken for gone
LAST_SECONDS = 5.0  # for the camera to be closed in
STDIN = 0


def main(arguments: Sequence[str]) -> int:
    """Do what is ordered; what the user has to mend is told in one line of JSON."""
    ordered = Path(arguments[1]).read_text(encoding="utf-8") if arguments[1:] else _first_line()
    order = json.loads(ordered)
    watched = not arguments[1:]
    try:
        ORDERS[order["do"]](from_json(json.dumps(order["options"])), watched)
    except EdgecvError as error:
        run.print_line({"error": " ".join(str(error).split())})
        return error.exit_code
    return 0


def _page(options: DemoOptions, watched: bool) -> None:
    keep = run.snapshot_writer(options) if options.snapshots else _sent
    if watched:
        _end_without_host(lambda: os.kill(os.getpid(), signal.SIGTERM))
    run.serve_page(options, keep, lambda port: run.print_line({"ready": port}))


def _lines(options: DemoOptions, watched: bool) -> None:
    stop = threading.Event()
    if watched:
        _end_without_host(stop.set)
    run.write_lines(options, run.print_line, stop)


def _install(options: DemoOptions, _: bool) -> None:
    run.print_line({"said": service.install(options, Path(sys.argv[0]))})


def _remove(_: DemoOptions, __: bool) -> None:
    run.print_line({"said": service.remove()})


ORDERS: dict[str, Callable[[DemoOptions, bool], None]] = {
    "page": _page,
    "lines": _lines,
    "install": _install,
    "remove": _remove,
}


def _sent(label: str, name: str, jpeg: bytes) -> str:
    """A snapshot that goes to whoever started the demo, who has the folder."""
    data = base64.b64encode(jpeg).decode()
    run.print_line({"snapshot": {"label": label, "name": name, "jpeg": data}})
    return f"{label}/{name}, where the demo was started"


def _first_line() -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(STDIN, 1)
        if not byte:
            break
        line += byte
    return line.decode()


def _end_without_host(end: Callable[[], Any]) -> None:
    """Call `end` when stdin ends or falls silent, and see to it that this process does end."""

    def watch() -> None:
        while select.select([STDIN], [], [], SILENCE_SECONDS)[0] and os.read(STDIN, 4096):
            pass
        end()
        threading.Event().wait(LAST_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
