"""Files of labels as people have them: every form is read alike, or refused in one line."""

import json
import random
import unicodedata

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.errors import DataError
from edgecv.tflite.label_file import label_lines, parse_labels
from tests import tiny_models

NAMES = ("circle", "square", "grüner Apfel")
PLAIN = "circle\nsquare\ngrüner Apfel\n"


def numbered(separator, first=0):
    return "".join(f"{n}{separator}{name}\n" for n, name in enumerate(NAMES, first))


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.strip().encode(),
        (PLAIN + "\n  \n\n").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "  \n\t").encode(),
        ("\ufeff" + PLAIN.replace("\n", "\r\n")).encode(),
        ("\ufeff" + PLAIN.replace("\n", "\r\n")).encode("utf-16-le"),
        ("\ufeff" + PLAIN).encode("utf-16-be"),
        unicodedata.normalize("NFD", PLAIN).encode(),
        *(numbered(mark).encode() for mark in (" ", "  ", ": ", ":", ",", ", ", "\t", ";", ". ")),
        *(numbered(mark).encode() for mark in (") ", " - ", "=", " : ")),
        numbered(" ", first=1).encode(),
        ("\ufeff" + numbered(" ").replace("\n", "\r\n") + "\r\n").encode(),
        b"2 gr\xc3\xbcner Apfel\n0 circle\n1 square\n",
    ],
)
def test_labels_are_read_in_every_form_that_tools_write(data):
    assert parse_labels(data, "labels.txt") == NAMES


@pytest.mark.parametrize(
    "lines",
    [
        ("0", "1", "2"),
        ("1 euro", "2 euro"),
        ("3 stones", "5 stones"),
        ("0 circle", "square"),
        ("0 circle", "2 square"),
        ("0 circle", "1: square"),
        ("7 up",),
        ("30", "50 km/h", "end of 50"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus"),
    ],
)
def test_numbers_that_belong_to_the_names_stay(lines):
    assert parse_labels("\n".join(lines).encode(), "labels.txt") == lines


def test_numbers_go_where_a_few_names_are_equal():
    names = [f"bird {chr(97 + n)}" for n in range(20)] + ["crane", "crane"]
    text = "".join(f"{n} {name}\n" for n, name in enumerate(names))
    assert parse_labels(text.encode(), "labels.txt") == tuple(names)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"circle\n\nsquare\n", "line 2 is empty"),
        (b"circle\n\xff\xe4pfel", "byte 7 is not utf-8; save it as UTF-8"),
        (b"\xff\xfec", "is not utf-16"),
        (b"a\0b\n", "it is not text"),
        (b"x\n" * (1 << 22), "more than 4 MB"),
    ],
)
def test_what_is_no_file_of_labels_is_one_line(data, words):
    with pytest.raises(DataError, match=words) as raised:
        parse_labels(data, "labels.txt")
    assert str(raised.value).startswith("labels.txt: ") and "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "gone.txt", tmp_path):
        with pytest.raises(DataError, match=f"{path}: not a readable file of labels"):
            label_lines(path)


def test_thousands_of_spoilt_files_are_labels_or_one_line():
    chance = random.Random(1)
    sources = [PLAIN.encode(), numbered(": ").encode(), PLAIN.encode("utf-16"), b"\xef\xbb\xbf0 a"]
    for _ in range(2000):
        data = bytearray(chance.choice(sources))
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        try:
            labels = parse_labels(bytes(data), "labels.txt")
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert all(label == label.strip() and label for label in labels)


def evaluated(model, data, labels):
    return CliRunner().invoke(
        main, ["evaluate", str(model), "--data", str(data), "--labels", str(labels), "--json"]
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return tiny_models.photos(tmp_path_factory.mktemp("photos"), tiny_models.tiny().samples[:40])


@pytest.mark.parametrize("form", ["plain", "numbered", "notepad"])
def test_every_form_gives_the_same_accuracy(photos, tmp_path, form):
    tiny = tiny_models.tiny()
    plain = "".join(f"{label}\n" for label in tiny.labels)
    forms = {
        "plain": plain.encode(),
        "numbered": "".join(f"{n} {name}\n" for n, name in enumerate(tiny.labels)).encode(),
        "notepad": ("\ufeff" + plain.replace("\n", "\r\n") + "\r\n").encode("utf-16-le"),
    }
    (tmp_path / "plain.txt").write_text(plain)
    (tmp_path / "labels.txt").write_bytes(forms[form])
    shown = evaluated(tiny.int8.path, photos, tmp_path / "labels.txt")
    assert shown.exit_code == 0, shown.stderr
    expected = json.loads(evaluated(tiny.int8.path, photos, tmp_path / "plain.txt").stdout)
    assert json.loads(shown.stdout)["model"] == expected["model"]


def test_folders_from_a_mac_are_the_labels_of_a_pc(photos, tmp_path):
    tiny = tiny_models.tiny()
    renamed = {tiny.labels[0]: "Äpfel", tiny.labels[1]: "  Kürbis"}
    for name in photos.iterdir():
        decomposed = unicodedata.normalize("NFD", renamed.get(name.name, name.name))
        (tmp_path / "mac" / decomposed.strip()).parent.mkdir(exist_ok=True)
        (tmp_path / "mac" / decomposed.strip()).symlink_to(name)
    text = "".join(f"{renamed.get(label, label)}\n" for label in tiny.labels)
    (tmp_path / "nfc.txt").write_text(text)
    shown = evaluated(tiny.int8.path, tmp_path / "mac", tmp_path / "nfc.txt")
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout)["images"] == 40


def test_numbered_folders_are_the_labels_with_those_numbers(photos, tmp_path):
    tiny = tiny_models.tiny()
    for number, label in enumerate(tiny.labels):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{number} {label}").symlink_to(photos / label)
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in tiny.labels))
    shown = evaluated(tiny.int8.path, tmp_path / "data", tmp_path / "labels.txt")
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: [labels[1], *labels[1:]], "is label 0 and label 1 of the model"),
        (lambda labels: [*labels, "more"], "gives 10 scores, but there are 11 labels"),
        (lambda labels: [*labels[:-1], "other"], "is no label of the model"),
        (lambda labels: labels[:-1], "gives 10 scores, but there are 9 labels"),
    ],
)
def test_copies_and_wrong_counts_are_refused(photos, tmp_path, change, words):
    tiny = tiny_models.tiny()
    (tmp_path / "labels.txt").write_text("\n".join(change(list(tiny.labels))))
    shown = evaluated(tiny.int8.path, photos, tmp_path / "labels.txt")
    assert shown.exit_code == 1 and words in shown.stderr
    assert len([line for line in shown.stderr.splitlines() if line.startswith("Error")]) == 1
