"""Fits the latency model that comes with edgecv, and says how far off it is.

`python -m tests.bench.latency_model` fits devices/latency/model.json from the CSV beside it,
without TensorFlow.
"""

from edgecv.estimate import fitting, model, published


def main():
    models = fitting.fitted()
    print(f"{'board':11} {'kernels':8} {'scheme':8} rows  median   worst  sources  median   worst")
    for each in models:
        error = each.error
        shares = f"{error.median:7.1%} {error.worst:7.1%}"
        by_source = f"{error.sources or '':>7}"
        if error.source_median is not None:
            by_source += f"  {error.source_median:7.1%} {error.source_worst:7.1%}"
        if error.family_median is not None:
            by_source += f"  family left out {error.family_median:.1%} {error.family_worst:.1%}"
        if each.ratio != 1:
            by_source += f"  {each.source}"
        print(
            f"{each.board:11} {each.kernels:8} {each.scheme:8} {error.rows:4} {shares}  {by_source}"
        )
    print(model.write(models, published.folder() / model.FILE))


if __name__ == "__main__":
    main()
