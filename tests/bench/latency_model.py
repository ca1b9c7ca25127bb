"""Fits the latency model that comes with edgecv, and says how far off it is.

`python -m tests.bench.latency_model` fits devices/latency/model.json from the CSV beside it,
without TensorFlow.
"""

import itertools
import random

from edgecv.estimate import device, fitting, model, prior, published, rates


def main():
    models = fitting.fit_models()
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
    for scheme, count in itertools.product(model.SCHEMES, (1, 3)):
        errors = sorted(errors_of_measuring(count, scheme))
        middle, most = (f"{errors[int(share * len(errors))]:.0%}" for share in (0.5, 0.9))
        print(f"{scheme}: {count} measured, the others within {middle} (median), {most} (90 %)")
    print(model.write(models, published.folder() / model.FILE))


def errors_of_measuring(count, scheme):
    """Of the Pi 4's rows with ruy, taken as a user's own: some of them predict the others."""
    samples, chance = published.samples(scheme, published.RUY), random.Random(0)
    before = next(
        entry.rates
        for entry in device.shipped_models()
        if (entry.board, entry.scheme, entry.kernels) == ("rpi4", scheme, "xnnpack")
    )
    every = list(itertools.combinations(range(len(samples)), count))
    for places in chance.sample(every, min(200, len(every))):
        own = prior.fit([samples[place] for place in places], before)
        for place, sample in enumerate(samples):
            if place not in places:
                yield abs(rates.milliseconds(own, sample.costs) / sample.ms - 1)


if __name__ == "__main__":
    main()
