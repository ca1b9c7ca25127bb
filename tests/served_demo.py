"""`edgecv demo` in a process of its own, asked over HTTP."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from tests.demo_models import demo_models
from tests.waiting import SECONDS


class Served:
    """`edgecv demo` in a process of its own, with moving signs."""

    def __init__(self, folder, *arguments):
        command = [sys.executable, "-m", "edgecv", "demo", *demo_models(), "--source", "synthetic",
                   "--port", "0", "--snapshots", folder / "snapshots", *arguments]  # fmt: skip
        self.folder = folder / "snapshots"
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), self.process.stderr.read()
        self.origin = re.match(r"http://[^/]*", self.url)[0]

    def ask(self, path, body=None, **headers):
        """Status and JSON of a request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        asked = urllib.request.Request(self.origin + path, data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _parsed(error.read())

    def connect(self, text=""):
        """A connection on which a text was sent as it is."""
        connection = socket.create_connection(("127.0.0.1", urlsplit(self.url).port), SECONDS)
        connection.sendall(text.encode())
        return connection

    def say(self, text):
        """The answer to a request as it is, until the connection ends."""
        with self.connect(text) as connection:
            return read_all(connection)

    def state(self):
        return self.ask("/state")[1]

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=SECONDS)
        return self.process.returncode


def read_all(connection):
    """What comes until the connection ends."""
    return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")


def _parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
