"""The published weights and their download, against a real HTTP server."""

import hashlib
import http.server
import json
import threading
from base64 import b64encode

import numpy as np
import pytest

from edgecv import models
from edgecv.errors import WeightsError
from edgecv.models import published, weights
from edgecv.models.weights import download, labels
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ModelOptions

BODY = download.HDF5 + bytes(range(256)) * 4000
MD5 = hashlib.md5(BODY).hexdigest()
DIGEST = f"md5:{MD5}"


class Server:
    """A real HTTP server of one file, and what was asked of it."""

    def __init__(self, body=BODY):
        self.body, self.ranges, self.missing, self.break_after = body, True, False, []
        self.hash, self.asked = "", []
        handler = type("Handler", (_Handler,), {"site": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    site: Server

    def do_GET(self):
        site, size = self.site, len(self.site.body)
        start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        site.asked.append(start)
        if not site.ranges:
            start = 0
        if site.missing or start >= size:
            return self.send_error(404 if site.missing else 416)
        self.send_response(206 if site.ranges else 200)
        self.send_header("Content-Length", str(size - start))
        if site.hash:
            self.send_header("x-goog-hash", "crc32c=n03x6A==")
            self.send_header("x-goog-hash", f"md5={b64encode(bytes.fromhex(site.hash)).decode()}")
        self.end_headers()
        stop = site.break_after.pop(0) if site.break_after else size
        self.wfile.write(site.body[start:stop])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def test_download_is_kept(server, tmp_path):
    path = download.fetch(f"{server.url}/a/net.h5", DIGEST, tmp_path, QUIET)
    assert path == tmp_path / "net.h5" and path.read_bytes() == BODY
    server.close()
    assert download.fetch(f"{server.url}/a/net.h5", DIGEST, tmp_path, QUIET) == path
    assert server.asked == [0]


def test_broken_download_goes_on_where_it_broke_off(server, tmp_path):
    server.break_after = [300_000, 700_000]
    steps = []

    class Listener(Progress):
        def track(self, items, label, total=None):
            steps.append((label, total))
            yield from items

    path = download.fetch(f"{server.url}/net.h5", DIGEST, tmp_path, Listener())
    assert path.read_bytes() == BODY
    assert server.asked == [0, 300_000, 700_000]
    assert steps == [("net", 4), ("net", 3), ("net", 2)]


def test_next_run_goes_on_where_the_last_one_broke_off(server, tmp_path):
    server.break_after = [100_000, 200_000, 300_000]
    with pytest.raises(WeightsError, match="same command goes on where it broke off"):
        download.fetch(f"{server.url}/net.h5", DIGEST, tmp_path, QUIET)
    assert not (tmp_path / "net.h5").exists()
    assert download.fetch(f"{server.url}/net.h5", DIGEST, tmp_path, QUIET).read_bytes() == BODY
    assert server.asked == [0, 100_000, 200_000, 300_000]


def test_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "net.partial").write_bytes(b"x" * 500_000)
    assert download.fetch(f"{server.url}/net.h5", DIGEST, tmp_path, QUIET).read_bytes() == BODY


def test_partial_file_longer_than_the_servers(server, tmp_path):
    (tmp_path / "net.partial").write_bytes(b"x" * (len(BODY) + 5))
    assert download.fetch(f"{server.url}/net.h5", DIGEST, tmp_path, QUIET).read_bytes() == BODY
    assert server.asked == [len(BODY) + 5, 0]


@pytest.mark.parametrize(("published_md5", "sent"), [("md5:" + "0" * 32, ""), ("", "0" * 32)])
def test_wrong_hash_is_not_kept(server, tmp_path, published_md5, sent):
    server.hash = sent
    for _ in range(2):  # the second run starts over, not from the bad bytes
        with pytest.raises(WeightsError, match=f"has the MD5 {MD5}, not 0000"):
            download.fetch(f"{server.url}/net.h5", published_md5, tmp_path, QUIET)
    assert server.asked == [0, 0]
    assert not list(tmp_path.glob("net.h5")) and not list(tmp_path.glob("*.partial"))


def test_page_in_place_of_a_file(tmp_path):
    server = Server(b"<html>please log in</html>")
    with pytest.raises(WeightsError, match="not an HDF5 file"):
        download.fetch(f"{server.url}/net.h5", "", tmp_path, QUIET)
    server.close()


def test_kept_file_that_changed_is_noticed(server, tmp_path):
    path = download.fetch(f"{server.url}/net.h5", "", tmp_path, QUIET)
    path.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(WeightsError, match=r"SHA-256 .* was .* when it was fetched"):
        download.fetch(f"{server.url}/net.h5", "", tmp_path, QUIET)


def test_missing_file_is_asked_for_once(server, tmp_path):
    server.missing = True
    with pytest.raises(WeightsError, match=r"net.h5 cannot be fetched \(HTTP 404 Not Found\)"):
        download.fetch(f"{server.url}/net.h5", "", tmp_path, QUIET)
    assert server.asked == [0]


def test_imagenet_weights_from_a_mirror(tmp_path, monkeypatch):
    official = models.build(ModelOptions("mobilenet", 0.25, 128), 1000)
    official.save_weights(tmp_path / "official.h5", save_format="h5")
    server = Server((tmp_path / "official.h5").read_bytes())
    monkeypatch.setenv(published.SERVER_VARIABLE, f"{server.url}/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ModelOptions("mobilenet", 0.25, 64, weights="imagenet")
    model = models.build(options, 1000)
    weights.load(model, options, QUIET)
    server.close()
    assert all(map(np.array_equal, model.get_weights(), official.get_weights()))
    assert (tmp_path / "cache/edgecv/mobilenet_2_5_128_tf.h5").is_file()


def test_offline_says_what_to_do(server, tmp_path, monkeypatch):
    server.close()
    monkeypatch.setenv(published.SERVER_VARIABLE, server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ModelOptions("mobilenet_v3_small", resolution=64, weights="imagenet:keras")
    with pytest.raises(WeightsError, match="cannot be fetched") as caught:
        weights.load(models.build(options, 1000), options, QUIET)
    name = "weights_mobilenet_v3_small_224_1.0_float.h5"
    assert f"{server.url}/tensorflow/keras-applications/mobilenet_v3/{name}" in str(caught.value)
    assert f"put it at {tmp_path / 'edgecv' / name}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be kept: Not a directory"):
        download.fetch(f"{server.url}/net.h5", DIGEST, tmp_path / "file/folder", QUIET)


def test_imagenet_labels_come_in_the_order_of_the_weights(tmp_path, monkeypatch):
    rows = {str(n): [f"n{n:08}", f"name {n}"] for n in range(1000)}
    server = Server(json.dumps(rows).encode())
    md5 = hashlib.md5(server.body).hexdigest()
    monkeypatch.setattr(labels, "CLASSES_MD5", f"md5:{md5}")
    monkeypatch.setenv(published.SERVER_VARIABLE, server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names, _ = weights.imagenet_labels(QUIET)
    server.close()
    assert (len(names), names[0], names[999]) == (1000, "name 0", "name 999")


def test_imagenet_labels_are_numbers_offline(tmp_path, monkeypatch):
    monkeypatch.setenv(published.SERVER_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names, warnings = weights.imagenet_labels(QUIET)
    assert names[:2] == ("0", "1")
    assert "imagenet_class_index.json" in warnings[0]
