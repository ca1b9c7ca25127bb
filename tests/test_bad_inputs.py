"""What people give to `edgecv quantize` by mistake: one line, the right exit code, nothing left."""

import json
import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from edgecv.cli import main
from tests import spoilt_models
from tests.live_models import smooth_images


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with float32.tflite, forty images in photos/ and classes in labeled/."""
    folder = tmp_path_factory.mktemp("given")
    spoilt_models.write(folder)
    return folder


def run(command, *arguments):
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def quantized(given, photos, out, *flags):
    model = given / "float32.tflite"
    return run("quantize", model, "--calibration", photos, "-o", out, "--method", "minmax", *flags)


def refused(shown, *words):
    """Check that the last line, and no other, is an error that says the words."""
    assert shown.exit_code == 1, shown.output
    assert isinstance(shown.exception, SystemExit)
    *before, last = shown.stderr.splitlines()
    assert last.startswith("Error: ")
    assert not [line for line in before if line.startswith(("Error", "Traceback"))]
    for word in words:
        assert word in last
    assert shown.stdout == ""


# -- calibration images -----------------------------------------------------------------------

PICTURE = Image.fromarray(smooth_images(1, 64)[0])
DEEP = smooth_images(1, 40)[0].astype(np.uint16) * 256 + 99
KINDS = {
    "one_pixel.png": lambda path: PICTURE.resize((1, 1)).save(path),
    "wide.jpg": lambda path: PICTURE.resize((900, 7)).save(path),
    "large.jpg": lambda path: PICTURE.resize((1500, 2000)).save(path),
    "gray.png": lambda path: PICTURE.convert("L").save(path),
    "gray_alpha.png": lambda path: PICTURE.convert("LA").save(path),
    "alpha.png": lambda path: PICTURE.convert("RGBA").save(path),
    "palette.png": lambda path: PICTURE.convert("P").save(path),
    "bilevel.png": lambda path: PICTURE.convert("1").save(path),
    "ink.jpg": lambda path: PICTURE.convert("CMYK").save(path),
    "deep.png": lambda path: cv2.imwrite(str(path), DEEP),
    "deep_gray.png": lambda path: cv2.imwrite(str(path), DEEP[..., 0]),
    "progressive.jpeg": lambda path: PICTURE.save(path, progressive=True),
    "bitmap.bmp": PICTURE.save,
    "web.webp": PICTURE.save,
    "turned.jpg": lambda path: PICTURE.resize((30, 90)).save(path, exif=turned()),
}


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    return exif


def test_images_of_any_size_and_kind_calibrate(given, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out.tflite"
    photos.mkdir()
    for name, write in KINDS.items():
        write(photos / name)
    shown = quantized(given, photos, out, "--calibration-images", len(KINDS))
    assert shown.exit_code == 0, shown.stderr
    rows = json.loads(out.with_suffix(".calibration.json").read_text())["files"]
    assert {row["file"] for row in rows} == set(KINDS)
    assert "cannot be read" not in shown.stderr


def test_one_corrupt_image_among_forty_is_left_out_with_a_warning(given, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out.tflite"
    photos.mkdir()
    for each in (given / "photos").iterdir():
        (photos / each.name).symlink_to(each)
    (photos / "bad.png").write_bytes((photos / "0.png").read_bytes()[:-40])
    shown = quantized(given, photos, out)
    assert shown.exit_code == 0, shown.stderr
    assert f"1 of 41 images cannot be read ({photos / 'bad.png'}: " in shown.stderr
    rows = json.loads(out.with_suffix(".calibration.json").read_text())["files"]
    assert len(rows) == 40
    assert "bad.png" not in {row["file"] for row in rows}


def test_one_image_is_a_warning(given, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "0.png").symlink_to(given / "photos" / "0.png")
    shown = quantized(given, photos, tmp_path / "out.tflite")
    assert shown.exit_code == 0, shown.stderr
    assert "1 image to calibrate with, 100 were asked for" in shown.stderr


def missing(folder):
    return "no such folder"


def empty(folder):
    folder.mkdir()
    return "no images, found no files"


def of_notes(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("none")
    return "no images, found 1 x .txt"


def a_file(folder):
    folder.write_bytes(b"\xff\xd8\xff")
    return "not a folder"


def mostly_corrupt(folder):
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.jpg").write_bytes(b"\xff\xd8\xff\xe0" * index)
    return "3 of 3 images cannot be read"


@pytest.mark.parametrize("make", [missing, empty, of_notes, a_file, mostly_corrupt])
def test_a_calibration_folder_that_gives_nothing_is_refused(given, tmp_path, make):
    said = make(tmp_path / "photos")
    shown = quantized(given, tmp_path / "photos", tmp_path / "out.tflite")
    refused(shown, str(tmp_path / "photos"), said)
    assert not list(tmp_path.glob("*out*"))


# -- models -----------------------------------------------------------------------------------


def no_file(path, data):
    return "No such file"


def no_bytes(path, data):
    path.write_bytes(b"")
    return "not a TFLite file"


def text(path, data):
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    return "not a TFLite file"


def random_behind_the_identifier(path, data):
    path.write_bytes(data[:8] + np.random.default_rng(0).bytes(4000))
    return "damaged"


def truncated(path, data):
    path.write_bytes(data[:-200])
    return "damaged"


def a_folder(path, data):
    path.mkdir()
    return "Is a directory"


@pytest.mark.parametrize("command", ["quantize", "evaluate", "profile"])
@pytest.mark.parametrize(
    "make", [no_file, no_bytes, text, random_behind_the_identifier, truncated, a_folder]
)
def test_what_is_no_model_is_refused(given, tmp_path, command, make):
    path = tmp_path / "bad.tflite"
    said = make(path, (given / "float32.tflite").read_bytes())
    flags = {
        "quantize": ("--calibration", given / "photos", "-o", tmp_path / "out.tflite"),
        "evaluate": ("--data", given / "labeled"),
        "profile": (),
    }[command]
    refused(run(command, path, *flags), str(path), said)
    assert not list(tmp_path.glob("*out*"))


# -- where the result goes --------------------------------------------------------------------


def test_a_missing_output_folder_is_made(given, tmp_path):
    out = tmp_path / "some" / "where" / "out.tflite"
    assert quantized(given, given / "photos", out).exit_code == 0
    assert sorted(each.name for each in out.parent.iterdir()) == [
        "out.calibration.json",
        "out.tflite",
    ]


def test_an_output_that_cannot_be_written_is_named(given, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.tflite").mkdir()
    inside = tmp_path / "file" / "out.tflite"
    refused(quantized(given, given / "photos", inside), str(inside), "cannot be written")
    onto = tmp_path / "folder.tflite"
    shown = quantized(given, given / "photos", onto)
    assert (shown.exit_code, f"{onto}: is a folder; name a file in it" in shown.output) == (2, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.tflite"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_takes_no_more_leaves_what_was_there(given, tmp_path):
    """The system refuses what is longer than the limit as it does on a full disk."""
    out = tmp_path / "out.tflite"
    out.write_bytes(b"the one before")
    command = ["quantize", given / "float32.tflite", "--calibration", given / "photos", "-o", out]
    done = subprocess.run(
        [sys.executable, "-m", "edgecv", *map(str, command), "--method", "minmax"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {out}: cannot be written: "), done.stderr
    assert "Traceback" not in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["out.tflite"]
    assert out.read_bytes() == b"the one before"
