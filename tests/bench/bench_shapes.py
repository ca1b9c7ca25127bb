"""Counting on shapes: how fast it is, and that it is right on the whole cross product.

`python -m tests.bench.bench_shapes` times `edgecv plan` as a whole process, and a thousand
architectures planned one after the other. With `--cross`, every family at five widths, five sizes,
several depths, with lanes and with pruned channels is really converted, and what differs is
printed; that takes half an hour.
"""

import itertools
import random
import resource
import subprocess
import sys
import time

from edgecv import models
from edgecv.device import description
from edgecv.models.channel_groups import coupling
from edgecv.models.float_file import float_model
from edgecv.pipeline.plan import latencies, plan
from edgecv.recipe import ModelOptions
from edgecv.tflite import operators

COMMANDS = (
    ("plan", "mobilenet_v2"),
    ("plan", "mobilenet_v2", "--device", "rpi5"),
    ("plan", "efficientnet_b7"),
)
COUNT = 1000
CLASSES = 10
WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.4)
SIZES = (32, 49, 96, 160, 224)
SCALED = ("efficientnet_b0", "efficientnet_lite0")
NAMED = [arch for arch in models.MODELS if arch.startswith("efficientnet")]
FAMILIES = [arch for arch in models.MODELS if arch not in NAMED] + [*SCALED]


def main():
    if "--cross" in sys.argv:
        wrong = [case for case in cases() if not is_right(case)]
        print(f"{len(wrong)} differ" if wrong else "none differs")
        sys.exit(bool(wrong))
    for command in COMMANDS:
        print(f"edgecv {' '.join(command)}: {process_seconds(command):.2f} s of processor time")
    options = thousand()
    print(f"{COUNT} plans: {seconds(lambda each: plan(each, edge_tpu=False), options):.1f} s")
    print(f"{COUNT} plans with the Edge TPU's: {seconds(plan, options):.1f} s")
    device = description.find("rpi4")
    estimates = seconds(lambda each: latencies(each, device), options)
    print(f"{COUNT} estimates of the latency: {estimates:.1f} s")


def process_seconds(command):
    """The least of five runs: the machine may have other things to do."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "edgecv", *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def thousand():
    """A thousand different architectures, of all families alike; of EfficientNet, at any depth."""
    chance = random.Random(1)
    widths = [round(0.25 + 0.05 * step, 2) for step in range(24)]
    every = list(itertools.product(FAMILIES, widths, range(96, 257, 16)))
    return [
        ModelOptions(
            arch, width, side, chance.choice((0.6, 1.0, 1.4, 2.2)) if arch in SCALED else None
        )
        for arch, width, side in chance.sample(every, COUNT)
    ]


def seconds(function, options):
    """Of all of them, each at the least of three: the machine may have other things to do."""
    return sum(min(once(function, each) for _ in range(3)) for each in options)


def once(function, options):
    start = time.process_time()
    function(options)
    return time.process_time() - start


def cases():
    """Each width with each size of each family; depths, lanes and pruned channels with some."""
    for arch, width, size in itertools.product(FAMILIES, WIDTHS, SIZES):
        yield ModelOptions(arch, width, size)
    for arch in NAMED:
        yield ModelOptions(arch, resolution=64)
    for arch, depth, width in itertools.product(SCALED, (0.3, 0.6, 1.4, 2.2), (0.25, 0.9)):
        yield ModelOptions(arch, width, 64, depth)
    for arch, width in itertools.product(FAMILIES, (0.35, 1.0)):
        yield ModelOptions(arch, width, 64, lanes=True)
        yield pruned(arch, width)


def pruned(arch, width):
    """The architecture with some share of each group's channels."""
    chance = random.Random(f"{arch} {width}")
    counts = coupling(models.network(ModelOptions(arch, width, 64), CLASSES)).counts
    channels = tuple(chance.randint(1, count) for count in counts)
    return ModelOptions(arch, width, 64, channels=channels)


def is_right(options):
    """Whether the shapes are those of the file that TensorFlow converts."""
    import tf_keras

    from tests.converted import converted, described

    made = converted.__wrapped__(options, CLASSES)
    network = models.network(options, CLASSES)
    flat = float_model(network)
    share = operators.file_bytes(flat) / made.bytes - 1
    found = {
        "operators": described(flat) == described(made.flat),
        "parameters": network.parameters == made.parameters,
        "macs": operators.macs(flat) == operators.macs(made.flat),
        "peak": operators.activation_peak(flat) == operators.activation_peak(made.flat),
        "bytes": abs(share) < 0.01,
    }
    wrong = [name for name, right in found.items() if not right]
    words = f"{options.arch} {options.width} {options.resolution} {options.depth or ''}"
    words += " lanes" * options.lanes + " pruned" * bool(options.channels)
    print(f"{words}: bytes {share:+.2%} {wrong or ''}", flush=True)
    tf_keras.backend.clear_session()
    return not wrong


if __name__ == "__main__":
    main()
