"""The page's connections: a limited number at a time, and strangers make room for viewers.

A connection is trusted from its first request that passes the rules of `access`. Where one too many
comes, the oldest of the others is closed, so that nobody who sends half a request keeps a place.
"""

import asyncio
import errno
import logging
import socket
from typing import Any

from tornado import httpserver, iostream, web

from edgecv.demo.frames import now

# Twice what a listening socket queues: whoever was accepted last is read before he is the oldest.
MOST_CONNECTIONS = 256
MOST_BUFFERED = 1 << 20  # bytes of a connection
HEADER_SECONDS = 5.0  # for the head of a request, and between two of them
BODY_SECONDS = 5.0
PAUSE_SECONDS = 0.1  # after an error, until the next try to accept
LOG_SECONDS = 60.0  # between two lines on such errors
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Connections:
    """All connections of a page."""

    def __init__(self, most: int = MOST_CONNECTIONS) -> None:
        self._most = most
        self._strangers: dict[iostream.IOStream, None] = {}  # the oldest first
        self._trusted: set[iostream.IOStream] = set()
        self._logged_at = -LOG_SECONDS

    def server(self, application: web.Application, most_body: int) -> httpserver.HTTPServer:
        """A server that waits only so long for the head and the body of a request."""
        return httpserver.HTTPServer(
            application,
            max_body_size=most_body,
            idle_connection_timeout=HEADER_SECONDS,
            body_timeout=BODY_SECONDS,
        )

    async def accept(self, listening: socket.socket, server: httpserver.HTTPServer) -> None:
        """Hand new connections of a listening socket to the server, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                self._survive(error)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            stream = iostream.IOStream(connection, max_buffer_size=MOST_BUFFERED)
            if self._make_room():
                self._strangers[stream] = None
                server.handle_stream(stream, address)
            else:
                stream.close()
            await asyncio.sleep(0)  # those who are here are served between two who come

    def trust(self, stream: Any) -> None:
        """Keep the connection of a request that passed the rules, whoever comes."""
        self._strangers.pop(stream, None)
        self._trusted.add(stream)

    def _make_room(self) -> bool:
        """Whether there is room for one more, if need be in the place of the oldest stranger."""
        if len(self._strangers) + len(self._trusted) >= self._most:
            self._strangers = {stream: None for stream in self._strangers if not stream.closed()}
            self._trusted = {stream for stream in self._trusted if not stream.closed()}
        if len(self._strangers) + len(self._trusted) < self._most:
            return True
        return self._close_oldest()

    def _close_oldest(self) -> bool:
        """Close the oldest connection that is not trusted; False where there is none."""
        oldest = next(iter(self._strangers), None)
        if oldest is not None:
            del self._strangers[oldest]
            oldest.close()
        return oldest is not None

    def _survive(self, error: OSError) -> None:
        """Make room where files have run out, and say so at most once a minute."""
        if error.errno in EXHAUSTED:
            self._close_oldest()
        if now() - self._logged_at >= LOG_SECONDS:
            self._logged_at = now()
            log.warning("a connection could not be accepted: %s", error.strerror or error)
