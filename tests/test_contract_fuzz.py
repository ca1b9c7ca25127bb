"""Damaged metadata and archives behind a model: read within limits, or refused in one line."""

import io
import struct
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from edgecv.artifacts import TFLiteModel
from edgecv.errors import EdgecvError, UnsupportedModelError
from edgecv.tflite import archive, contract, flatbuffer, labels, metadata, standard_metadata
from tests.foreign_models import brightness, declared
from tests.foreign_models import standard_metadata as written_metadata

MUTATIONS = 10_000
SLOWEST_SECONDS = 5.0  # of any one of them: a hang, not a slow machine


def mutated(data, random):
    """The bytes with some changed, a stretch left out or doubled, or the end cut off."""
    found = bytearray(data)
    kind = random.integers(5)
    if kind == 0:
        del found[random.integers(len(found)) :]
    elif kind == 1:
        start, stop = sorted(random.integers(len(found), size=2))
        found[start:stop] = found[start:stop] * int(random.integers(3))
    elif kind == 2:
        at = int(random.integers(max(1, len(found) - 4)))
        found[at : at + 4] = struct.pack("<I", int(random.choice([0, 1, 2**16, 2**31, 2**32 - 1])))
    for _ in range(int(random.integers(1, 4))):
        if found:
            found[random.integers(len(found))] = random.integers(256)
    return bytes(found)


def survives(read):
    """Whether reading ends soon, and well or with one line."""
    start = time.monotonic()
    try:
        read()
    except EdgecvError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    assert time.monotonic() - start < SLOWEST_SECONDS


def holding(name, data):
    """A model of which nothing but its metadata is looked at."""
    buffer = SimpleNamespace(data=np.frombuffer(data, np.uint8))
    return SimpleNamespace(metadata=[SimpleNamespace(name=name, buffer=0)], buffers=[buffer])


@pytest.mark.parametrize(
    ("entry", "read", "data"),
    [
        (
            standard_metadata.ENTRY,
            standard_metadata.read,
            written_metadata([127.5] * 3, [127.5], "labels.txt", True),
        ),
        (
            metadata.ENTRY,
            metadata.read_model,
            b'{"labels":["a","b"],"arch":"x","crop":0.9,"normalization":[[1,2,3],[4,5,6]]}',
        ),
    ],
    ids=["TFLite metadata", "edgecv metadata"],
)
def test_mutated_metadata_are_read_or_refused(entry, read, data):
    random = np.random.default_rng(0)
    for _ in range(2 * MUTATIONS // 5):
        model = holding(entry, mutated(data, random))
        survives(lambda model=model: read(model, "the model"))


def archived(**files):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(f"{name}.txt", text)
    return b"TFL3" * 8 + whole.getvalue()


def test_a_mutated_archive_is_read_or_refused(tmp_path):
    random, path = np.random.default_rng(0), tmp_path / "model.tflite"
    data = archived(labels="a\nb\nc\n", readme="read me " * 40)
    for _ in range(MUTATIONS // 5):
        path.write_bytes(mutated(data, random))
        survives(lambda: labels.search({}, ("labels.txt",), path, 3))


def test_a_whole_file_with_mutated_ends_is_read_or_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer.serialized(brightness()))
    declared(TFLiteModel(path, ""), [0.0], [1.0], path, labels_file="labels.txt", stats=True)
    data = path.read_bytes() + archived(labels="a\nb\nc\n")[32:]
    random = np.random.default_rng(0)
    for _ in range(200):
        path.write_bytes(mutated(data, random))
        survives(lambda: contract.read(path))


# -- limits of the archive --------------------------------------------------------------------


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(archived(labels="a" * (archive.MOST_BYTES + 1)))
    with pytest.raises(UnsupportedModelError, match=r"a text file of \d+ bytes; at most"):
        archive.text_files(path)


def test_a_zip_bomb_that_lies_about_its_size_is_refused(tmp_path):
    path, size = tmp_path / "model.tflite", 8 * archive.MOST_BYTES
    data = archived(labels="a" * size)
    path.write_bytes(data.replace(struct.pack("<I", size), struct.pack("<I", 100)))
    with pytest.raises(UnsupportedModelError, match="archive of label files in it is damaged"):
        archive.text_files(path)


def test_a_thousand_files_are_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(archived(**{f"n{number}": "a" for number in range(1000)}))
    with pytest.raises(UnsupportedModelError, match="1000 text files; at most 32"):
        archive.text_files(path)


def test_methods_that_unpack_without_a_limit_are_refused(tmp_path):
    path, whole = tmp_path / "model.tflite", io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("labels.txt", "a\n" * 1000)
    path.write_bytes(whole.getvalue())
    with pytest.raises(UnsupportedModelError, match="store and deflate are read"):
        archive.text_files(path)


@pytest.mark.parametrize("name", ["../up.txt", "/etc/x.txt", "a/b.txt", "..\\up.txt", "c:x.txt"])
def test_names_that_leave_their_folder_stay_in_no_file_of_ours(name, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer.serialized(brightness()))
    metadata.attach(path, metadata.Metadata(("a", "b", "c")), {name: b"x", "names.txt": b"y"})
    with zipfile.ZipFile(path) as file:
        assert sorted(file.namelist()) == ["labels.txt", "names.txt"]
    assert [each.name for each in tmp_path.iterdir()] == ["model.tflite"]
