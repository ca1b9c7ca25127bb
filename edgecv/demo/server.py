"""The demo's page and what it asks for: live pictures and figures, settings, snapshots.

GET  /          the page
WS   /live      first the models, then figures as JSON and pictures as JPEG; a viewer asks for
                each picture by any message, so that none waits in a queue on the way
GET  /state     the figures once
POST /control   {"running": bool} or {"model": number, "threads": number}
POST /snapshot  {"label": name}
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import json
import re
import signal
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from tornado import netutil, web, websocket

from edgecv.demo import snapshots
from edgecv.demo.access import Absent, Guarded, WrongTokens
from edgecv.demo.connections import Connections
from edgecv.demo.frames import now
from edgecv.demo.options import PORT
from edgecv.demo.pipeline import Pipeline
from edgecv.demo.screen import STATE_SECONDS, Screen
from edgecv.errors import DataError, DeviceError, EdgecvError

MOST_VIEWERS = 8
MOST_BODY = 4096  # bytes of a request
BACKLOG = 1024  # connections that wait to be accepted: who finds it full tries again after a second
PING_SECONDS = 10.0
SEND_BUFFER = 1 << 17  # bytes that the kernel may keep for a viewer: about three pictures
PAGE = resources.files("edgecv.demo") / "page.html"  # also from an archive
Keep = Callable[[str, str, bytes], str]  # a snapshot's label, name and JPEG; where it is


class Page(Guarded):
    """The page itself; its script and style are the only ones a browser will run in it."""

    def get(self) -> None:
        """The page, or the way to it without the token in the address."""
        if not self.remember_token():
            self.set_header("Content-Security-Policy", policy(self.request.host))
            self.finish(PAGE.read_bytes())


class StateHandler(Guarded):
    """The figures, for scripts."""

    def initialize(self, **state: Any) -> None:
        """Take the arguments of the application's routes, which Tornado passes."""
        super().initialize(**state)
        self.screen: Screen = state["screen"]

    async def get(self) -> None:
        """The same JSON that viewers get."""
        self.finish(await self.screen.state())


class Control(StateHandler):
    """Start and stop, the model, the number of threads."""

    async def post(self) -> None:
        """Do what is asked for; 400 with a line on what is wrong."""
        pipeline, asked = self.screen.pipeline, self.read_request()
        try:
            if isinstance(asked.get("running"), bool):
                (pipeline.go_on if asked["running"] else pipeline.stop)()
            else:
                model, threads = (_whole(asked, key) for key in ("model", "threads"))
                await asyncio.to_thread(pipeline.choose, model, threads)
        except EdgecvError as error:
            self.refuse(400, str(error))
            return
        self.finish(await self.screen.state())

    def read_request(self) -> dict[str, Any]:
        """The request's JSON object; a form, which another page could send, is refused."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0]
        if kind != "application/json":
            raise web.HTTPError(415, reason="JSON is needed")
        with contextlib.suppress(ValueError, RecursionError):
            request = json.loads(bytes(self.received))
            if isinstance(request, dict):
                return request
        raise web.HTTPError(400, reason="A JSON object is needed")

    def refuse(self, status: int, why: str) -> None:
        """Say in one line why not."""
        self.set_status(status)
        self.finish({"error": " ".join(why.split())})


class Snapshot(Control):
    """A picture to keep."""

    def initialize(self, **state: Any) -> None:
        """Take the arguments of the application's routes, which Tornado passes."""
        super().initialize(**state)
        self.keep: Keep = state["keep"]

    async def post(self) -> None:
        """Write the newest picture into its label's folder; the answer says where."""
        latest, label = self.screen.pipeline.latest, self.read_request().get("label")
        if latest is None:
            self.refuse(409, "there is no picture yet")
            return
        try:
            if not isinstance(label, str):
                raise DataError("label: must be a text")
            name, jpeg = await asyncio.to_thread(snapshots.encode_snapshot, latest.frame.pixels)
            self.finish({"file": await asyncio.to_thread(self.keep, label, name, jpeg)})
        except EdgecvError as error:
            self.refuse(400, str(error))


class Live(Guarded, websocket.WebSocketHandler):
    """A viewer."""

    def initialize(self, **state: Any) -> None:
        """Take the arguments of the application's routes, which Tornado passes."""
        super().initialize(**state)
        self.screen: Screen = state["screen"]
        self.viewers: set[Live] = state["viewers"]
        self.asks = asyncio.Event()
        self.sent_at: float | None = None  # when the picture on its way was taken
        self.seen_ms: float | None = None
        self.sending: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Refuse one viewer too many."""
        await super().prepare()
        if not self._finished and len(self.viewers) >= MOST_VIEWERS:
            raise web.HTTPError(503, reason=f"{MOST_VIEWERS} viewers look already")

    def open(self, *_: str, **__: str) -> None:
        """Begin to send."""
        self.viewers.add(self)
        self.set_nodelay(True)
        stream = self.ws_connection.stream if self.ws_connection else None
        if stream and stream.socket:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.sending = [
            asyncio.ensure_future(self._sent(sender)) for sender in (self._pictures, self._figures)
        ]

    def on_message(self, _: str | bytes) -> None:
        """The picture is on the screen; send the next one."""
        if self.sent_at is not None:
            self.seen_ms = round(1e3 * (now() - self.sent_at), 1)
        self.asks.set()

    def on_close(self) -> None:
        """End what sends."""
        self.viewers.discard(self)
        for task in self.sending:
            task.cancel()

    async def _sent(self, what: Callable[[], Any]) -> None:
        with contextlib.suppress(websocket.WebSocketClosedError, asyncio.CancelledError):
            await what()

    async def _pictures(self) -> None:
        number = 0
        while True:
            await self.asks.wait()
            self.asks.clear()
            picture = await self.screen.picture(number)
            number = picture.number
            self.sent_at = picture.result.frame.taken if picture.result else None
            await self.write_message(picture.jpeg, binary=True)

    async def _figures(self) -> None:
        models = [
            {
                "name": model.name,
                "labels": model.labels,
                "crop": model.crop,
                "facts": model.facts,
            }
            for model in self.screen.pipeline.options.models
        ]
        await self.write_message(json.dumps({"models": models}))
        while True:
            own = {"viewers": len(self.viewers), "seen_ms": self.seen_ms}
            await self.write_message(json.dumps({**await self.screen.state(), **own}))
            await asyncio.sleep(STATE_SECONDS)


def policy(host: str) -> str:
    """The Content-Security-Policy of the page: its own script and style, no other origin."""
    own = {name: _hashes(name) for name in ("script", "style")}
    return (
        f"default-src 'none'; script-src {own['script']}; style-src {own['style']};"
        f" img-src blob: data:; connect-src 'self' ws://{host};"
        " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


@functools.cache
def _hashes(tag: str) -> str:
    """The hashes of a kind of inline element in the page, as a policy names them."""
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _whole(asked: dict[str, Any], key: str) -> int:
    """A whole number of a request. Raises DataError."""
    value = asked.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f"{key}: must be a whole number")
    return value


def application(
    screen: Screen, token: str, keep: Keep, connections: Connections
) -> web.Application:
    """The routes above."""
    common = {"token": token, "wrong_tokens": WrongTokens(), "connections": connections}
    looking = {**common, "screen": screen}
    return web.Application(
        [
            (r"/", Page, common),
            (r"/live", Live, {**looking, "viewers": set()}),
            (r"/state", StateHandler, looking),
            (r"/control", Control, looking),
            (r"/snapshot", Snapshot, {**looking, "keep": keep}),
        ],
        default_handler_class=Absent,
        default_handler_args=common,
        websocket_ping_interval=PING_SECONDS,
        websocket_max_message_size=MOST_BODY,
        log_function=lambda _: None,
    )


async def serve(
    pipeline: Pipeline, keep: Keep, ready: Callable[[int], None], stop: asyncio.Event
) -> None:
    """Serve the page until `stop` is set or the pipeline ends; `ready` hears the port.

    Raises DeviceError when the port is taken, and what ended the pipeline.
    """
    options, screen, connections = pipeline.options, Screen(pipeline), Connections()
    routes = application(screen, options.token, keep, connections)
    server = connections.server(routes, MOST_BODY)
    sockets = _bound(options.host, options.port, options.socket)
    accepting = [asyncio.create_task(connections.accept(bound, server)) for bound in sockets]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        ready(0 if options.socket else sockets[0].getsockname()[1])
        while not stop.is_set() and not pipeline.wait(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), STATE_SECONDS)
    finally:
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        for bound in sockets:
            bound.close()
        await server.close_all_connections()
        screen.close()
        if options.socket:
            Path(options.socket).unlink(missing_ok=True)


def _bound(host: str, port: int | None, path: str) -> list[socket.socket]:
    """Listening sockets: on the usual port, where none is asked for and it is free.

    Raises DeviceError with what to do.
    """
    if path:
        return [netutil.bind_unix_socket(path, mode=0o600)]
    if port is None:
        with contextlib.suppress(OSError):
            return netutil.bind_sockets(PORT, host, backlog=BACKLOG)
    try:
        return netutil.bind_sockets(port or 0, host, backlog=BACKLOG)
    except OSError as error:
        where = host if port is None else f"{host}, port {port}"
        raise DeviceError(f"{where}: cannot be listened on: {error.strerror or error}") from error
