"""Data sets of accuracies, which compare by data, classes and images."""

from collections.abc import Sequence
from typing import NamedTuple

from edgecv.errors import RecipeError, nearest
from edgecv.tradeoff.runs import Candidate

SHOWN_DIGITS = 6  # of a hash, where two data sets have all else in common


class DataSet(NamedTuple):
    """The key that candidates with comparable accuracies share; the hash is "" in runs of old."""

    data: str
    images: int
    classes: int
    images_sha256: str

    @property
    def words(self) -> str:
        """`photos, 1000 images, 10 classes`."""
        return f"{self.data}, {self.images} images, {self.classes} classes"


def data_set(candidate: Candidate) -> DataSet:
    """The data set of a candidate's accuracy."""
    return DataSet(candidate.data, candidate.images, candidate.classes, candidate.images_sha256)


def data_set_names(candidates: Sequence[Candidate]) -> dict[DataSet, str]:
    """A name for every data set that accuracy was measured on, those of most models first."""
    measured = [data_set(candidate) for candidate in candidates if candidate.top1 is not None]
    every = sorted(set(measured), key=lambda data: (-measured.count(data), data))
    words = [data.words for data in every]
    return {
        data: data.words
        + (f", {data.images_sha256[:SHOWN_DIGITS] or 'no hash'}" * (words.count(data.words) > 1))
        for data in every
    }


def select_data(candidates: Sequence[Candidate], wanted: str | None) -> list[Candidate]:
    """The candidates of one data set: the only one there is, or the one wanted, by name or hash.

    Those without an accuracy are left out. Raises RecipeError where it is not clear which.
    """
    names = data_set_names(candidates)
    fitting = [data for data in names if wanted is None or _is_called(data, names[data], wanted)]
    if names and len(fitting) != 1:
        there = "; ".join(f"'{name}'" for name in names.values())
        if wanted is None:
            raise RecipeError(
                "--data: accuracies on different images do not compare; choose among the models of"
                f" one: {there}"
            )
        which = "is more than one data set" if fitting else "is no data set of these runs"
        hint = "" if fitting else nearest(wanted, [data.data for data in names])
        raise RecipeError(f"--data '{wanted}': {which}{hint}; there are: {there}")
    return [
        candidate
        for candidate in candidates
        if candidate.top1 is not None and data_set(candidate) in fitting
    ]


def _is_called(data: DataSet, name: str, wanted: str) -> bool:
    digits = len(wanted) >= SHOWN_DIGITS and data.images_sha256.startswith(wanted)
    return wanted in (data.data, name) or digits
