"""Who may look: the rules that every request to the page has to pass.

On the loopback interface nobody but this machine's users can ask, but a web page that one of them
has open can make the browser do so: the host must be this machine's name for itself (DNS
rebinding), and what changes something must come from the page itself. In a network, a token is
demanded as well.
"""

import asyncio
import hmac
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from tornado import httputil, web

from edgecv.demo.connections import Connections
from edgecv.demo.frames import now

LOOPBACK = ("localhost", "127.0.0.1", "::1")
COOKIE = "edgecv_demo"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
FREE_TRIES = 10  # wrong tokens that are answered at once
TRY_SECONDS = 1.0  # between two answers to those that follow
LONGEST_WAIT_SECONDS = 10.0  # so that a mistyped token is answered while somebody else guesses
ASK = (resources.files("edgecv.demo") / "token.html").read_bytes()  # of who has no token yet


class WrongTokens:
    """How long wrong tokens wait for their answer: ten at once, then one a second."""

    def __init__(self) -> None:
        self._due = 0.0  # when the last of them is answered; ten seconds ago, or later

    def delay(self, time: float) -> float:
        """Seconds that a wrong token of this moment waits for its answer."""
        earliest = max(self._due, time - FREE_TRIES * TRY_SECONDS)
        self._due = min(earliest + TRY_SECONDS, time + LONGEST_WAIT_SECONDS)
        return max(0.0, self._due - time)


@web.stream_request_body  # so that the rules are applied before a body is waited for
class Guarded(web.RequestHandler):
    """A handler that answers whoever passes the rules; `token` is empty on the loopback interface.

    400: a host that is none. 403: another host, another page. 401: no token, or a wrong one, and
    that with a delay after ten of them. `received` is the request's body.
    """

    def initialize(self, **state: Any) -> None:
        """Take the arguments of the application's routes, which Tornado passes."""
        self.token: str = state["token"]
        self.wrong_tokens: WrongTokens = state["wrong_tokens"]
        self.connections: Connections = state["connections"]
        self.received = bytearray()

    def set_default_headers(self) -> None:
        """No other page may show or read anything of this one."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body; the server limits its size."""
        self.received += chunk

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Write nothing on a request that is refused, so that nobody can fill the log."""
        if not isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)

    async def prepare(self) -> None:
        """Refuse who may not look; trust the connection of whoever may."""
        connection: Any = self.request.connection
        stream, name = connection.stream, split_host(self.request.host).hostname
        if not self.token and name not in LOOPBACK:
            raise web.HTTPError(403, reason="Only as localhost; see edgecv demo --listen")
        if not own_page(self.request):
            raise web.HTTPError(403, reason="Not from this page")
        if self.token and not await self._knows_token():
            self.set_status(401)
            self.finish(ASK)
        else:
            self.connections.trust(stream)

    async def _knows_token(self) -> bool:
        """Whether the token is in the address, in a cookie that it was put in, or in a header."""
        tokens = [
            self.get_query_argument("token", ""),
            self.get_cookie(COOKIE) or "",
            self.request.headers.get("Authorization", "").removeprefix("Bearer "),
        ]
        if any(hmac.compare_digest(token.encode(), self.token.encode()) for token in tokens):
            return True
        if any(tokens):
            await asyncio.sleep(self.wrong_tokens.delay(now()))
        return False

    def remember_token(self) -> bool:
        """Move a token from the address into a cookie, where no history shows it."""
        if not (self.token and self.get_query_argument("token", "")):
            return False
        self.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict", path="/")
        self.redirect("/")
        return True


class Absent(Guarded):
    """Any other address: 404, to whoever passes the rules."""

    async def prepare(self) -> None:
        """Refuse who may not look, and tell the others that nothing is there."""
        await super().prepare()
        if not self._finished:
            raise web.HTTPError(404)


def own_page(request: httputil.HTTPServerRequest) -> bool:
    """Whether a request comes from the demo's own page, or from no page at all."""
    if request.headers.get("Sec-Fetch-Site", "none") == "cross-site" and request.path != "/":
        return False
    origin = request.headers.get("Origin")
    return origin is None or split_host(origin.partition("://")[2]).netloc == request.host


def split_host(host: str) -> Any:
    """A host of a request, taken apart as `urlsplit` does it. Raises 400 where it is none."""
    try:
        return urlsplit(f"//{host}")
    except ValueError:  # a bracket that is not closed
        raise web.HTTPError(400, reason="No host") from None
