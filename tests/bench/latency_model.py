"""Fits the latency model that comes with edgecv, and says how far off it is.

`python -m tests.bench.latency_model` fits devices/latency/model.json from the CSV beside it,
without TensorFlow.
"""

from edgecv.estimate import model, published


def main():
    found = model.fitted()
    print("board        scheme   rows  median   worst  median, family left out")
    for each in found:
        error = each.error
        family = f"{error.family_median:.1%}" if error.family_median else f"ratio {each.ratio:.3g}"
        shares = f"{error.median:7.1%} {error.worst:7.1%}"
        print(f"{each.board:12} {each.scheme:8} {error.rows:4} {shares}  {family}")
    print(model.write(found, published.folder() / model.FILE))


if __name__ == "__main__":
    main()
