"""Folders of images as tools and competitions leave them: the same in build and in evaluate."""

import csv
import io
import json
import random
import shutil
import unicodedata
import zipfile
from collections import Counter

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import edgecv.data
from edgecv.cli import main
from edgecv.data.calibration import calibration_folder
from edgecv.data.images import Square, decode
from edgecv.data.labeled import open_labeled
from edgecv.data.tables import parse_rows
from edgecv.errors import DataError
from edgecv.progress import QUIET
from edgecv.recipe import DataOptions
from tests.test_data import classes, photo


def built(root):
    """What build makes of a folder, and what it warns of."""
    images = edgecv.data.open(DataOptions(path=str(root)), 0, QUIET)
    return images, list(images.warnings)


def evaluated(root, labels=()):
    """What evaluate makes of a folder, and what it warns of."""
    images = open_labeled(root, labels, QUIET)
    return images, list(images.warnings)


def refusals(root):
    """The refusals of both, which are one line each."""
    messages = []
    for read in (built, evaluated):
        with pytest.raises(DataError) as raised:
            read(root)
        messages.append(str(raised.value))
    assert not any("\n" in message for message in messages)
    return messages


def names(found):
    return {photo.path.relative_to(found.root).as_posix() for photo, _ in found.photos}


def held_out(dataset):
    return {sample.name for sample in dataset.validation(32)}


def table(path, rows, delimiter=",", encoding="utf-8"):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.getvalue().encode(encoding))


def flat(folder, count=6, kinds=("cat", "dog"), suffix=".jpg"):
    """Images side by side; their names begin with their class."""
    return [
        photo(folder / f"{folder.name}-{kind}{number}{suffix}").name
        for kind in kinds
        for number in range(count)
    ]


def kind_of(name):
    return "cat" if "cat" in name else "dog"


# Splits


@pytest.mark.parametrize("layout", [("valid", "invalid"), ("test", "sample"), ("train", "bus")])
def test_classes_may_be_named_like_splits(tmp_path, layout):
    classes(tmp_path, names=layout)
    dataset, _ = built(tmp_path)
    found, _ = evaluated(tmp_path)
    assert dataset.labels == found.labels == tuple(sorted(layout))
    assert len(found.photos) == 20


@pytest.mark.parametrize("layout", [("valid", "invalid"), ("train", "bus"), ("test_track", "hall")])
def test_classes_named_like_splits_may_have_folders_inside(tmp_path, layout):
    for name in layout:
        classes(tmp_path / name, each=5, names=("day", "night"))
    dataset, _ = built(tmp_path)
    assert dataset.labels == evaluated(tmp_path)[0].labels == tuple(sorted(layout))


def test_an_unlabeled_test_folder_is_left_out_and_counted(tmp_path):
    classes(tmp_path / "train", each=6)
    classes(tmp_path / "val", each=2)
    flat(tmp_path / "test", 3)
    dataset, warnings = built(tmp_path)
    found, others = evaluated(tmp_path)
    assert all(name.startswith("val/") for name in held_out(dataset) | names(found))
    assert warnings[0] == others[0]
    assert warnings[0].endswith("test: 6 images in no class folder are left out")


def test_train_beside_an_unlabeled_test_is_split(tmp_path):
    classes(tmp_path / "train")
    flat(tmp_path / "test", 3)
    dataset, _ = built(tmp_path)
    assert (dataset.train_size, dataset.validation_size) == (24, 6)
    found, warnings = evaluated(tmp_path)
    assert len(found.photos) == 30 and "a model trained on it is flattered" in warnings[-1]


@pytest.mark.parametrize("first", ["val", "valid", "validation", "dev"])
def test_build_and_evaluate_hold_out_the_same(tmp_path, first):
    for name in ("train", "test", first):
        classes(tmp_path / name, each=6)
    dataset, _ = built(tmp_path)
    found, _ = evaluated(tmp_path)
    assert held_out(dataset) == names(found)
    assert all(name.startswith(f"{first}/") for name in names(found))


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        ("Training", "Testing"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set/training_set", "test_set/test_set"),
        ("data/train", "data/test"),
        ("archive/data/Train Data", "archive/data/Validation Data"),
    ],
)
def test_splits_of_other_names_and_doubled_ones(tmp_path, training, validation):
    classes(tmp_path / training, each=6)
    classes(tmp_path / validation, each=2)
    (tmp_path / "README.md").write_text("about")
    dataset, _ = built(tmp_path)
    assert dataset.labels == ("cat", "dog", "eel")
    assert (len(held_out(dataset)), len(evaluated(tmp_path)[0].photos)) == (6, 6)


def test_a_flat_folder_beside_splits_is_left_out_and_counted(tmp_path):
    for name in ("seg_train", "seg_test"):
        classes(tmp_path / name / name, each=6)
    flat(tmp_path / "seg_pred" / "seg_pred", 3)
    dataset, warnings = built(tmp_path)
    assert dataset.labels == ("cat", "dog", "eel")
    assert "seg_pred: 6 images in no class folder are left out" in warnings[0]


def test_a_folder_of_its_own_name_is_looked_through(tmp_path):
    root = tmp_path / "dataset"
    classes(root / "dataset")
    photo(root / "__MACOSX" / "dataset" / "cat" / "._0.jpg")
    (root / ".DS_Store").write_bytes(b"x")
    found, warnings = evaluated(root)
    assert len(found.photos) == 30
    assert warnings == [f"{root}: its images are those of {root / 'dataset'}"]
    assert built(root)[0].labels == ("cat", "dog", "eel")


def test_flat_splits_without_a_table_are_refused(tmp_path):
    for name in ("train", "valid", "test"):
        flat(tmp_path / name)
    for message in refusals(tmp_path):
        assert "test, train, valid: named like splits" in message
        assert "filename,label" in message
    (tmp_path / "train" / "_annotations.coco.json").write_text("{}")
    for message in refusals(tmp_path):
        assert "labels are not read from 1 x .json (train/_annotations.coco.json)" in message


def test_only_a_folder_to_test_with_is_nothing_to_train_on(tmp_path):
    classes(tmp_path / "test")
    assert len(evaluated(tmp_path)[0].photos) == 30
    with pytest.raises(DataError, match="nothing to train on beside"):
        built(tmp_path)


def test_links_folders_inside_and_capital_endings(tmp_path):
    classes(tmp_path / "elsewhere" / "cat", each=4, names=("near", "far"))
    photo(tmp_path / "data" / "dog" / "a" / "b" / "X.JPG")
    photo(tmp_path / "data" / "dog" / "Y.JPEG")
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    found, warnings = evaluated(tmp_path / "data")
    assert Counter(label for _, label in found.photos) == {0: 8, 1: 2}
    assert not [each for each in warnings if "left out" in each]


def test_one_image_a_class_is_evaluated_and_not_trained_on(tmp_path):
    classes(tmp_path, each=1)
    assert len(evaluated(tmp_path)[0].photos) == 3
    with pytest.raises(DataError, match="class 'cat' has 1 different images"):
        built(tmp_path)


def test_names_in_two_forms_of_unicode_are_one_class(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Äpfel")
    classes(tmp_path / "train", names=(decomposed, "Birnen"))
    classes(tmp_path / "val", each=2, names=("Äpfel", "Birnen"))
    assert built(tmp_path)[0].labels == ("Birnen", "Äpfel")
    classes(tmp_path / "val", each=2, names=(decomposed,))
    for message in refusals(tmp_path):
        assert "two class folders are named" in message


# Files


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".tif", ".tiff", ".jp2", ".ppm", ".dib"])
def test_other_endings_are_read(tmp_path, suffix, capfd):
    forms = {".jfif": ".jpg", ".dib": ".bmp"}
    for name in ("cat", "dog"):
        for number in range(12):
            made = photo(tmp_path / name / f"{number}{forms.get(suffix, suffix)}")
            made.rename(made.with_suffix(suffix.upper()))
    found, warnings = evaluated(tmp_path)
    assert (len(found.photos), warnings) == (24, [])
    whole = next((tmp_path / "cat").iterdir()).read_bytes()
    (tmp_path / "cat" / f"half{suffix}").write_bytes(whole[: len(whole) // 2])
    found, warnings = evaluated(tmp_path)
    assert len(found.photos) == 24 and "1 of 25 images cannot be read" in warnings[0]
    assert capfd.readouterr() == ("", "")


def test_a_tiff_comes_out_as_its_pixels():
    coarse = np.random.default_rng(1).integers(0, 255, (5, 5, 3), np.uint8)
    image = cv2.resize(coarse, (50, 40), interpolation=cv2.INTER_CUBIC)
    for stored in (image, image.astype(np.uint16) * 256):
        data = cv2.imencode(".tif", stored[..., ::-1])[1].tobytes()
        assert np.array_equal(decode(data), image)
    data = cv2.imencode(".tif", image.astype(np.float32))[1].tobytes()
    with pytest.raises(DataError, match="pixels are float32"):
        decode(data)


def test_what_is_left_out_is_counted_by_ending_and_clutter_is_not(tmp_path):
    classes(tmp_path)
    for number in range(4):
        shutil.copy(tmp_path / "cat" / "0.jpg", tmp_path / "cat" / f"{number}.HEIC")
        shutil.copy(tmp_path / "cat" / "0.jpg", tmp_path / "dog" / f"{number}.avif")
    (tmp_path / "dog" / "a.gif").write_bytes(b"GIF89a")
    for clutter in (".DS_Store", "._0.jpg", "Thumbs.db", "desktop.ini"):
        (tmp_path / "dog" / clutter).write_bytes(b"x")
    photo(tmp_path / "stray.jpg")
    for warnings in (built(tmp_path)[1], evaluated(tmp_path)[1]):
        assert "9 files are left out (4 x .heic, 4 x .avif, 1 x .gif)" in warnings[0]
        assert "1 image in no class folder is left out" in warnings[1]
    assert "9 files are left out" in calibration_folder(tmp_path, Square(32), 5, 0).warnings[0]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("my data.zip", "unzip '{}' -d '{}'"),
        ("data.tar.gz", "mkdir -p {1} && tar -xf {0} -C {1}"),
        ("data.7z", "7z x {} -o{}"),
    ],
)
def test_an_archive_is_refused_with_the_command_that_unpacks_it(tmp_path, name, command):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("cat/0.jpg", "x")
    folder = tmp_path / name.split(".")[0]
    for message in refusals(tmp_path / name):
        assert message.endswith("name the folder: " + command.format(tmp_path / name, folder))
    (tmp_path / name).rename(tmp_path / "renamed.zip")
    for message in refusals(tmp_path):  # a folder with nothing but an archive in it
        assert f"unpack the archive in it: unzip {tmp_path / 'renamed.zip'}" in message


# Tables of labels


def test_roboflow_writes_a_column_for_every_class(tmp_path):
    for split, count in (("train", 8), ("valid", 3), ("test", 2)):
        files = flat(tmp_path / split, count)
        rows = [[name, " 1", " 0"] if "cat" in name else [name, " 0", " 1"] for name in files]
        table(tmp_path / split / "_classes.csv", [["filename", " cat", " dog"], *rows])
    (tmp_path / "README.roboflow.txt").write_text("exported")
    dataset, warnings = built(tmp_path)
    found, _ = evaluated(tmp_path)
    assert dataset.labels == found.labels == ("cat", "dog")
    assert held_out(dataset) == names(found)
    assert all(name.startswith("valid/") for name in names(found))
    assert all(kind_of(photo.path.name) == found.labels[label] for photo, label in found.photos)
    assert dataset.train_size == 16
    assert "the classes are read from" in warnings[0] and "train/_classes.csv" in warnings[0]
    only, _ = evaluated(tmp_path / "test")
    assert len(only.photos) == 4


HEADERS = [
    ("filename", "label"),
    ("image", "label"),
    ("Image Name", "Class"),
    ("file_name", "category"),
    ("image_id", "diagnosis"),
    ("id", "breed"),
    ("path", "anything"),
    ("label", "filename"),
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("form", [",", ";", "\t", "bom"])
def test_a_table_of_files_and_classes_is_read(tmp_path, header, form):
    files = flat(tmp_path / "images")
    swap = -1 if header[1] == "filename" else 1
    rows = [[name, kind_of(name)][::swap] for name in files]
    delimiter, encoding = ("," if form == "bom" else form), "utf-8"
    table(tmp_path / "labels.csv", [header, *rows], delimiter, encoding + "-sig" * (form == "bom"))
    dataset, _ = built(tmp_path)
    found, _ = evaluated(tmp_path)
    assert dataset.labels == ("cat", "dog") and len(found.photos) == 12
    assert all(kind_of(photo.path.name) == found.labels[label] for photo, label in found.photos)


def kaggle_ids(root):
    """`id,breed` without endings, beside the training images and an unlabeled test/."""
    files = flat(root / "train")
    flat(root / "test")
    table(root / "labels.csv", [["id", "breed"], *([n[:-4], kind_of(n)] for n in files)])
    submission = [["id", "cat", "dog"], ["x", "0.5", "0.5"]]
    table(root / "sample_submission.csv", submission)


def ids_beside_annotations(root):
    files = flat(root / "images")
    for name in files:
        (root / "images" / f"{name[:-4]}.xml").write_text("<box/>")
    table(root / "labels.csv", [["id", "breed"], *([n[:-4], kind_of(n)] for n in files)])


def kaggle_train_csv(root):
    files = flat(root / "train_images")
    flat(root / "test_images")
    table(root / "train.csv", [["image_id", "label"], *([n, kind_of(n)] for n in files)])
    table(root / "sample_submission.csv", [["image_id", "label"], ["train_images-cat0.jpg", "4"]])


def one_hot_of_ids(root):
    files = flat(root / "images")
    rows = [[n[:-4], int("cat" in n), int("dog" in n)] for n in files]
    table(root / "train.csv", [["image_id", "cat", "dog"], *rows])


def train_images_and_labels(root):
    files = flat(root / "train" / "images")
    table(root / "train" / "labels.csv", [["filename", "label"], *([n, kind_of(n)] for n in files)])


def hugging_face(root):
    files = flat(root / "train")
    table(
        root / "train" / "metadata.csv", [["file_name", "label"], *([n, kind_of(n)] for n in files)]
    )


def paths_from_the_root(root):
    files = [f"train\\{name}" for name in flat(root / "train")]
    rows = [[n, kind_of(n), "train"] for n in files]
    rows += [[f"test/{n}", kind_of(n), "test"] for n in flat(root / "test")]
    table(root / "data.csv", [["filepaths", "labels", "data set"], *rows])


def without_a_header(root):
    files = flat(root / "pictures")
    table(root / "labels.csv", [[n, kind_of(n)] for n in files])


def with_an_index(root):
    files = flat(root / "pictures")
    rows = [[n, name, 32, kind_of(name)] for n, name in enumerate(files)]
    table(root / "labels.csv", [["", "file", "width", "class"], *rows])


def whole_paths(root):
    files = flat(root / "train")
    rows = [[root / "train" / n, kind_of(n)] for n in files]
    table(root / "train.csv", [["image_path", "label"], *rows])


@pytest.mark.parametrize(
    "layout",
    [
        whole_paths,
        ids_beside_annotations,
        *(kaggle_ids, kaggle_train_csv, one_hot_of_ids, train_images_and_labels),
        *(hugging_face, paths_from_the_root, without_a_header, with_an_index),
    ],
)
def test_layouts_of_competitions_and_hubs(tmp_path, layout):
    layout(tmp_path / "data")
    dataset, _ = built(tmp_path / "data")
    found, _ = evaluated(tmp_path / "data")
    assert dataset.labels == found.labels == ("cat", "dog")
    assert len(found.photos) == 12
    assert all(kind_of(photo.path.name) == found.labels[label] for photo, label in found.photos)


def test_rows_of_no_class_or_several_are_left_out_and_counted(tmp_path):
    files = flat(tmp_path / "images", 10)
    rows = [[n, kind_of(n)] for n in files]
    rows[0][1], rows[1][1], rows[2][1] = "", "cat|dog", "dog;cat"
    rows.append([files[-1], "cat"])  # which is a dog before
    table(tmp_path / "labels.csv", [["image", "label"], *rows])
    photo(tmp_path / "images" / "more.jpg")
    shutil.copy(tmp_path / "images" / files[0], tmp_path / "images" / "x.heic")
    found, warnings = evaluated(tmp_path)
    assert len(found.photos) == 16
    text = " ".join(warnings)
    assert "3 images of more than one class are left out" in text
    assert "1 image without a class is left out" in text
    assert "1 image is left out; no table of labels names it" in text


def test_a_table_of_boxes_is_no_table_of_classes(tmp_path):
    files = flat(tmp_path / "train")
    rows = [[n, kind_of(n), 0, 0, 9, 9] for n in files]
    header = ["filename", "class", "xmin", "ymin", "xmax", "ymax"]
    table(tmp_path / "train" / "_annotations.csv", [header, *rows])
    for message in refusals(tmp_path):
        assert "labels are not read from 1 x .csv (train/_annotations.csv)" in message


def test_tables_named_like_splits_divide_a_folder_of_images(tmp_path):
    files = flat(tmp_path / "images", 10)
    for name, own in (
        ("train.csv", files[2:10] + files[12:]),
        ("val.csv", files[:2] + files[10:12]),
    ):
        table(tmp_path / name, [["image", "label"], *([n, kind_of(n)] for n in own)])
    dataset, _ = built(tmp_path)
    assert held_out(dataset) == names(evaluated(tmp_path)[0])
    assert held_out(dataset) == {f"images/{name}" for name in files[:2] + files[10:12]}


def test_a_multi_label_data_set_is_refused(tmp_path):
    files = flat(tmp_path / "train")
    table(
        tmp_path / "train" / "_classes.csv", [["filename", "a", "b"], *([n, 1, 1] for n in files)]
    )
    for message in refusals(tmp_path):
        assert "12 of 12 images have more than one class" in message


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "/etc/secret.jpg", "C:\\secret.jpg", "a/../../b"]
)
def test_a_table_never_leads_out_of_its_folder(tmp_path, path):
    photo(tmp_path / "secret.jpg")
    files = flat(tmp_path / "data" / "images")
    photo(tmp_path / "data" / "images" / "secret.jpg")
    rows = [[n, kind_of(n)] for n in files]
    table(tmp_path / "data" / "labels.csv", [["image", "label"], *rows, [path, "cat"]])
    for message in refusals(tmp_path / "data"):
        assert f"labels.csv: row 13: '{path}' leads out of the folder" in message


def test_files_that_are_not_there_are_counted_or_refused(tmp_path):
    files = flat(tmp_path / "images", 20)
    rows = [[n, kind_of(n)] for n in files]
    table(tmp_path / "labels.csv", [["image", "label"], *rows, ["gone.jpg", "cat"]])
    assert "1 image is not there (gone.jpg)" in " ".join(evaluated(tmp_path)[1])
    rows += [[f"gone{n}.jpg", "cat"] for n in range(9)]
    table(tmp_path / "labels.csv", [["image", "label"], *rows])
    for message in refusals(tmp_path):
        assert "9 of 49 files named in labels.csv are not below the folder (gone0.jpg" in message


def test_a_table_beside_class_folders_is_not_read_and_said(tmp_path):
    classes(tmp_path)
    table(tmp_path / "labels.csv", [["image", "label"], ["0.jpg", "other"]])
    found, warnings = evaluated(tmp_path)
    assert found.labels == ("cat", "dog", "eel")
    assert "labels.csv: not read; the folders beside it are the classes" in warnings[0]


@pytest.mark.parametrize("data", [b"image,label\n\xff\xfe\xe4", b"image,label\na\0b,c"])
def test_a_damaged_table_is_named(tmp_path, data):
    flat(tmp_path / "images")
    (tmp_path / "labels.csv").write_bytes(data)
    for message in refusals(tmp_path):
        assert message.startswith(f"{tmp_path / 'labels.csv'}: ")


def test_thousands_of_spoilt_tables_are_rows_or_one_line(tmp_path):
    chance = random.Random(2)
    names_ = [f"{kind}{n}.jpg" for kind in ("cat", "dog") for n in range(4)]
    one_hot = "filename, cat, dog\n" + "".join(
        f"{n},{n[0] == 'c':d},{n[0] == 'd':d}\n" for n in names_
    )
    plain = "image;label\n" + "".join(f"{n};{n[:3]}\n" for n in names_)
    sources = [one_hot.encode(), plain.encode(), ("\ufeff" + plain).encode("utf-16-le")]
    pieces = [
        b'"',
        b",",
        b";",
        b"\n",
        b"\r",
        b"\0",
        b"../",
        b"/",
        b"|",
        b"\xff",
        b"",
        b"1",
        b"label",
    ]
    for _ in range(2500):
        data = bytearray(chance.choice(sources))
        for _ in range(chance.randint(1, 5)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randint(0, 4)] = chance.choice(pieces)
        try:
            rows = parse_rows(bytes(data), "labels.csv")
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert all(row.file and isinstance(row.labels, tuple) for row in rows)


def test_spoilt_tables_in_folders_are_data_or_one_line(tmp_path):
    files = [
        photo(tmp_path / "images" / f"{kind}{n}.jpg").name
        for kind in ("cat", "dog")
        for n in range(3)
    ]
    source = ("image,label\n" + "".join(f"{n},{kind_of(n)}\n" for n in files)).encode()
    chance = random.Random(3)
    outcomes = Counter()
    for _ in range(150):
        data = bytearray(source)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data) + 1)
            data[place : place + 2] = chance.choice([b'"', b"\n", b"..", b"/", b"x", b",", b"\x01"])
        (tmp_path / "labels.csv").write_bytes(data)
        try:
            evaluated(tmp_path)
            outcomes["read"] += 1
        except DataError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 10


# The command line


def test_evaluate_says_what_was_left_out_once_and_in_its_json(tmp_path):
    from tests import tiny_models

    tiny = tiny_models.tiny()
    model = tiny_models.with_labels(tmp_path / "int8.tflite")
    photos = tiny_models.photos(tmp_path / "photos", tiny.samples[:20])
    (photos / tiny.labels[0]).mkdir(exist_ok=True)
    (photos / tiny.labels[0] / "a.heic").write_bytes(b"x")
    command = ["evaluate", str(model), "--data", str(photos), "--json"]
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stderr.count("1 file is left out (1 x .heic)") == 1
    assert "(1 x .heic)" in json.loads(shown.stdout)["warnings"][0]
