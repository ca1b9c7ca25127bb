"""Damaged .tflite files: each is a model or one line, never a crash, a hang or a traceback.

`python test_fuzz.py MODELS CHANGE COMMAND FIRST LAST SCRATCH` runs one of edgecv's commands on
damaged models, so that a crash of a native library ends that process and not the test's.
"""

import functools
import pickle
import random
import signal
import struct
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgecv.errors import EdgecvError, UnsupportedModelError
from edgecv.quantize.checks import check_described
from edgecv.tflite import flatbuffer, lowering, operators, verify
from edgecv.tflite.graph import Graph

SIZE = 12
SECONDS = 10  # that a damaged file may take
MUTATIONS = 10_000
EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFC, 0xFFFF_FFFF)


# -- what is done to a file -------------------------------------------------------------------


def flipped(data, chance):
    data[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)


def truncated(data, chance):
    del data[chance.randrange(8, len(data)) :]


def shortened(data, chance):
    at = chance.randrange(8, len(data))
    del data[at : at + chance.randrange(1, 64)]


def lengthened(data, chance):
    at = chance.randrange(8, len(data))
    data[at:at] = chance.randbytes(chance.randrange(1, 64))


def offset(data, chance):
    """A 32-bit word, where lengths and offsets are, becomes an extreme or a plausible one."""
    word = chance.choice((*EXTREMES, chance.randrange(len(data)), chance.randrange(64)))
    struct.pack_into("<I", data, chance.randrange(8, len(data) - 4) & ~3, word)


def mutated(data, seed):
    """A .tflite file with one to four mistakes in it."""
    chance, data = random.Random(seed), bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if len(data) > 64:
            chance.choice((flipped, flipped, truncated, shortened, lengthened, offset))(
                data, chance
            )
    return bytes(data)


def number(value, chance):
    return chance.choice((*range(-2, 17), 100, 0x7FFF_FFFF, value + 1, value - 1))


def misshapen(values, chance):
    """A vector with one of its numbers changed, lost or too many."""
    values = [] if values is None else np.asarray(values).tolist()
    at = chance.randrange(len(values) + 1)
    values[at : at + chance.randrange(2)] = [number(1, chance)] * chance.randrange(2)
    return np.array(values, np.int64).astype(np.int32)


@functools.cache
def unpacked(data):
    """A model of which copies are made sooner than it is parsed."""
    return pickle.dumps(flatbuffer.parse(data))


def misled(data, seed):
    """A .tflite file whose flatbuffer is sound, and whose model is not."""
    chance, model = random.Random(seed), pickle.loads(unpacked(data))
    subgraph = model.subgraphs[0]
    for _ in range(chance.choice((1, 1, 2))):
        tensor, operator = chance.choice(subgraph.tensors), chance.choice(subgraph.operators)
        options = operator.builtinOptions
        field = chance.choice(sorted(vars(options))) if options else None
        code = chance.choice(model.operatorCodes)
        edits = (
            (tensor, "shape", misshapen(tensor.shape, chance)),
            (tensor, "type", chance.randrange(19)),
            (tensor, "buffer", chance.randrange(len(model.buffers))),
            (operator, "inputs", misshapen(operator.inputs, chance)),
            (operator, "outputs", misshapen(operator.outputs, chance)),
            (operator, "opcodeIndex", chance.randrange(len(model.operatorCodes))),
            (operator, "builtinOptions", None),
            (code, "builtinCode", chance.randrange(160)),
            (code, "version", chance.randrange(9)),
            (subgraph, "inputs", misshapen(subgraph.inputs, chance)),
            (subgraph, "outputs", misshapen(subgraph.outputs, chance)),
            (subgraph, "operators", chance.sample(subgraph.operators, 4)),
            *[(options, field, number(1, chance))] * (4 if field else 0),
        )
        holder, name, value = chance.choice(edits)
        setattr(holder, name, value)
    try:
        return flatbuffer.serialized(model)
    except (struct.error, TypeError, OverflowError):  # what no file can hold
        return mutated(data, seed)


# -- small models of every kind ---------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of a residual model, a fire module, a hard-swish with a gate, and an int8 file."""
    import tf_keras
    from tf_keras import layers

    from edgecv.artifacts import TFLiteModel
    from edgecv.models.keras_layers import hard_sigmoid, hard_swish
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize
    from edgecv.tflite import metadata
    from tests.live_models import smooth_images
    from tests.test_tflite import raw_tflite

    def conv(x, channels, kernel=1, stride=1):
        return layers.ReLU(6.0)(layers.Conv2D(channels, kernel, stride, "same")(x))

    def residual(x):
        x = conv(x, 8, 3, 2)
        return layers.Add()([x, layers.Conv2D(8, 1)(layers.DepthwiseConv2D(3, padding="same")(x))])

    def fire(x):
        x = layers.MaxPool2D(2)(conv(x, 8, 3))
        return layers.Concatenate()([conv(x, 4), conv(x, 4, 3)])

    def gate(x):
        x = layers.Activation(hard_swish)(layers.Conv2D(8, 3, 2, "same")(x))
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return layers.Multiply()([x, layers.Activation(hard_sigmoid)(layers.Conv2D(8, 1)(pooled))])

    folder = tmp_path_factory.mktemp("models")
    tf_keras.utils.set_random_seed(1)
    for body in (residual, fire, gate):
        image = layers.Input((SIZE, SIZE, 3))
        scores = layers.Dense(4, "softmax")(layers.GlobalAveragePooling2D()(body(image)))
        flatbuffer.write(raw_tflite(tf_keras.Model(image, scores)), folder / f"{body.__name__}")
    float32 = TFLiteModel(folder / "residual", "float32")
    metadata.attach(float32.path, metadata.Metadata(tuple("abcd"), "mobilenet_v2", 0.9))
    quantize(float32, calibrate(float32, smooth_images(4, SIZE)), folder / "int8")
    return folder


def sources(folder):
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


# -- everything before the interpreter --------------------------------------------------------


@contextmanager
def at_most(seconds):
    """Raise TimeoutError in a block that takes longer."""

    def late(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(data):
    """How far a file comes: `refused` with one line, or `model`."""
    try:
        model = flatbuffer.parse(data, "mutated.tflite")
        operators.counts(model)
        for measure in (operators.macs, operators.weight_bytes, operators.activation_peak):
            assert measure(model) >= 0
        operators.int8_bytes(model)
        Graph(model).unique_names()
        check_described(model, "mutated.tflite")
        lowering.lower_hard_swish(model)
        Graph(model).tidy()
        flatbuffer.parse(flatbuffer.serialized(model), "mutated.tflite")
    except EdgecvError as error:
        assert str(error).startswith("mutated.tflite: ")
        assert "\n" not in str(error)
        return "refused"
    return "model"


@pytest.mark.slow
@pytest.mark.parametrize(("change", "least"), [(mutated, 0.1), (misled, 0.1)])
def test_ten_thousand_damaged_files_are_models_or_one_line(models, change, least):
    files, found = sources(models), Counter()
    for seed in range(MUTATIONS if change is mutated else MUTATIONS // 10):
        with at_most(SECONDS):
            try:
                found[outcome(change(files[seed % len(files)], seed))] += 1
            except Exception as error:
                raise AssertionError(f"seed {seed} of {change.__name__}") from error
    assert min(found["model"], found["refused"]) > least * found.total()


def test_a_length_that_makes_millions_of_tables_is_refused_at_once(models):
    """Each entry of a vector in a stretch of zeros is a table; so is each of that table's."""
    model = flatbuffer.read(models / "fire")
    buffer = flatbuffer.schema().BufferT()
    buffer.data = np.zeros(1 << 24, np.uint8)
    model.buffers.append(buffer)
    data = bytearray(flatbuffer.serialized(model))
    packed = flatbuffer.schema().Model.GetRootAs(bytes(data))
    last = packed.Buffers(packed.BuffersLength() - 1)._tab
    zeros, buffers = last.Vector(last.Offset(4)), packed._tab.Offset(12)
    place = packed._tab.Pos + buffers
    struct.pack_into("<I", data, place, zeros - 4 - place)
    struct.pack_into("<I", data, zeros - 4, 1 << 22)
    with at_most(SECONDS), pytest.raises(UnsupportedModelError, match="damaged") as caught:
        flatbuffer.parse(bytes(data))
    assert str(caught.value.__cause__) == f"more than {verify.TABLES} tables"


# -- commands, with the interpreter -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "change", "seeds"),
    [
        ("evaluate", mutated, range(200)),
        ("evaluate", misled, range(600, 700)),  # LiteRT dies of 623
        ("profile", mutated, range(24)),
        ("profile", misled, range(612, 636)),
        ("quantize", mutated, range(100)),
        ("quantize", misled, range(600, 640)),
    ],
)
def test_commands_refuse_damaged_files_in_one_line(models, tmp_path, command, change, seeds):
    numbers = [str(seeds.start), str(seeds.stop)]
    done = subprocess.run(
        [sys.executable, __file__, models, change.__name__, command, *numbers, tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    found = Counter(done.stdout.split()[1::2])
    assert min(found["0"], found["1"]) > 0
    assert found["0"] + found["1"] == len(seeds)


def photographs(folder):
    """A folder of labeled images, two of each class."""
    import cv2

    for label in "abcd":
        (folder / label).mkdir(parents=True)
        for index in range(2):
            pixels = np.random.default_rng(index).integers(0, 255, (20, 20, 3), np.uint8)
            cv2.imwrite(str(folder / label / f"{index}.png"), pixels)
    return str(folder)


def run_commands(models, change, command, seeds, folder):
    """Print the seed, then the exit code, of each damaged file; fail at the first traceback."""
    from click.testing import CliRunner

    from edgecv.cli import main

    photos, path = photographs(folder / "photos"), folder / "mutated.tflite"
    arguments = {
        "evaluate": ["--data", photos],
        "profile": ["--inferences", "1", "--warmup", "0", "--force"],
        "quantize": ["--calibration", photos, "-o", str(folder / "out.tflite")],
    }[command]
    files = sources(models)
    for seed in seeds:
        print(seed, end=" ", flush=True)
        path.write_bytes(change(files[seed % len(files)], seed))
        with at_most(SECONDS if command != "quantize" else 6 * SECONDS):
            shown = CliRunner().invoke(main, [command, str(path), *arguments])
        if shown.exception and not isinstance(shown.exception, SystemExit):
            raise shown.exception
        last = shown.stderr.splitlines()[-1:]
        assert shown.exit_code == 0 or last[0].startswith("Error: "), last
        print(shown.exit_code, flush=True)


if __name__ == "__main__":
    source, kind, name, start, stop, scratch = sys.argv[1:]
    changes = {"mutated": mutated, "misled": misled}
    run_commands(Path(source), changes[kind], name, range(int(start), int(stop)), Path(scratch))
