"""Keras files of others: read as they were meant, or refused by name; nothing in them is run."""

import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from keras_files import MODELS, SIDE, keras_of, saved

from edgecv.artifacts import CENTERED
from edgecv.errors import EdgecvError, UnsupportedModelError, WeightsError
from edgecv.models import foreign
from edgecv.models.foreign.build import build

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every model by name and version of Keras: its folder, two images and their answers."""
    made = {}
    with warnings.catch_warnings(action="ignore"):
        for version in (2, 3):
            for name in MODELS:
                folder = tmp_path_factory.mktemp(f"keras{version}")
                made[name, version] = (folder, *saved(folder, name, version)[1:])
    return made


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_answers_it_gave_in_keras(files, name, version, ending):
    folder, images, answers = files[name, version]
    path = folder / f"{name}.{ending}"
    source = foreign.read(path)
    model = build(source.network, source.arrays, path)
    assert np.abs(np.asarray(model(images)) - answers).max() < 1e-5
    assert not [layer for layer in model.layers if hasattr(layer, "layers")]  # flat


def test_what_a_model_does_to_pixels_is_read_from_its_file(files):
    def scale(name, version):
        return foreign.read(files[name, version][0] / f"{name}.keras").scale

    for version in (2, 3):
        assert scale("transfer", version) == CENTERED
        assert scale("flowers", version) == ((0, 0, 0), (255, 255, 255))
        mean, std = scale("normalized", version)
        assert mean == pytest.approx((127.5,) * 3, abs=5)
        assert std == pytest.approx((73.6,) * 3, abs=2)
        assert scale("nested_rows", version) is None
        assert scale("arithmetic", version) is None  # 255 - pixel is no mean and deviation


def test_names_that_were_changed_on_loading_do_not_mix_up_arrays(files, tmp_path):
    """Old versions of Keras add numbers to the names of scopes: then the order counts."""
    folder, images, answers = files["nested_rows", 2]
    path = tmp_path / "renamed.h5"
    path.write_bytes((folder / "nested_rows.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights/features"]
        names = [str(name) for name in group.attrs["weight_names"]]
        renamed = [f"{name.split('/')[0]}_1/{name.split('/')[1]}" for name in names]
        for old, new in zip(names, renamed, strict=True):
            group[new] = group[old][()]
            del group[old]
        group.attrs["weight_names"] = renamed
    source = foreign.read(path)
    model = build(source.network, source.arrays, path)
    assert np.abs(np.asarray(model(images)) - answers).max() < 1e-5


def refused(path, *words):
    """The one line that reading a file, and building its model, ends in."""
    with pytest.raises((UnsupportedModelError, WeightsError)) as caught:
        source = foreign.read(path)
        build(source.network, source.arrays, path)
    line = str(caught.value)
    assert "\n" not in line
    for word in (str(path), *words):
        assert word in line
    return line


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_lambda_is_refused_and_not_run(tmp_path, version, ending):
    marker, keras = tmp_path / "ran", keras_of(version)
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    trap = keras.layers.Lambda(eval(f"lambda x: [x, {code}][0]"), name="trap")
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), trap, keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.save(tmp_path / f"trap.{ending}")
    marker.unlink(missing_ok=True)
    refused(tmp_path / f"trap.{ending}", "'trap' is a Lambda", "runs no code", "--mean and --std")
    assert not marker.exists()


def test_a_layer_of_its_author_s_is_refused(tmp_path):
    keras = keras_of(3)

    class Mine(keras.layers.Layer):
        def call(self, x):
            return x * 2

    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), Mine(name="mine"), keras.layers.Flatten()]
    )
    model.save(tmp_path / "mine.keras")
    refused(tmp_path / "mine.keras", "'mine'", "edgecv runs no code from a file")


def rewritten(source, target, change):
    """A .keras file with another description."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name == "config.json" else data)
    return target


def test_a_damaged_or_hostile_file_is_one_line(files, tmp_path):
    whole = files["flowers", 3][0] / "flowers.keras"
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole.read_bytes()[:-500])
    refused(cut, "cannot be read")
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\0" * 50_000_000)
    refused(bomb, "would unpack to 50,000,000 bytes")
    deep = rewritten(whole, tmp_path / "deep.keras", lambda _: b'{"a":' * 9000 + b"1" + b"}" * 9000)
    refused(deep)
    training = rewritten(
        files["transfer", 3][0] / "transfer.keras",
        tmp_path / "training.keras",
        lambda data: data.replace(b'"training": false', b'"training": true'),
    )
    refused(training, "training=True")
    other = rewritten(
        whole,
        tmp_path / "other.keras",
        lambda data: data.replace(b'"filters": 16', b'"filters": 24'),
    )
    refused(other, "conv2d", "are described")


def test_arrays_are_read_from_the_file_itself_alone(files, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.ones((12, 5), np.float32)
    source = files["flowers", 2][0] / "flowers.h5"
    for kind in ("link", "storage"):
        path = tmp_path / f"{kind}.h5"
        path.write_bytes(source.read_bytes())
        with h5py.File(path, "r+") as file:
            group = file["model_weights/outputs/outputs"]
            del group["kernel:0"]
            if kind == "link":
                group["kernel:0"] = h5py.ExternalLink(str(secret), "kernel")
            else:
                outside = [(str(secret), 0, 240)]
                group.create_dataset("kernel:0", (12, 5), np.float32, external=outside)
        refused(path, "kernel:0")


def mutations(count):
    """Changes of a description: keys gone, values swapped, bytes of its JSON changed."""
    rng = np.random.default_rng(5)
    values = [None, True, -1, 0, 1e300, 2**70, "x", [], {}, [[]], {"class_name": "Conv2D"}, "Dense"]

    def places(value, path=()):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in inner:
            yield (*path, key)
            if isinstance(item, (dict, list)):
                yield from places(item, (*path, key))

    def change(data):
        if rng.random() < 0.1:
            spoilt = bytearray(data)
            for _ in range(3):
                spoilt[rng.integers(len(spoilt))] = rng.integers(256)
            return bytes(spoilt)
        table = json.loads(data)
        paths = list(places(table))
        for _ in range(rng.integers(1, 4)):
            *path, key = paths[rng.integers(len(paths))]
            try:
                parent = table
                for step in path:
                    parent = parent[step]
                if rng.random() < 0.3:
                    del parent[key]
                else:
                    parent[key] = values[rng.integers(len(values))]
            except (KeyError, IndexError, TypeError):
                continue
        return json.dumps(table).encode()

    return (change for _ in range(count))


@pytest.mark.parametrize("name", ["transfer", "flowers", "arithmetic", "normalized"])
@pytest.mark.parametrize("version", [2, 3])
def test_no_change_of_a_description_crashes(files, name, version, tmp_path):
    whole = files[name, version][0] / f"{name}.keras"
    source = foreign.read(whole)
    refusals, built = 0, 0
    for number, change in enumerate(mutations(320)):
        path = rewritten(whole, tmp_path / f"{number}.keras", change)
        try:
            found = foreign.read(path)
            if built < 5 and found.network != source.network:
                built += 1
                build(found.network, found.arrays, path)
        except EdgecvError as error:
            assert "\n" not in str(error)
            refusals += 1
        path.unlink()
    assert 50 < refusals < 320
