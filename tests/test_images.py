"""Image files of every kind a user may bring, made here, read back."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from edgecv.data.images import crop_center, decode, read, resize
from edgecv.errors import DataError

FORMATS = ("jpg", "png", "bmp", "webp")


def colors():
    """An RGB image of 40 x 60 whose quarters are red, green, blue and white."""
    image = np.full((40, 60, 3), 255, np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return image


def encoded(image, suffix):
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    channels = image.shape[2] if image.ndim == 3 else 2
    stored = image if channels == 2 else cv2.cvtColor(image, order[channels])
    return cv2.imencode(f".{suffix}", stored)[1].tobytes()


def noise(rows=60, columns=80):
    return np.random.default_rng(0).integers(0, 255, (rows, columns, 3), np.uint8)


def png_chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def riff_chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def with_orientation(data, suffix, value, order="<"):
    """The file with an EXIF block that holds nothing but the orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
    tiff = mark + entry
    if suffix == "png":
        return data[:33] + png_chunk(b"eXIf", tiff) + data[33:]
    if suffix == "jpg":
        content = b"Exif\0\0" + tiff
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]
    size = (59).to_bytes(3, "little") + (39).to_bytes(3, "little")
    chunks = riff_chunk(b"VP8X", b"\x08\0\0\0" + size) + data[12:]
    chunks += riff_chunk(b"XMP ", b"odd") + riff_chunk(b"EXIF", tiff)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_comes_out_as_rgb(tmp_path, suffix):
    path = tmp_path / f"PHOTO.{suffix.upper()}"
    path.write_bytes(encoded(colors(), suffix))
    image = read(path)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - colors()).mean() < 6


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_photographs_are_turned_as_their_exif_says(suffix, order, value):
    stored = encoded(colors(), suffix)
    # what OpenCV itself makes of the same tag in a JPEG
    jpeg = with_orientation(encoded(colors(), "jpg"), "jpg", value, order)
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    turned = decode(with_orientation(stored, suffix, value, order))
    assert turned.shape == expected.shape
    assert np.abs(turned.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(value):
    data = with_orientation(encoded(colors(), "jpg"), "jpg", value)
    assert np.array_equal(decode(data), decode(encoded(colors(), "jpg")))


def test_broken_exif_is_ignored():
    data = with_orientation(encoded(colors(), "png"), "png", 6).replace(b"II*\0\x08", b"II*\0\xf0")
    start = data.index(b"eXIf")
    checksum = struct.pack(">I", zlib.crc32(data[start : start + 26]))
    data = data[: start + 26] + checksum + data[start + 30 :]
    assert np.array_equal(decode(data), colors())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_gray_has_three_equal_channels(suffix):
    gray = cv2.resize(np.arange(0, 250, 10, np.uint8)[None], (60, 40))
    image = decode(encoded(gray, suffix))
    assert image.shape == (40, 60, 3)
    assert np.abs(image.astype(int) - gray[..., None]).max() < 10


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_transparency_shows_white(suffix):
    alpha = np.zeros((40, 60, 1), np.uint8)
    alpha[:20, :30] = 255
    alpha[:20, 30:] = 128
    image = decode(encoded(np.dstack([colors(), alpha]), suffix)).astype(int)
    assert np.abs(image[5, 5] - (255, 0, 0)).max() < 8
    assert np.abs(image[5, 50] - (127, 255, 127)).max() < 8
    assert (image[30] == 255).all()


def test_transparent_photographs_are_turned_too():
    opaque = np.full((40, 60, 1), 255, np.uint8)
    data = encoded(np.dstack([colors(), opaque]), "png")
    assert np.array_equal(decode(with_orientation(data, "png", 6)), np.rot90(colors(), -1))


def test_sixteen_bits_become_eight():
    deep = noise().astype(np.uint16) * 256 + 200
    assert np.array_equal(decode(encoded(deep, "png")), noise())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_refused_in_silence(capfd, suffix, share):
    data = encoded(noise(), suffix)
    cut = min(int(len(data) * share), len(data) - 3)
    with pytest.raises(DataError, match="truncated"):
        decode(data[:cut])
    with pytest.raises(DataError, match="truncated"):
        decode(data[:cut], fraction=8)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_png_is_refused_in_silence(capfd):
    data = bytearray(encoded(noise(), "png"))
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match="checksum"):
        decode(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_a_color_profile_that_libpng_dislikes_is_read_in_silence(capfd):
    data = encoded(colors(), "png")
    profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"not a profile"))
    assert np.array_equal(decode(data[:33] + profile + data[33:]), colors())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"plain text, whatever its name says\n" * 20])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "notes.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"notes\.jpg: .*(empty|not a JPEG)") as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: No such file"):
        read(tmp_path / "gone.png")


def test_jpeg_is_decoded_at_a_fraction_of_its_size():
    assert decode(encoded(noise(64, 96), "jpg"), fraction=4).shape == (16, 24, 3)
    assert decode(encoded(noise(64, 96), "png"), fraction=4).shape == (64, 96, 3)


def test_central_keeps_the_stated_share_of_the_shorter_side():
    image = np.zeros((100, 200, 3), np.uint8)
    image[25:75, 75:125] = 200  # the central square of half the shorter side
    assert (crop_center(image, 0.5, 32) == 200).all()
    seen = (crop_center(image, 1.0, 100)[..., 0] == 200).sum()
    assert seen == 50 * 50


def test_shrinking_averages():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (resize(stripes, 32) == 100).all()


def test_small_images_are_enlarged():
    assert resize(colors(), 96).shape == (96, 96, 3)
