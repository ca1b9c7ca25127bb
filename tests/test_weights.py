"""Weights from files and from the network, against Keras's own models and a real HTTP server."""

import dataclasses
import hashlib
import http.server
import re
import threading
import warnings
import zipfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from edgecv import models
from edgecv.errors import WeightsError
from edgecv.models import download, published, weights
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ModelOptions

APPLICATIONS = tf_keras.applications
SIZE = 64


def randomise(model, seed=0):
    """Every weight and statistic of a model drawn anew; ImageNet's means where Keras puts them."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = [rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()]
        if isinstance(layer, tf_keras.layers.Normalization):
            values = list(map(np.array, ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0)))
        elif len(values) == 4:
            values[1:3] = [value - 1 for value in values[1:3]]
        elif values:
            values = [(value - 1) / np.sqrt(value.size) * 9 for value in values]
        layer.set_weights(values)
    return model


def scores(model, pixels):
    return np.asarray(model(pixels))


@pytest.fixture
def pixels():
    return np.random.default_rng(1).uniform(0, 255, (2, SIZE, SIZE, 3)).astype("float32")


def v1(classes=10, width=0.25):
    return APPLICATIONS.MobileNet((SIZE, SIZE, 3), width, weights=None, classes=classes)


def v2(classes=10):
    return APPLICATIONS.MobileNetV2((SIZE, SIZE, 3), 0.35, weights=None, classes=classes)


def v3(classes=10):
    return APPLICATIONS.MobileNetV3Small(
        (SIZE, SIZE, 3), 0.75, weights=None, classes=classes, include_preprocessing=False
    )


STOCK = [(v1, "mobilenet_v1", 0.25), (v2, "mobilenet_v2", 0.35), (v3, "mobilenet_v3_small", 0.75)]


@pytest.mark.parametrize(("stock", "arch", "width"), STOCK, ids=["v1", "v2", "v3"])
@pytest.mark.parametrize("kind", ["weights.h5", "model.h5", "model.keras"])
def test_kerass_own_files_load_exactly(stock, arch, width, kind, tmp_path, pixels):
    theirs = randomise(stock())
    save(theirs, tmp_path / kind)
    options = ModelOptions(arch, width, SIZE, weights=str(tmp_path / kind))
    assert weights.classes_of(options) == 10
    ours = models.build(options, 10)
    weights.load(ours, options, QUIET)
    centred = pixels / 127.5 - 1
    assert np.abs(scores(ours, centred) - scores(theirs, centred)).max() < 1e-6


def save(model, path):
    """As a file of weights alone, or of the whole model, by its name."""
    with warnings.catch_warnings(action="ignore"):  # Keras finds a whole model in .h5 outdated
        if path.name == "weights.h5":
            model.save_weights(path, save_format="h5")  # the format of the official files
        elif path.name.endswith(".weights.h5"):
            model.save_weights(path)
        else:
            model.save(path)


@pytest.mark.parametrize("kind", ["weights.h5", "model.keras"])
def test_official_efficientnet_takes_its_own_pixels(kind, tmp_path, pixels):
    theirs = randomise(
        APPLICATIONS.EfficientNetB0(weights=None, classes=10, input_shape=(SIZE, SIZE, 3))
    )
    save(theirs, tmp_path / kind)
    options = ModelOptions("efficientnet", resolution=SIZE, weights=str(tmp_path / kind))
    ours = models.build(options, 10)
    weights.load(ours, options, QUIET)
    mean, std = models.normalization(options)
    # With weights="imagenet" Keras divides by the root of the deviation once more than it does here
    trunk = tf_keras.Model(theirs.get_layer("stem_conv_pad").input, theirs.output)
    as_official = scores(trunk, (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    assert np.abs(scores(ours, (pixels - mean) / std) - as_official).max() < 1e-5


def test_models_that_start_from_official_efficientnets_keep_their_pixels(tmp_path):
    official = ModelOptions("efficientnet_b0", 0.25, 64, 0.3, weights="imagenet")
    fresh = dataclasses.replace(official, weights="")
    model = models.build(official, 5)
    for start, kind in [(official, "model.keras"), (official, "model.h5"), (fresh, "fresh.keras")]:
        save(model if start is official else models.build(fresh, 5), tmp_path / kind)
        tuned = dataclasses.replace(fresh, weights=str(tmp_path / kind))
        assert models.normalization(tuned) == models.normalization(start)
    again = dataclasses.replace(fresh, weights=str(tmp_path / "model.keras"))
    assert models.build(again, 5).name == model.name  # and so does what is made of them next


@pytest.mark.parametrize("arch", ["squeezenet", "mobilenet_v3_small"])
@pytest.mark.parametrize("kind", ["model.keras", "model.h5", "net.weights.h5"])
def test_own_files_load_exactly(arch, kind, tmp_path, pixels):
    options = ModelOptions(arch, 0.25, SIZE, weights=str(tmp_path / kind))
    before = models.build(ModelOptions(arch, 0.25, 96), 6)  # trained at another resolution
    randomise(before)
    before.compile("adam", "categorical_crossentropy")  # a file with an optimiser in it
    save(before, tmp_path / kind)
    after = models.build(options, 6)
    weights.load(after, options, QUIET)
    assert weights.classes_of(options) == 6
    for mine, other in zip(after.get_weights(), before.get_weights(), strict=True):
        assert np.array_equal(mine, other)


@pytest.mark.parametrize("arch", ["mobilenet_v1", "mobilenet_v2", "squeezenet"])
def test_other_classes_leave_only_the_last_layer_fresh(arch, tmp_path):
    path = tmp_path / "five.keras"
    randomise(before := models.build(ModelOptions(arch, 0.35, SIZE), 5)).save(path)
    options = ModelOptions(arch, 0.35, SIZE, weights=str(path))
    after = models.build(options, 3)
    head = [layer for layer in after.layers if layer.weights][-1]
    fresh = head.get_weights()
    said = []

    class Listener(Progress):
        def line(self, text):
            said.append(text)

    weights.load(after, options, Listener())
    assert all(map(np.array_equal, head.get_weights(), fresh))
    assert said == [f"weights: {path} (last layer new: 3 classes, not 5)"]
    trunk = len(after.layers[:-1])
    for mine, other in zip(after.layers[:trunk], before.layers[:trunk], strict=True):
        if mine is not head:
            assert all(map(np.array_equal, mine.get_weights(), other.get_weights()))


def test_weights_that_are_no_file():
    assert weights.classes_of(ModelOptions()) is None
    assert weights.classes_of(ModelOptions(weights="random")) is None
    assert weights.classes_of(ModelOptions(weights="imagenet")) == 1000


def refused(options, words, classes=10):
    """The one line that `load` refuses these weights with."""
    model = models.build(ModelOptions(options.arch, options.width, SIZE, options.depth), classes)
    with pytest.raises(WeightsError, match=words) as caught:
        weights.load(model, options, QUIET)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["model.keras", "weights.h5"])
def test_file_of_another_architecture(kind, tmp_path):
    path = tmp_path / kind
    save(models.build(ModelOptions("mobilenet_v2", 0.35, SIZE), 10), path)
    named = {"resolution": SIZE, "weights": str(path)}
    refused(
        ModelOptions("mobilenet_v1", 0.25, **named),
        r"of mobilenet_v1_0.25_64: 105 layers with weights, not 55",
    )
    shapes = r"of mobilenet_v2_0.5_64: layer 11, .*, has the shapes \[\(1, 1, 48, 8\)\], not"
    refused(ModelOptions("mobilenet_v2", 0.5, **named), shapes)


def test_truncated_and_foreign_files(tmp_path):
    model = models.build(ModelOptions("mobilenet_v1", 0.25, SIZE), 10)
    for name in ("model.keras", "model.h5"):
        save(model, tmp_path / name)
        cut = tmp_path / f"cut_{name}"
        cut.write_bytes((tmp_path / name).read_bytes()[:100_000])
        refused(
            ModelOptions("mobilenet_v1", 0.25, weights=str(cut)),
            r"cannot be read as a whole \.keras",
        )
    (tmp_path / "photo.h5").write_text("<html>")
    refused(
        ModelOptions("mobilenet_v1", 0.25, weights=str(tmp_path / "photo.h5")), "cannot be read"
    )
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(
        ModelOptions("mobilenet_v1", 0.25, weights=str(tmp_path / "other.keras")), "cannot be read"
    )
    refused(ModelOptions("mobilenet_v1", 0.25, weights="imagnet"), "did you mean 'imagenet'")


def test_a_model_file_is_never_run(tmp_path):
    """A Lambda layer in a .keras file holds code; only the arrays beside it are looked at."""
    marker = tmp_path / "ran"
    path = tmp_path / "trap.keras"
    image = tf_keras.Input((4,))
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    trap = tf_keras.layers.Lambda(eval(f"lambda x: [x, {code}][0]"))
    tf_keras.Model(image, tf_keras.layers.Dense(2)(trap(image))).save(path)
    marker.unlink()
    refused(ModelOptions("mobilenet_v1", 0.25, weights=str(path)), "layers with weights")
    assert not marker.exists()


# --- the published files and their download


def test_every_published_file_has_its_own_address():
    assert len({file.url for file in published.FILES}) == len(published.FILES) == 16 + 30 + 6 + 8
    hashed = [file for file in published.FILES if file.md5]
    assert len(hashed) == 14 and all(re.fullmatch("[0-9a-f]{32}", file.md5) for file in hashed)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (ModelOptions("mobilenet", 0.75, 160), "mobilenet_7_5_160_tf.h5"),
        (ModelOptions("mobilenet", 0.25, 100), "mobilenet_2_5_128_tf.h5"),
        (
            ModelOptions("mobilenet_v2", 1.4, 320),
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224.h5",
        ),
        (
            ModelOptions("mobilenet_v2", 0.35, 112),
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128.h5",
        ),
        (ModelOptions("mobilenet_v3_large", 0.75), "weights_mobilenet_v3_large_224_0.75_float.h5"),
        (
            ModelOptions("mobilenet_v3_small_minimalistic"),
            "weights_mobilenet_v3_small_minimalistic_224_1.0_float.h5",
        ),
        (ModelOptions("efficientnet_b7", resolution=96), "efficientnetb7.h5"),
        (ModelOptions("efficientnet", 1.2, depth=1.4), "efficientnetb3.h5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_published_file_for_each_width_and_resolution(options, name):
    assert published.find(models.resolve(options)).path.rsplit("/", 1)[-1] == name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ModelOptions("mobilenet", 0.6),
            r"mobilenet_v1 at width 0.6 \(there are: width 0.25, .*1\)",
        ),
        (ModelOptions("mobilenet_v3_small_minimalistic", 0.75), r"\(there are: width 1\)"),
        (
            ModelOptions("efficientnet_b1", depth=1.0, width=1.1),
            "width 1 with depth 1.1, width 1.1",
        ),
        (ModelOptions("squeezenet"), "for squeezenet_1_1; train it.*efficientnet_b, mobilenet_v1"),
    ],
    ids=lambda value: getattr(value, "arch", ""),
)
def test_nothing_published(options, words):
    with pytest.raises(WeightsError, match=words):
        published.find(models.resolve(options))


BODY = download.HDF5 + bytes(range(256)) * 4000
MD5 = hashlib.md5(BODY).hexdigest()


class Server:
    """A real HTTP server of one file, and what was asked of it."""

    def __init__(self, body=BODY):
        self.body, self.ranges, self.missing, self.break_after = body, True, False, []
        self.hash, self.asked = "", []
        handler = type("Handler", (_Handler,), {"site": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

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
    path = download.fetch(f"{server.url}/a/net.h5", MD5, tmp_path, QUIET)
    assert path == tmp_path / "net.h5" and path.read_bytes() == BODY
    server.close()
    assert download.fetch(f"{server.url}/a/net.h5", MD5, tmp_path, QUIET) == path
    assert server.asked == [0]


def test_broken_download_goes_on_where_it_broke_off(server, tmp_path):
    server.break_after = [300_000, 700_000]
    steps = []

    class Listener(Progress):
        def track(self, items, label, total=None):
            steps.append((label, total))
            yield from items

    path = download.fetch(f"{server.url}/net.h5", MD5, tmp_path, Listener())
    assert path.read_bytes() == BODY
    assert server.asked == [0, 300_000, 700_000]
    assert steps == [("net", 4), ("net", 3), ("net", 2)]


def test_next_run_goes_on_where_the_last_one_broke_off(server, tmp_path):
    server.break_after = [100_000, 200_000, 300_000]
    with pytest.raises(WeightsError, match="same command goes on where it broke off"):
        download.fetch(f"{server.url}/net.h5", MD5, tmp_path, QUIET)
    assert not (tmp_path / "net.h5").exists()
    assert download.fetch(f"{server.url}/net.h5", MD5, tmp_path, QUIET).read_bytes() == BODY
    assert server.asked == [0, 100_000, 200_000, 300_000]


def test_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "net.partial").write_bytes(b"x" * 500_000)
    assert download.fetch(f"{server.url}/net.h5", MD5, tmp_path, QUIET).read_bytes() == BODY


def test_partial_file_longer_than_the_servers(server, tmp_path):
    (tmp_path / "net.partial").write_bytes(b"x" * (len(BODY) + 5))
    assert download.fetch(f"{server.url}/net.h5", MD5, tmp_path, QUIET).read_bytes() == BODY
    assert server.asked == [len(BODY) + 5, 0]


@pytest.mark.parametrize(("published_md5", "sent"), [("0" * 32, ""), ("", "0" * 32)])
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


def test_imagenet_weights_from_a_mirror(tmp_path, monkeypatch, pixels):
    theirs = randomise(v1(classes=1000))
    theirs.save_weights(tmp_path / "official.h5", save_format="h5")
    server = Server((tmp_path / "official.h5").read_bytes())
    monkeypatch.setenv(published.SERVER_VARIABLE, f"{server.url}/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ModelOptions("mobilenet", 0.25, SIZE, weights="imagenet")
    ours = models.build(options, 1000)
    weights.load(ours, models.resolve(options), QUIET)
    server.close()
    centred = pixels / 127.5 - 1
    assert np.abs(scores(ours, centred) - scores(theirs, centred)).max() < 1e-6
    assert (tmp_path / "cache/edgecv/mobilenet_2_5_128_tf.h5").is_file()


def test_offline_says_what_to_do(server, tmp_path, monkeypatch):
    server.close()
    monkeypatch.setenv(published.SERVER_VARIABLE, server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = models.resolve(ModelOptions("mobilenet_v3_small", weights="imagenet"))
    said = refused(options, "cannot be fetched", classes=1000)
    name = "weights_mobilenet_v3_small_224_1.0_float.h5"
    assert f"{server.url}/tensorflow/keras-applications/mobilenet_v3/{name}" in said
    assert f"put it at {tmp_path / 'edgecv' / name}" in said


def test_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be kept: Not a directory"):
        download.fetch(f"{server.url}/net.h5", MD5, Path(tmp_path / "file/folder"), QUIET)
