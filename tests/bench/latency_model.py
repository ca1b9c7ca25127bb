"""Fits the latency model that comes with edgecv, and says how far off it is.

`python -m tests.bench.latency_model` fits devices/latency/model.json from the two CSVs beside it,
without TensorFlow. With `--operators`, the operators of every published model are counted anew
first, from edgecv's own builders; that takes some minutes.
"""

import csv
import sys
import tempfile
from pathlib import Path

from edgecv.latency import model, published
from edgecv.tflite.kinds import Cost, by_kind, costs


def main():
    if "--operators" in sys.argv:
        count_operators()
    found = model.fitted()
    print("board        scheme   rows  median   worst  median, family left out")
    for each in found:
        error = each.error
        family = f"{error.family_median:.1%}" if error.family_median else f"ratio {each.ratio:.3g}"
        shares = f"{error.median:7.1%} {error.worst:7.1%}"
        print(f"{each.board:12} {each.scheme:8} {error.rows:4} {shares}  {family}")
    print(model.write(found, published.folder() / model.FILE))


def count_operators():
    """Write operators.csv: what the published models consist of."""
    from edgecv.models.tensorflow import import_tensorflow

    import_tensorflow()
    wanted = {each.model for each in published.rows() if (each.board, each.runtime) == REFERENCE}
    with (published.folder() / "operators.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["arch", "width", "resolution", *Cost._fields])
        for arch, width, resolution in sorted(wanted):
            print(f"counting {arch} {width:g}/{resolution}", flush=True)
            for each in built(arch, width, resolution):
                table.writerow([arch, f"{width:g}", resolution, *each])


REFERENCE = published.REFERENCE


def built(arch, width, resolution):
    """The cost by kind of a published model, of 1000 classes."""
    from edgecv import models
    from edgecv.convert.keras import convert
    from edgecv.recipe import ModelOptions
    from edgecv.tflite import flatbuffer

    network = models.build(ModelOptions(arch=arch, width=width, resolution=resolution), 1000)
    with tempfile.TemporaryDirectory() as scratch:
        path = convert(network, Path(scratch) / "model.tflite").path
        return by_kind(costs(flatbuffer.read(path)))


if __name__ == "__main__":
    main()
