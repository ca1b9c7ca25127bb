"""Keras files of others: read as they were meant, or refused by name; nothing in them is run."""

import contextlib
import json
import shutil
import subprocess
import sys
import warnings
import zipfile

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import CENTERED
from edgecv.cli import main
from edgecv.convert.saved_graph import check_graph
from edgecv.errors import EdgecvError, UnsupportedModelError, WeightsError
from edgecv.models import foreign
from edgecv.models.foreign.rebuild import build
from edgecv.tflite import contract, metadata, runtime
from tests.keras_files import MODELS, SIDE, keras_of, saved

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


# -- the command line ----------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def refusal(shown, *words):
    """The one line that a command ends in."""
    assert shown.exit_code == 1, shown.output
    assert isinstance(shown.exception, SystemExit)
    *_, last = shown.stderr.strip().splitlines()
    assert last.startswith("Error: ")
    for word in words:
        assert word in last


def scores_of(tflite, images):
    interpreter = runtime.load(tflite.read_bytes())
    answers = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(answers)


@pytest.mark.parametrize(
    ("name", "version", "ending", "scale", "ends_in"),
    [
        ("transfer", 3, "keras", CENTERED, "logits or numbers"),
        ("flowers", 2, "h5", ((0, 0, 0), (255, 255, 255)), "logits or numbers"),
        ("nested_rows", 2, "h5", None, "softmax"),
        ("arithmetic", 3, "h5", None, "sigmoid"),
    ],
)
def test_convert_writes_a_float_file_with_the_same_answers(
    files, tmp_path, name, version, ending, scale, ends_in
):
    folder, images, answers = files[name, version]
    out = tmp_path / "float.tflite"
    shown = run("convert", folder / f"{name}.{ending}", "-o", out, "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["image"] == [1, *images.shape[1:]]
    assert found["scores"] == [1, answers.shape[1]]
    assert found["ends_in"] == ends_in
    assert found["difference"] < 1e-4
    if scale is None:
        assert metadata.read(out) is None  # nothing is said that is not known
    else:
        mean, std = metadata.read(out).normalization
        assert (mean, std) == scale
        images = ((images - np.array(mean)) / np.array(std)).astype(np.float32)
    assert np.abs(scores_of(out, images) - answers).max() < 1e-6 * max(10, abs(answers).max())


def test_flags_say_what_the_file_does_not(files, tmp_path):
    path = files["nested_rows", 2][0] / "nested_rows.h5"
    labels, out = tmp_path / "labels.txt", tmp_path / "float.tflite"
    labels.write_text("0 cat\n1 dog\n2 none\n")
    flags = ("--labels", labels, "--mean", "127.5", "--std", "127.5", "-o", out)
    shown = run("convert", path, *flags)
    assert shown.exit_code == 0, shown.output
    assert metadata.read(out).normalization == CENTERED
    assert contract.read(out).output.labels == ("cat", "dog", "none")
    assert f"Next: edgecv quantize {out}" in shown.stdout
    labels.write_text("cat\ndog\n")
    refusal(run("convert", path, *flags), "2 labels", "3 scores")
    scaled = files["flowers", 2][0] / "flowers.h5"
    refusal(run("convert", scaled, "--std", "255", "-o", out), "scales pixels itself", "--std out")


def test_labels_stay_where_the_scale_is_not_known(files, tmp_path):
    labels, out = tmp_path / "labels.txt", tmp_path / "float.tflite"
    labels.write_text("cat\ndog\nnone\n")
    path = files["nested_rows", 2][0] / "nested_rows.h5"
    assert run("convert", path, "--labels", labels, "-o", out).exit_code == 0
    assert metadata.read(out) is None
    assert contract.read(out).output.labels == ("cat", "dog", "none")


def test_a_saved_model_is_converted_and_its_augmentation_is_not_left_on(files, tmp_path):
    images = np.random.default_rng(6).uniform(0, 255, (2, SIDE, SIDE, 3)).astype(np.float32)
    for version in (2, 3):
        keras = keras_of(version)
        model = keras.Sequential(
            [
                keras.Input((SIDE, SIDE, 3)),
                keras.layers.Rescaling(1 / 127.5, offset=-1),
                keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        folder, out = tmp_path / f"saved{version}", tmp_path / f"{version}.tflite"
        if version == 2:
            model.save(folder, save_format="tf")
        else:
            model.export(folder, verbose=False)
        shown = run("convert", folder, "-o", out, "--json")
        assert shown.exit_code == 0, shown.output
        assert json.loads(shown.stdout)["normalization"] == {"mean": [0] * 3, "std": [1] * 3}
        assert np.abs(scores_of(out, images) - np.asarray(model(images))).max() < 1e-5
    augmented = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), keras.layers.RandomFlip(), keras.layers.Flatten()]
    )
    augmented.export(tmp_path / "augmented", verbose=False)
    refusal(run("convert", tmp_path / "augmented", "-o", out), "at random", "RandomFlip")


def test_a_graph_that_touches_files_or_calls_python_is_never_loaded(tmp_path):
    import tensorflow as tf

    marker = tmp_path / "written"

    class Trap(tf.Module):
        def __init__(self, operation):
            super().__init__()
            self.operation = operation

        @tf.function(input_signature=[tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32)])
        def __call__(self, image):
            return self.operation(tf.reduce_mean(image, [1, 2]))

    def writing(x):
        tf.io.write_file(str(marker), "x")
        return x

    def calling(x):
        return tf.numpy_function(lambda value: value, [x], tf.float32)

    def saving(x):
        tf.raw_ops.SaveV2(
            prefix=str(marker), tensor_names=["x"], shape_and_slices=[""], tensors=[x]
        )
        return x

    for name, operation, words in (
        ("writes", writing, "WriteFile"),
        ("calls", calling, "PyFunc"),
        ("saves", saving, "reads or writes files"),
    ):
        trap = Trap(operation)
        tf.saved_model.save(trap, str(tmp_path / name), signatures=trap.__call__)
        refusal(run("convert", tmp_path / name, "-o", tmp_path / "out.tflite"), words)
    assert not list(tmp_path.glob("written*"))
    graph = (tmp_path / "writes" / "saved_model.pb").read_bytes()
    (tmp_path / "writes" / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    refusal(run("convert", tmp_path / "writes", "-o", tmp_path / "out.tflite"), "saved_model.pb")


def test_no_change_of_a_saved_model_crashes_its_check(tmp_path):
    keras = keras_of(3)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten()])
    model.export(tmp_path / "saved", verbose=False)
    path = tmp_path / "saved" / "saved_model.pb"
    whole, rng = path.read_bytes(), np.random.default_rng(7)
    for _ in range(300):
        spoilt = bytearray(whole)
        for place in rng.integers(len(spoilt), size=4):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt[: rng.integers(1, len(spoilt))] if rng.random() < 0.3 else spoilt)
        with contextlib.suppress(UnsupportedModelError):
            check_graph(tmp_path / "saved")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Five classes of plain colors, and two of them."""
    root, rng = tmp_path_factory.mktemp("colors"), np.random.default_rng(8)
    for folder, count in (("five", 5), ("two", 2)):
        for number in range(count):
            place = root / folder / f"color{number}"
            place.mkdir(parents=True)
            for index in range(10):
                image = rng.normal(50 * number, 5, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
                cv2.imwrite(str(place / f"{index}.png"), image)
    return root


def test_evaluate_quantize_and_coral_plan_take_a_keras_file(files, shapes, tmp_path):
    path, photos = files["flowers", 3][0] / "flowers.keras", shapes / "five"
    out = tmp_path / "float.tflite"
    assert run("convert", path, "-o", out).exit_code == 0
    direct = run("evaluate", path, "--data", photos, "--json")
    assert direct.exit_code == 0, direct.output
    assert "converted to a float .tflite" in direct.stderr
    by_file = json.loads(run("evaluate", out, "--data", photos, "--json").stdout)
    assert json.loads(direct.stdout)["model"] == by_file["model"]
    int8 = tmp_path / "int8.tflite"
    shown = run("quantize", path, "--calibration", photos, "-o", int8)
    assert shown.exit_code == 0, shown.output
    assert f"--against {path}" in shown.stdout
    together = run("evaluate", int8, "--against", path, "--data", photos, "--json")
    assert json.loads(together.stdout)["agreement"] > 0.8
    assert run("coral", "plan", path).exit_code == run("coral", "plan", out).exit_code


@pytest.mark.parametrize(
    ("name", "version", "ending", "folder"),
    [("flowers", 3, "h5", "five"), ("transfer", 2, "keras", "two")],
)
def test_prune_takes_logits_and_one_output_and_keeps_the_scale(
    files, shapes, tmp_path, name, version, ending, folder
):
    out = tmp_path / "run"
    path = files[name, version][0] / f"{name}.{ending}"
    short = ("--set", "prune.epochs=1", "--set", "profile.runs=5")
    flags = ("--prune", "magnitude", "--set", "prune.include=first", *short)
    shown = run("prune", path, "--data", shapes / folder, *flags, "-o", out, "--json")
    assert shown.exit_code == 0, shown.output
    report = json.loads(shown.stdout)
    assert report["pruning"]["sparsity"] > 0.1
    assert report["classes"] == (5 if folder == "five" else 2)
    pruned = foreign.read(out / "model_pruned.keras")
    assert pruned.scale == foreign.read(path).scale
    before, images = foreign.read(out / "model.keras"), files[name, version][1]
    model = build(before.network, before.arrays, out)
    answers = files[name, version][2]
    expected = np.concatenate([np.zeros_like(answers), answers], 1)
    expected = answers if folder == "five" else expected
    expected = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
    assert np.abs(np.asarray(model(images)) - expected).max() < 1e-5
    centered = scores_of(out / "model_float32.tflite", (images / 127.5 - 1).astype(np.float32))
    direct = build(pruned.network, pruned.arrays, out)
    assert np.abs(centered - np.asarray(direct(images))).max() < 1e-4


def test_a_scale_that_is_assumed_is_said_in_the_report(files, shapes, tmp_path):
    path = files["nested_rows", 3][0] / "nested_rows.keras"
    three = tmp_path / "three"
    for number in range(3):
        shutil.copytree(shapes / "five" / f"color{number}", three / f"color{number}")
    flags = ("--prune", "magnitude", "--set", "prune.epochs=0", "--quantize", "none")
    shown = run("prune", path, "--data", three, *flags, "-o", tmp_path / "run", "--json")
    assert shown.exit_code == 0, shown.output
    warnings_shown = json.loads(shown.stdout)["warnings"]
    assert any("how it scales pixels" in warning for warning in warnings_shown)


def test_what_cannot_be_converted_is_said_before_tensorflow_is_imported(files, tmp_path):
    trap = rewritten(
        files["flowers", 3][0] / "flowers.keras",
        tmp_path / "trap.keras",
        lambda data: data.replace(b'"class_name": "MaxPooling2D"', b'"class_name": "Lambda"'),
    )
    (tmp_path / "text.keras").write_text("eggs, milk")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    (tmp_path / "folder").mkdir()
    out = str(tmp_path / "out.tflite")
    commands = [
        *(
            ["convert", str(tmp_path / name), "-o", out]
            for name in ("gone", "text.keras", "folder")
        ),
        ["convert", str(tmp_path / "model.onnx"), "-o", out],
        ["convert", str(trap), "-o", out],
        ["evaluate", str(trap), "--data", str(tmp_path / "folder")],
        ["coral", "plan", str(trap)],
        ["prune", str(trap), "--data", str(tmp_path / "folder")],
        ["prune", str(tmp_path / "folder"), "--data", str(tmp_path / "folder")],
    ]
    code = (
        "import sys; from click.testing import CliRunner; from edgecv.cli import main\n"
        f"for words in {commands!r}:\n"
        "    shown = CliRunner().invoke(main, words)\n"
        "    print(shown.exit_code, 'tensorflow' in sys.modules, shown.stderr.strip())\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    assert len(lines) == len(commands)
    assert all(line.startswith("1 False Error: ") for line in lines), shown.stdout
    assert "onnx2tf" in lines[3]
    assert all("Lambda" in line for line in lines[4:8])
