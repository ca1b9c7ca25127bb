"""Who wants to keep others from the demo's page, or to break it, over real connections."""

import os
import resource
import socket

import pytest

from edgecv.demo.access import FREE_TRIES, WrongTokens
from edgecv.demo.connections import MOST_CONNECTIONS
from tests.served_demo import Served, read_all

TOKEN = "a-token-that-nobody-guesses"
HEAD = "{} HTTP/1.1\r\nHost: demo\r\n"
VIEWER = f"Authorization: Bearer {TOKEN}\r\n"
HALF_A_BODY = (
    HEAD.format("POST /control") + "Content-Type: application/json\r\nContent-Length: 4000\r\n"
)
DEEP = "[" * 4000


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    running = Served(folder, "--listen", "127.0.0.1", "--token", TOKEN)
    yield running
    running.end()


@pytest.fixture
def hold(guarded):
    """A function that opens connections which stay open until the test ends."""
    held = []

    def connect(text, count=1):
        held.extend(guarded.connect(text) for _ in range(count))
        return held[-count:]

    yield connect
    for connection in held:
        connection.close()


def looks(guarded):
    """Whether a viewer with the token is answered."""
    return guarded.ask("/state", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize("path", ["/control", "/snapshot", "/state", "/live", "/", "/none"])
def test_without_the_token_no_body_is_waited_for(guarded, path):
    text = HALF_A_BODY.replace("/control", path) + "\r\n[1, "
    assert guarded.say(text).startswith("HTTP/1.1 401 ")


def test_half_a_request_ends_after_a_while(guarded, hold):
    """Its head without the token, its body with it."""
    (head,) = hold(HEAD.format("GET /state"))
    (body,) = hold(HALF_A_BODY + VIEWER + "\r\n[1, ")
    assert read_all(body) == read_all(head) == ""


def test_strangers_make_room_and_viewers_stay(guarded, hold):
    (viewer,) = hold(HEAD.format("GET /state") + VIEWER + "\r\n")
    assert viewer.recv(15) == b"HTTP/1.1 200 OK"
    first, *_ = hold(HEAD.format("GET /"), MOST_CONNECTIONS + 50)
    assert looks(guarded)
    assert read_all(first) == ""
    viewer.sendall((HEAD.format("GET /state") + VIEWER + "Connection: close\r\n\r\n").encode())
    assert read_all(viewer).count("HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize("body", [DEEP, '{"a":' * 800, "[]", "{", "\0", ""])
def test_what_is_no_object_of_json_is_a_mistake_of_the_viewer(guarded, body):
    text = HEAD.format("POST /control") + VIEWER + "Connection: close\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    assert guarded.say(text + kind + body).startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("line", ["Host: [", "Host: a\r\nOrigin: http://[", "Host: a,b"])
def test_a_host_that_is_none_is_a_mistake_of_the_viewer(guarded, line):
    answer = guarded.say(f"GET /state HTTP/1.1\r\n{line}\r\nConnection: close\r\n{VIEWER}\r\n")
    assert answer.startswith("HTTP/1.1 400 ")


def test_text_that_is_not_utf8_is_a_mistake_of_the_viewer(guarded):
    assert guarded.ask("/state?token=%ff")[0] == 400


def test_wrong_tokens_wait_after_ten_of_them():
    wrong = WrongTokens()
    assert [wrong.delay(100.0) for _ in range(FREE_TRIES)] == [0.0] * FREE_TRIES
    assert [wrong.delay(100.0) for _ in range(12)] == [*map(float, range(1, 11)), 10.0, 10.0]
    assert wrong.delay(1000.0) == 0.0


def test_the_right_token_does_not_wait_for_wrong_ones(guarded, hold):
    *_, last = hold(HEAD.format("GET /state?token=wrong") + "\r\n", 3 * FREE_TRIES)
    assert looks(guarded)
    last.setblocking(False)
    with pytest.raises(BlockingIOError):
        last.recv(1)


def test_an_ipv6_address_is_shown_in_brackets_and_serves(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    running = Served(tmp_path, "--listen", "::1", "--token", TOKEN)
    assert running.url.startswith("http://[::1]:")
    assert looks(running)
    running.end()


def test_attacks_leave_nothing_in_the_log(tmp_path):
    """But one line, where this process has run out of files."""
    running = Served(tmp_path, "--listen", "127.0.0.1", "--token", TOKEN)
    for text in (
        DEEP,
        "GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        "\0" * 100,
        HEAD.format("GET /%ff?%ff") + "\r\n",
    ):
        running.connect(text + "\r\n").close()
    pid = running.process.pid
    most = len(os.listdir(f"/proc/{pid}/fd")) + 8
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    held = [running.connect(HEAD.format("GET /")) for _ in range(40)]
    assert looks(running)
    for connection in held:
        connection.close()
    running.process.terminate()
    lines = running.process.communicate()[1].splitlines()
    attack = [line for line in lines if "could not be accepted" in line]
    assert len(attack) == 1
    assert not [line for line in lines if "Traceback" in line or "Error" in line], lines
    assert running.process.returncode == 0
