"""Archives whose members are larger than they say: refused before they have unpacked."""

import struct
import tracemalloc
import zipfile

import pytest

from edgecv.errors import UnsupportedModelError, WeightsError
from edgecv.models.foreign import keras_archive
from edgecv.tflite import archive

SIZE, SAID = 50_000_000, 1000  # bytes
MOST_MEMORY = 8 << 20


def lying(path, name, method=zipfile.ZIP_DEFLATED):
    """An archive with a member of SIZE bytes that says it has SAID."""
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("config.json", "{}")
        file.writestr(name, b"a" * SIZE)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", SIZE), struct.pack("<I", SAID)))
    return path


def open_keras(path):
    with keras_archive.open_file(path):
        pass


@pytest.mark.parametrize(
    ("read", "name", "error"),
    [
        (archive.text_files, "labels.txt", UnsupportedModelError),
        (open_keras, "model.weights.h5", WeightsError),
    ],
)
def test_a_member_is_not_unpacked_beyond_what_it_says(tmp_path, read, name, error):
    path = lying(tmp_path / "file", name)
    tracemalloc.start()
    with pytest.raises(error, match="Bad CRC-32"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_MEMORY


def test_packing_that_unpacks_without_a_limit_is_refused(tmp_path):
    path = lying(tmp_path / "file", "model.weights.h5", zipfile.ZIP_BZIP2)
    with pytest.raises(WeightsError, match="unpacks without a limit"):
        open_keras(path)
