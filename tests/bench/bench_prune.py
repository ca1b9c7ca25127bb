"""Pruning on photographs of flowers: every kind beside the dense model and its width twin.

    python -m tests.bench.bench_prune [FOLDER]

One family each of MobileNetV1, V2, V3, SqueezeNet and EfficientNet, at reduced width and size, so
that each trains in a minute or two: channels at half the multiply-accumulates against dense and
against a model trained at that size for as many epochs, over three seeds; all kinds over the first.
Runs lie in FOLDER, and a benchmark that is stopped goes on with the same command; what is measured
so far is in FOLDER/prune.json. It needs the flowers in EDGECV_REAL, or in `../shared/real` beside
the repository.
"""

import json
import os
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from edgecv.cli.progress import Terminal
from edgecv.models.tensorflow import import_tensorflow

REAL = Path(os.environ.get("EDGECV_REAL", Path(__file__).parents[3] / "shared" / "real"))
SEEDS = (0, 1, 2)
SIDE, EPOCHS, PRUNE_EPOCHS = 64, 5, 3
HELD_OUT = 0.5  # of 2,000 photographs: a difference of a point is then more than chance
MAIN, ALL = ("dense", "channels", "twin"), ("magnitude", "2:4", "xnnpack")


class Family(NamedTuple):
    arch: str
    width: float


FAMILIES = (
    Family("mobilenet_v1", 0.35),
    Family("mobilenet_v2", 0.5),
    Family("squeezenet_1_1", 0.35),
    Family("mobilenet_v3_small", 0.5),
    Family("efficientnet_lite0", 0.35),
)


def measured(family: Family, seed: int, kinds: tuple[str, ...], folder: Path) -> list[dict]:
    """The rows of one family and seed."""
    from edgecv import inputs, pipeline
    from edgecv.comparison import Comparison
    from edgecv.recipe import Recipe, load, override

    sections = {
        "model": {"arch": family.arch, "width": family.width, "resolution": SIDE},
        "data": {"path": str(REAL / "flowers"), "validation": HELD_OUT},
        "train": {"epochs": EPOCHS},
        "quantize": {"images": 40},
        "prune": {"kind": "channels", "macs": 0.5, "epochs": PRUNE_EPOCHS},
    }
    run = folder / f"{family.arch}_{seed}"
    own = pipeline.build(override(Recipe(), {"seed": seed}, sections), run, Terminal())
    recipe = load(run / "recipe.toml")
    images = inputs.images(recipe, Terminal())
    return Comparison(recipe, run, images, pipeline.build, Terminal()).rows(kinds, own)


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/bench_prune")
    folder.mkdir(parents=True, exist_ok=True)
    if not (REAL / "flowers").is_dir():
        print(f"no flowers in {REAL}")
        return 0
    import_tensorflow()
    kept = folder / "prune.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    jobs = [(family, seed, MAIN) for seed in SEEDS for family in FAMILIES]
    jobs.insert(2, (FAMILIES[0], SEEDS[0], (*MAIN, *ALL)))
    jobs += [(each, SEEDS[0], (*MAIN, *ALL)) for each in FAMILIES[1:]]
    for family, seed, kinds in jobs:
        name = f"{family.arch} {family.width:g}/{SIDE} seed {seed} {len(kinds)}"
        if name not in found:
            found[name] = measured(family, seed, kinds, folder)
            kept.write_text(json.dumps(found, indent=1))
        print(table(name, found[name]), flush=True)
    for family in FAMILIES:
        print(averages(family, found))
    return 0


def table(name: str, rows: list[dict]) -> str:
    """The rows of one family and seed."""
    head = (
        f"{'':<10} {'float':>6} {'int8':>6} {'zeros':>6} {'params':>9} {'MACs':>9} {'bytes':>8}"
        f" {'gzip':>8} {'ms int8':>8} {'float32':>8} {'sparse':>7}"
    )
    return "\n".join([f"\n== {name}", head, *map(_line, rows)])


def _line(row: dict) -> str:
    if "reason" in row:
        return f"{row['name']:<10} {row['reason']}"
    sparse, times = row["p50_ms"].get("float32_sparse"), row["p50_ms"]
    return (
        f"{row['name']:<10} {row['top1']['float32']:6.3f} {row['top1']['int8']:6.3f}"
        f" {row['sparsity']:6.1%} {row['parameters']:9,} {row['macs']:9,} {row['bytes']:8,}"
        f" {row['gzip_bytes']:8,} {times['int8']:8.4f} {times['float32']:8.4f}"
        + (f" {sparse:7.4f}" if sparse else "")
    )


def averages(family: Family, found: dict[str, list[dict]]) -> str:
    """Differences of top-1 in int8, in points, over the seeds; and the ratio of latencies."""
    runs = [
        {row["name"]: row for row in rows}
        for name, rows in found.items()
        if name.startswith(family.arch) and name.endswith(f" {len(MAIN)}")
    ]
    lines = [f"\n{family.arch} {family.width:g}/{SIDE}, {len(runs)} seeds"]
    for other in ("dense", "twin"):
        points = [
            100 * (run["channels"]["top1"]["int8"] - run[other]["top1"]["int8"]) for run in runs
        ]
        lines.append(f"  channels - {other:<6} {_spread(points)} points of top-1, int8")
    ratios = [run["channels"]["p50_ms"]["int8"] / run["dense"]["p50_ms"]["int8"] for run in runs]
    return "\n".join([*lines, f"  latency / dense   {_spread(ratios)}"])


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return (
        f"{statistics.mean(values):+.2f} +- {deviation:.2f} ({min(values):.2f}..{max(values):.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
