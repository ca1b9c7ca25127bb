"""Files whose constants lie behind the flatbuffer, as today's Google tools write them."""

import io
import json
import random
import struct
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.errors import UnsupportedModelError
from edgecv.export import carray
from edgecv.tflite import flatbuffer, metadata, operators, outside, runtime
from edgecv.tflite.schema import schema
from tests import coral_models, foreign_files

REAL = Path(__file__).parents[2] / "shared" / "real" / "foreign"
LITERT = REAL / "mobilenet_v3_small_by_litert_quantizer.tflite"
MUTATIONS = 2600


@pytest.fixture(scope="module")
def inside():
    return flatbuffer.serialized(foreign_files.classifier())


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("labels.txt", "a\nb\nc\n")
    return file.getvalue()


def stored(data):
    """How many constants of a file lie behind its flatbuffer."""
    packed = schema().ModelT.InitFromObj(schema().Model.GetRootAs(data))
    return len(outside.outside_ranges(packed))


def constants(model):
    return [b"" if each.data is None else bytes(each.data) for each in model.buffers]


def test_constants_behind_the_flatbuffer_are_read(inside):
    data = foreign_files.moved_outside(inside)
    assert stored(data) == len([each for each in constants(flatbuffer.parse(inside)) if each])
    model = flatbuffer.parse(data)
    assert constants(model) == constants(flatbuffer.parse(inside))
    assert operators.weight_bytes(model) == operators.weight_bytes(flatbuffer.parse(inside)) > 0
    assert flatbuffer.serialized(model) == flatbuffer.serialized(flatbuffer.parse(inside))


def test_two_buffers_may_share_a_place(inside):
    data = foreign_files.moved_outside(inside, shared=True)
    found = constants(flatbuffer.parse(data))
    assert found[-1] == found[-2] != b""


def test_options_of_a_custom_operator_behind_the_flatbuffer_are_read():
    model = coral_models.Model(1, 4, 4, 3)
    model.then("CUSTOM", (1, 4, 4, 3), dtype="uint8")
    model.graph.model.operatorCodes[0].customCode = b"somebody's"
    flat = model.done()
    operator = flat.subgraphs[0].operators[0]
    operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize = 2, 5
    operator.largeCustomOptionsOffset = len(flatbuffer.serialized(flat))
    found = flatbuffer.parse(flatbuffer.serialized(flat) + b"words")
    assert bytes(found.subgraphs[0].operators[0].customOptions) == b"words"


def test_what_is_run_is_one_flatbuffer_and_what_follows_it_stays(inside, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(foreign_files.moved_outside(inside, archive()))
    data = flatbuffer.read_bytes(path)
    assert stored(data) == 0
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.read("labels.txt") == b"a\nb\nc\n"
    with zipfile.ZipFile(path) as found:
        assert found.namelist() == ["labels.txt"]
    image = np.random.default_rng(1).integers(0, 255, (1, 16, 16, 3), np.uint8)
    plain = runtime.run(runtime.load(inside), image)
    assert np.array_equal(runtime.run(runtime.load(path), image), plain)
    assert np.array_equal(runtime.run(runtime.load(path.read_bytes()), image), plain)


def test_a_file_without_outside_constants_is_run_as_it_is(inside, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(inside + b"anything")
    assert flatbuffer.read_bytes(path) == inside + b"anything"


def test_what_is_written_stays_within_the_flatbuffer(inside, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(foreign_files.moved_outside(inside))
    metadata.attach(path, metadata.Metadata(tuple("abc")))
    assert stored(path.read_bytes()) == 0
    assert metadata.read(path).labels == tuple("abc")
    path.write_bytes(foreign_files.moved_outside(inside))
    made = carray.export(path, tuple("abc"), tmp_path, "model")
    assert f"_len = {len(inside)};" in made.source.read_text()


@pytest.mark.parametrize("change", ["beyond", "huge", "wrapped", "many"])
def test_a_place_that_is_not_in_the_file_is_refused_in_one_line(inside, tmp_path, change):
    model = flatbuffer.parse(foreign_files.moved_outside(inside))
    data = flatbuffer.serialized(model)
    buffer = next(each for each in model.buffers if each.data is not None and len(each.data))
    start, size = {
        "beyond": (len(data) + 4096, len(buffer.data)),
        "huge": (16, 1 << 62),
        "wrapped": ((1 << 64) - 8, 16),
        "many": (16, 1024),
    }[change]
    buffer.data, buffer.offset, buffer.size = None, start, size
    if change == "many":
        model.buffers += [buffer] * 1000
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer.serialized(model))
    shown = CliRunner().invoke(main, ["coral", "plan", str(path)])
    assert (shown.exit_code, shown.output.count("\n")) == (1, 1)
    assert shown.output == f"Error: {path}: damaged or truncated TFLite file\n"


def moved(data, seed):
    """A file with one to three of its places or lengths behind the flatbuffer changed."""
    chance, data = random.Random(seed), bytearray(data)
    packed = schema().Model.GetRootAs(bytes(data))
    tables = [packed.Buffers(place)._tab for place in range(packed.BuffersLength())]
    slots = [table.Pos + table.Offset(slot) for table in tables for slot in (6, 8)]
    slots = [at for at in slots if at not in {table.Pos for table in tables}]
    for at in chance.sample(slots, chance.choice((1, 1, 2, 3))):
        (value,) = struct.unpack_from("<Q", data, at)
        others = (0, 1, 2, 3, value + 1, value - 1, value * 2, len(data) - 1, len(data), 1 << 31)
        near = value + chance.randrange(-64, 64)
        word = chance.choice((*others, near, near, 1 << 63, (1 << 64) - 1, chance.getrandbits(64)))
        struct.pack_into("<Q", data, at, word % (1 << 64))
    if chance.random() < 0.2:
        del data[chance.randrange(8, len(data)) :]
    return bytes(data)


def test_thousands_of_moved_constants_are_a_model_or_one_line(inside):
    """Whatever a file says of places behind its flatbuffer, it is read, or refused in one line."""
    plain = foreign_files.moved_outside(inside)
    shared = foreign_files.moved_outside(inside, archive(), shared=True)
    found = Counter()
    for seed in range(MUTATIONS):
        try:
            model = flatbuffer.parse(moved((plain, shared)[seed % 2], seed), "moved.tflite")
            flatbuffer.serialized(model)
            found["model"] += 1
        except UnsupportedModelError as error:
            assert str(error) == "moved.tflite: damaged or truncated TFLite file"
            found["refused"] += 1
    assert min(found["model"], found["refused"]) > 0.1 * MUTATIONS


def test_a_file_of_litert_quantizer_is_planned_and_profiled(tmp_path):
    if not LITERT.is_file():
        pytest.skip(f"no {LITERT}")
    shown = CliRunner().invoke(main, ["coral", "plan", str(LITERT), "--json"])
    found = json.loads(shown.output)
    assert (len(found["operators"]), found["mapped"]) == (108, 1)
    assert flatbuffer.read(LITERT).metadata
    assert runtime.load(LITERT).get_output_details()[0]["shape"].tolist() == [1, 1001]
    arguments = ["--inferences", "1", "--warmup", "0", "--force", "--json"]
    shown = CliRunner().invoke(main, ["profile", str(LITERT), *arguments])
    assert json.loads(shown.stdout)["delegate"] == "builtin", "XNNPACK refuses its scales"
