"""Pruning from the command line to the file: budgets, resuming, what is refused."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner

from edgecv import models
from edgecv import report as reports
from edgecv.cli import main
from edgecv.data import Folder, Signs
from edgecv.errors import RecipeError
from edgecv.models.channel_groups import coupling
from edgecv.models.identify import identify
from edgecv.pipeline import prune as pruning
from edgecv.pipeline.compare import Comparison, meaning, twin_width
from edgecv.progress import Progress
from edgecv.prune.channels import ChannelJob, check_latency, prune_channels, sample_images
from edgecv.prune.cost import ModelCost
from edgecv.prune.importance import CRITERIA
from edgecv.recipe import ModelOptions, PruneOptions, Recipe, TrainOptions, load
from edgecv.report.markdown import markdown
from edgecv.tflite import flatbuffer, operators
from edgecv.train.array_store import load_arrays
from tests import builds
from tests.waiting import wait_until

SIDE, CLASSES, EACH = 48, 5, 14
SHORT = ("--set", "prune.epochs=1", "--set", "prune.steps=1", "--set", "profile.runs=5")


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A few road signs in a folder for each class."""
    root, signs = tmp_path_factory.mktemp("photos"), Signs(seed=3)
    counts = dict.fromkeys(range(CLASSES), 0)
    for image, label in signs.training(SIDE, 0):
        if label in counts and counts[label] < EACH:
            folder = root / signs.labels[label]
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"{counts[label]}.png"), image[..., ::-1])
            counts[label] += 1
    return root


@pytest.fixture(scope="module")
def built(photos, tmp_path_factory):
    """A run whose channels were pruned to half the multiply-accumulates."""
    out = tmp_path_factory.mktemp("runs") / "half"
    shape = (
        "mobilenet",
        "--recipe",
        builds.recipe(out.parent),
        "--width",
        "0.25",
        "--res",
        SIDE,
        "--data",
        photos,
        "--epochs",
        "1",
    )
    shown = run("build", *shape, "--prune", "channels", "--macs", "0.5", *SHORT, "-o", out)
    assert shown.exit_code == 0, shown.output
    return out


def report(folder):
    return json.loads((folder / "report.json").read_text())


def cut(folder):
    """What was pruned, and the figures before it that no clock sets."""
    found = report(folder)["pruning"]
    timed = ("p50_ms_float32", "p50_ms_int8", "reason")
    before = {key: value for key, value in found["before"].items() if key not in timed}
    return found | {"before": before}


def dense(folder):
    """The model that a run trained, before it was pruned."""
    recipe = load(folder / "recipe.toml")
    options = dataclasses.replace(recipe.model, weights=str(folder / "model.keras"))
    model = models.build(options, CLASSES)
    models.weights.load(model, options, Progress())
    return model


# -- channels ------------------------------------------------------------------------------------


def test_half_the_multiply_accumulates_are_left_in_multiples_of_eight(built):
    found = report(built)
    model = dense(built)
    before = ModelCost(model, coupling(model)).macs(coupling(model).counts)
    assert 0.35 * before < found["macs"] <= 0.5 * before
    channels = found["pruning"]["channels"]
    assert found["pruning"]["kind"] == "channels"
    assert all(each % 8 == 0 for each in channels)
    assert len(set(np.array(channels) / coupling(model).counts)) > 2  # not the same everywhere
    assert found["quantization"]["full_int8"]
    assert found["macs"] == operators.macs(flatbuffer.read(built / "model_int8.tflite"))


def test_the_report_has_the_model_before_and_after_by_layer(built):
    found, model = report(built), dense(built)
    before, rows = found["pruning"]["before"], found["pruning"]["layers"]
    assert before["parameters"] == model.count_params() > found["parameters"]
    assert sum(row["macs_before"] for row in rows) == before["macs"] > found["macs"]
    assert sum(row["macs"] for row in rows) == found["macs"]
    shapes = {layer.name: layer.output_shape[-1] for layer in model.layers}
    assert all(shapes[row["layer"]] == row["channels_before"] for row in rows)
    assert before["bytes_int8"] > found["files"]["int8"]["bytes"]
    assert {"top1_float32", "p50_ms_float32", "p50_ms_int8"} <= before.keys()
    epochs = found["training"]
    assert (len(epochs["train"]), len(epochs["prune"])) == (1, 1)
    assert 0 <= epochs["train"][0]["accuracy"] <= 1 and epochs["train"][0]["resolution"] == SIDE
    sizes = found["data"]
    assert sizes["train"] + sizes["monitor"] + sizes["held_out"] == CLASSES * EACH
    page = (built / "report.html").read_text()
    assert "What pruning did" in page and "of the weights are zero" not in page


def test_the_pruned_recipe_builds_the_same_model_with_the_same_builder(built, tmp_path):
    recipe = load(built / "recipe_pruned.toml")
    assert list(recipe.model.channels) == report(built)["pruning"]["channels"]
    again = tmp_path / "again"
    shown = run(
        "build", "--recipe", built / "recipe_pruned.toml", "--quantize", "none", "-o", again
    )
    assert shown.exit_code == 0, shown.output
    assert report(again)["parameters"] == report(built)["parameters"]
    first, second = (report(each)["accuracy"]["float32"] for each in (built, again))
    assert first == second


def test_a_pruned_file_is_known_again_by_its_shapes(built):
    options = identify(built / "model_pruned.keras")
    assert (options.arch, options.width, options.resolution) == ("mobilenet_v1", 0.25, SIDE)
    assert list(options.channels) == report(built)["pruning"]["channels"]
    assert identify(built / "model.keras").channels is None


@pytest.mark.parametrize("lost", ["report.json", "model_int8.tflite"])
def test_what_a_finished_run_lost_is_made_again(built, tmp_path, lost):
    out = shutil.copytree(built, tmp_path / "half")
    (out / lost).unlink()
    shown = run("build", "--recipe", out / "recipe.toml", "-o", out)
    assert shown.exit_code == 0, shown.output
    assert "epoch 1/" not in shown.output
    for name in ("model_pruned.keras", "model_int8.tflite"):
        assert (out / name).read_bytes() == (built / name).read_bytes()
    assert cut(out) == cut(built)


def job(model, state, **options):
    images = Signs(seed=0)
    signs = sample_images(images, SIDE, models.normalization(ModelOptions()))
    few = type(signs)(signs.images[:40], signs.labels[:40])
    chosen = PruneOptions(kind="channels", importance="norm", **options)
    return ChannelJob(model, chosen, few, state, Progress())


@pytest.fixture(scope="module")
def model():
    tf_keras.utils.set_random_seed(0)
    return models.build(ModelOptions("squeezenet_1_1", 0.25, SIDE), 10)


def test_a_pruning_that_is_killed_goes_on_after_the_last_cut(built, photos, tmp_path):
    out, state = tmp_path / "run", tmp_path / "run" / ".state"
    flags = ("--macs", "0.6", "--set", "prune.importance=norm", "--quantize", "none")
    steps = ("--set", "prune.steps=2", "--set", "prune.epochs=4", "--set", "profile.runs=5")
    command = ("prune", built / "model.keras", "--data", photos, *flags, *steps, "-o", out)
    process = builds.start(*command)

    def is_cut_twice():
        assert process.poll() is None, process.stderr.read()
        return (state / "cut_2.npz").exists()

    wait_until(is_cut_twice)
    process.kill()
    _, said = process.communicate()
    assert "sensitivity" in said
    assert "cut 1/2, epoch 1/1" in said  # of the epochs, the last cut has the most
    [counts] = load_arrays(state / "cut_2.npz")["counts"]
    resumed = run(*command)
    assert resumed.exit_code == 0, resumed.stderr
    assert "sensitivity" not in resumed.stderr  # no cut is searched again
    assert "cut 1/2" not in resumed.stderr
    assert "cut 2/2, epoch 1/3" in resumed.stderr
    assert report(out)["pruning"]["channels"] == counts.tolist()
    model = dense(built)
    groups = coupling(model)
    assert report(out)["macs"] <= 0.6 * ModelCost(model, groups).macs(groups.counts)


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_a_channel_that_does_nothing_matters_least(criterion):
    tf_keras.utils.set_random_seed(0)
    model = models.build(ModelOptions("mobilenet_v1", 0.25, SIDE), 10)
    conv, norm = model.get_layer("block3_pointwise_conv"), model.get_layer("block3_pointwise_bn")
    kernel, (gamma, *others) = conv.get_weights()[0], norm.get_weights()
    kernel[..., 5], gamma[5] = 1e-6 * kernel[..., 5], 0
    conv.set_weights([kernel])
    norm.set_weights([gamma, *others])
    found = coupling(model)
    group = found.outputs["block3_pointwise_conv"][0]
    images = job(model, None).images
    assert CRITERIA[criterion](model, found, images)[group].argmin() == 5


def test_a_share_of_the_channels_is_a_budget_too(model, tmp_path):
    smaller = prune_channels(job(model, tmp_path, keep=0.7, steps=1), 0, lambda each, *_: each)
    share = sum(coupling(smaller).counts) / sum(coupling(model).counts)
    assert 0.6 < share <= 0.7


def test_a_latency_budget_is_met_by_what_is_measured(model, tmp_path):
    full = ModelCost(model, coupling(model)).macs(coupling(model).counts)
    measured = []

    def latency(candidate):  # a device whose time is known: 1 ms and 9 for all the arithmetic
        found = coupling(candidate)
        measured.append(1 + 9 * ModelCost(candidate, found).macs(found.counts) / full)
        return measured[-1]

    budget = dataclasses.replace(job(model, tmp_path, latency_ms=6.0, steps=1), latency=latency)
    smaller = prune_channels(budget, 0, lambda each, *_: each)
    assert 5.0 < latency(smaller) <= 6.0
    options = dataclasses.replace(budget.options, latency_ms=1.01)
    with pytest.raises(
        RecipeError, match=r"--max-latency 1.01ms: .* nearest .* reached is "
    ) as said:
        check_latency(model, options, latency)
    assert str(said.value).endswith(f" {measured[-1]:.3g}") and measured[-1] == min(measured)
    enough = dataclasses.replace(budget.options, latency_ms=10.0)
    easy = dataclasses.replace(budget, options=enough, state=tmp_path / "other")
    kept = prune_channels(easy, 0, lambda each, *_: each)
    assert coupling(kept).counts == coupling(model).counts


def test_latency_is_measured_on_the_device(model, photos):
    recipe = Recipe(model=ModelOptions("squeezenet_1_1", 0.25, SIDE))
    images = Folder(photos, 0.2, 0.875, 0, Progress())
    assert 0.001 < pruning.latency_of(recipe, images)(model) < 1000


# -- the commands --------------------------------------------------------------------------------


def test_prune_takes_a_trained_model_and_leaves_a_run(built, photos, tmp_path):
    out = tmp_path / "sparse"
    flags = ("--prune", "magnitude", "--sparsity", "0.6", *SHORT, "--json")
    shown = run("prune", built / "model.keras", "--data", photos, *flags, "-o", out)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)["pruning"]
    layers = {row["layer"]: row for row in found["layers"]}
    inner = [row["share"] for name, row in layers.items() if "pointwise" in name]
    assert len(inner) == 13
    assert all(0.6 - 1e-3 <= share < 0.7 for share in inner)
    assert layers["stem_relu6"]["share"] < 0.2


def test_any_model_of_convolutions_can_be_made_sparse(photos, tmp_path):
    image = tf_keras.Input((SIDE, SIDE, 3))
    x = tf_keras.layers.Conv2D(16, 3, 2, activation="relu")(image)
    for _ in range(2):
        x = tf_keras.layers.Conv2D(32, 3, 2, activation="relu")(x)
    x = tf_keras.layers.GlobalAveragePooling2D()(x)
    theirs = tf_keras.Model(image, tf_keras.layers.Dense(CLASSES, "softmax")(x), name="theirs")
    theirs.save(tmp_path / "theirs.keras")
    arguments = ("prune", tmp_path / "theirs.keras", "--data", photos, *SHORT, "-o", tmp_path / "o")
    refused(run(*arguments), 1, "theirs.keras", "channels needs an architecture of edgecv")
    shown = run(*arguments, "--prune", "2:4", "--json")
    assert shown.exit_code == 0, shown.output
    layers = json.loads(shown.stdout)["pruning"]["layers"]
    assert [row["two_of_four"] for row in layers] == [False, True, True, False]


def refused(shown, code, *words):
    """Check that the last line, and no other, is an error that says the words."""
    assert shown.exit_code == code, shown.output
    *before, last = shown.stderr.splitlines()
    assert last.startswith("Error: ")
    assert not [line for line in before if line.startswith(("Error", "Traceback"))]
    for word in words:
        assert word in last
    assert shown.stdout == ""


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--keep", "0"), 2, ("--keep: must be 0.01 to 1, got 0.0",)),
        (("--keep", "1.2"), 2, ("--keep: must be 0.01 to 1, got 1.2",)),
        (("--macs", "nan"), 2, ("--macs: must be 0.001 to 1, got nan",)),
        (("--macs", "0.004"), 2, ("--macs 0.004", "cannot be cut so far", "nearest", "is 0.1")),
        (("--keep", "0.02"), 2, ("--keep 0.02", "cannot be cut so far", "nearest", "is 0.0")),
        (("--keep", "0.5", "--macs", "0.5"), 2, ("--keep, --macs: one budget at a time",)),
        (("--sparsity", "0.5"), 2, ("--sparsity: only with --prune magnitude or xnnpack",)),
        (("--prune", "2:4", "--sparsity", "0.5"), 2, ("--sparsity: only with", "2:4 is 0.5")),
        (("--prune", "magnitude", "--macs", "0.5"), 2, ("--macs: only with --prune channels",)),
        (("--prune", "magnitude", "--sparsity", "1"), 2, ("--sparsity: must be 0.05 to 0.98",)),
        (("--set", "prune.importance=luck"), 2, ("must be taylor | batchnorm | norm, got 'luck'",)),
        (
            ("--set", "prune.include=middle"),
            2,
            ("prune.include: must be first | last | se, got 'middle'",),
        ),
        (("--max-latency", "5ms", "--device", "nowhere"), 2, ("device 'nowhere': not known",)),
        (("--max-latency", "1us"), 2, ("--max-latency 0.001ms", "on host", "nearest", "is 0.")),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(built, photos, tmp_path, flags, code, words):
    out = tmp_path / "out"
    shown = run("prune", built / "model.keras", "--data", photos, *flags, "-o", out)
    refused(shown, code, *words)
    assert not out.exists()


def test_a_device_that_does_not_answer_is_named_before_anything_is_trained(built, photos, tmp_path):
    device, out = tmp_path / "gone.toml", tmp_path / "out"
    device.write_text('host = "pi@127.0.0.1"\nssh_config = "none"\n')
    (tmp_path / "none").write_text("Host *\n  Port 1\n  BatchMode yes\n")
    device.write_text(f'host = "127.0.0.1"\nssh_config = "{tmp_path / "none"}"\n')
    flags = ("--max-latency", "5ms", "--device", device, "-o", out)
    refused(run("prune", built / "model.keras", "--data", photos, *flags), 1, "gone")
    assert not out.exists()


def test_what_is_no_keras_model_is_refused(built, photos, tmp_path):
    flags = ("--data", photos, "-o", tmp_path / "out")
    refused(run("prune", built / "model_int8.tflite", *flags), 1, "is a .tflite", ".keras file")
    (tmp_path / "no.keras").write_text("nothing")
    refused(run("prune", tmp_path / "no.keras", *flags), 1, "no.keras: cannot be read")
    refused(run("prune", tmp_path / "absent.keras", *flags), 1, "no file", "absent.keras")
    refused(run("prune", built / "model.keras", "-o", tmp_path / "out"), 2, "--data: is required")


def test_other_classes_than_the_model_s_are_refused(built, photos, tmp_path):
    fewer, out = shutil.copytree(photos, tmp_path / "fewer"), tmp_path / "out"
    shutil.rmtree(next(fewer.iterdir()))
    shown = run("prune", built / "model.keras", "--data", fewer, "-o", out)
    refused(shown, 1, "fewer: has 4 classes", "tells 5 apart")
    assert not out.exists()


CONV = b'"module": "keras.layers", "class_name": "Conv2D"'


def test_nothing_that_a_file_names_is_imported(photos, tmp_path):
    import zipfile

    image = tf_keras.Input((SIDE, SIDE, 3))
    pooled = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.Conv2D(4, 3)(image))
    tf_keras.Model(image, tf_keras.layers.Dense(CLASSES, "softmax")(pooled)).save(
        tmp_path / "fair.keras"
    )
    spoilt = tmp_path / "spoilt.keras"
    for said, changed in (
        ("Lambda", '"class_name": "Lambda"'),
        ("antigravity", '"class_name": "Conv2D", "module": "antigravity"'),
    ):
        with zipfile.ZipFile(tmp_path / "fair.keras") as old, zipfile.ZipFile(spoilt, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name == "config.json":
                    data = data.replace(CONV, changed.encode())
                new.writestr(name, data)
        flags = ("--prune", "magnitude", "--data", photos, "-o", tmp_path / "out")
        refused(run("prune", spoilt, *flags), 1, "spoilt.keras", said)


# -- the table -----------------------------------------------------------------------------------


def test_kinds_are_compared_from_one_trained_model(built, photos):
    recipe = load(built / "recipe.toml")
    images = Folder(photos, 0.2, 0.875, 0, Progress())
    own = dataclasses.replace(reports.load(built))
    compared = Comparison(recipe, built, images, Progress())
    first, second = compared.rows(("dense", "channels"), own)
    assert (first["name"], second["name"]) == ("dense", "channels")
    assert second["macs"] < 0.51 * first["macs"]
    assert second["bytes"] < first["bytes"]
    assert second["parameters"] == own.parameters
    assert all(set(row["p50_ms"]) == {"float32", "int8"} for row in (first, second))
    again = dataclasses.replace(
        own,
        pruning={
            **own.pruning,
            "comparison": {
                "rows": [first, second, {"name": "xnnpack", "reason": "no <such> model"}],
                "meaning": meaning([first, second]),
            },
        },
    )
    text = markdown(again, "run")
    assert "## Pruning compared" in text
    assert f"{second['gzip_bytes']:,}" in text
    assert "cutting channels takes latency to" in text
    assert r"xnnpack: no \<such\> model" in text


@pytest.mark.parametrize("arch", ("mobilenet_v1", "squeezenet_1_1"))
def test_the_width_twin_costs_what_the_pruned_model_does(arch):
    recipe = Recipe(model=ModelOptions(arch, 0.75, 64), train=TrainOptions())
    full = models.build(recipe.model, CLASSES)
    macs = ModelCost(full, coupling(full)).macs(coupling(full).counts)
    width = twin_width(recipe, CLASSES, macs // 2)
    twin = models.build(dataclasses.replace(recipe.model, width=width), CLASSES)
    found = coupling(twin)
    assert ModelCost(twin, found).macs(found.counts) == pytest.approx(
        macs / 2, rel=0.1
    )  # steps of 8 channels
