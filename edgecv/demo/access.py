"""Who may look: the rules that every request to the page has to pass.

On the loopback interface nobody but this machine's users can ask, but a web page that one of them
has open can make the browser do so: the host must be this machine's name for itself (DNS
rebinding), and what changes something must come from the page itself. In a network, a token is
demanded as well.
"""

import hmac
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from tornado import httputil, web

LOOPBACK = ("localhost", "127.0.0.1", "::1")
COOKIE = "edgecv_demo"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ASK = resources.files("edgecv.demo") / "token.html"  # of who has no token yet


class Guarded(web.RequestHandler):
    """A handler that answers whoever passes the rules; `token` is empty on the loopback interface.

    403: another host, another page. 401: no token, or a wrong one.
    """

    def initialize(self, **state: Any) -> None:
        """Take the arguments of the application's routes, which Tornado passes."""
        self.token: str = state["token"]

    def set_default_headers(self) -> None:
        """No other page may show or read anything of this one."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse who may not look."""
        request = self.request
        if not self.token and urlsplit(f"//{request.host}").hostname not in LOOPBACK:
            raise web.HTTPError(403, reason="Only as localhost; see edgecv demo --listen")
        if not own_page(request):
            raise web.HTTPError(403, reason="Not from this page")
        if self.token and not self._knows_token():
            self.set_status(401)
            self.finish(ASK.read_bytes())

    def _knows_token(self) -> bool:
        """Whether the token is in the address, in a cookie that it was put in, or in a header."""
        tokens = (
            self.get_query_argument("token", ""),
            self.get_cookie(COOKIE) or "",
            self.request.headers.get("Authorization", "").removeprefix("Bearer "),
        )
        return any(hmac.compare_digest(token.encode(), self.token.encode()) for token in tokens)

    def remember_token(self) -> bool:
        """Move a token from the address into a cookie, where no history shows it."""
        if not (self.token and self.get_query_argument("token", "")):
            return False
        self.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict", path="/")
        self.redirect("/")
        return True


def own_page(request: httputil.HTTPServerRequest) -> bool:
    """Whether a request comes from the demo's own page, or from no page at all."""
    if request.headers.get("Sec-Fetch-Site", "none") == "cross-site" and request.path != "/":
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
