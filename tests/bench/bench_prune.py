"""Pruning on photographs of flowers: every kind beside the dense model and its width twin.

    python -m tests.bench.bench_prune FOLDER [ARCH...]

One family each of MobileNetV1, V2, V3, SqueezeNet and EfficientNet, at reduced width and size, over
three seeds: channels at half the multiply-accumulates, against the dense model, a dense one trained
for as many epochs as the pruned one had in all, and one trained at the pruned size for as many.
Over the first seed also the other kinds, and channels without distillation.

Runs and rows lie in FOLDER, and a benchmark that is stopped goes on with the same command. Two at
once may share it, if each has its own families: those named, or all. It needs the flowers in
EDGECV_REAL, or in `../shared/real` beside the repository.
"""

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.artifacts import Report
from edgecv.cli.progress import Terminal
from edgecv.models.tensorflow import import_tensorflow

REAL = Path(os.environ.get("EDGECV_REAL", Path(__file__).parents[3] / "shared" / "real"))
SEEDS = (0, 1, 2)
SIDE, EPOCHS, PRUNE_EPOCHS = 64, 16, 6
HELD_OUT = 0.5  # of 2,000 photographs: a difference of a point is then more than chance
Row = dict[str, Any]
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


def measured(family: Family, seed: int, kinds: tuple[str, ...], folder: Path) -> list[Row]:
    """The rows of one family and seed."""
    from edgecv.pipeline import build as pipeline
    from edgecv.pipeline import inputs
    from edgecv.pipeline.cache import StageCache
    from edgecv.pipeline.compare import Comparison, row
    from edgecv.recipe import Recipe, load, override

    def built(name: str, **changed: dict) -> tuple[Path, Report]:
        run, changes = folder / f"{family.arch}_{seed}{name}", {**sections}
        for key, value in changed.items():
            changes[key] = {**changes[key], **value}
        recipe = override(Recipe(), {"seed": seed}, changes)
        cache = StageCache(folder / "cache")
        return run, pipeline.build(recipe, run, Terminal(), cache=cache, measure=False)

    sections = {
        "model": {"arch": family.arch, "width": family.width, "resolution": SIDE},
        "data": {"path": str(REAL / "flowers"), "validation": HELD_OUT},
        "train": {"epochs": EPOCHS},
        "quantize": {"images": 40},
        "prune": {"kind": "channels", "macs": 0.5, "epochs": PRUNE_EPOCHS},
    }
    run, own = built("")
    recipe = load(run / "recipe.toml")
    images = inputs.load_images(recipe, Terminal())
    rows = Comparison(recipe, run, images, Terminal()).rows(kinds, own)
    longer = {"train": {"epochs": EPOCHS + PRUNE_EPOCHS}, "prune": {"kind": "none", "macs": None}}
    others = {"longer": longer, "untaught": {"prune": {"distill": False}}}
    for name, changed in others.items() if seed == SEEDS[0] else [("longer", longer)]:
        rows.append(row(name, built(f"_{name}", **changed)[1], {}))
    return rows


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/bench_prune")
    chosen = [each for each in FAMILIES if each.arch in sys.argv[2:] or not sys.argv[2:]]
    folder.mkdir(parents=True, exist_ok=True)
    if not (REAL / "flowers").is_dir():
        print(f"no flowers in {REAL}")
        return 0
    import_tensorflow()
    found: dict[Family, list[dict[str, Row]]] = {each: [] for each in chosen}
    for seed in SEEDS:
        for family in chosen:
            kept = folder / f"{family.arch}_{seed}.json"
            if not kept.exists():
                rows = measured(family, seed, (*MAIN, *ALL) if seed == SEEDS[0] else MAIN, folder)
                kept.write_text(json.dumps(rows, indent=1))
            rows = json.loads(kept.read_text())
            print(table(f"{family.arch} {family.width:g}/{SIDE} seed {seed}", rows), flush=True)
            found[family].append({each["name"]: each for each in rows})
    for family, runs in found.items():
        print(averages(family, runs))
    return 0


def table(name: str, rows: list[Row]) -> str:
    """The rows of one family and seed."""
    head = (
        f"{'':<10} {'float':>6} {'int8':>6} {'zeros':>6} {'params':>9} {'MACs':>9} {'bytes':>8}"
        f" {'gzip':>8} {'ms int8':>8} {'float32':>8} {'sparse':>7}"
    )
    return "\n".join([f"\n== {name}", head, *map(_line, rows)])


def _line(row: Row) -> str:
    if "reason" in row:
        return f"{row['name']:<10} {row['reason']}"
    times = row["p50_ms"]
    return (
        f"{row['name']:<10} {row['top1']['float32']:6.3f} {row['top1']['int8']:6.3f}"
        f" {row['sparsity']:6.1%} {row['parameters']:9,} {row['macs']:9,} {row['bytes']:8,}"
        f" {row['gzip_bytes']:8,}"
        + "".join(
            f" {times[each]:8.4f}"
            for each in ("int8", "float32", "float32_sparse")
            if each in times
        )
    )


def averages(family: Family, runs: list[dict[str, Row]]) -> str:
    """Differences of top-1 in int8, in points, over the seeds; and the ratio of latencies."""
    lines = [f"\n{family.arch} {family.width:g}/{SIDE}, {len(runs)} seeds"]
    for other in ("dense", "longer", "twin", "untaught"):
        points = [
            100 * (run["channels"]["top1"]["int8"] - run[other]["top1"]["int8"])
            for run in runs
            if other in run
        ]
        lines.append(f"  channels - {other:<8} {_spread(points)} points of top-1, int8")
    ratios = [run["channels"]["p50_ms"]["int8"] / run["dense"]["p50_ms"]["int8"] for run in runs]
    return "\n".join([*lines, f"  latency / dense   {_spread(ratios)}"])


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return (
        f"{statistics.mean(values):+.2f} +- {deviation:.2f} ({min(values):.2f}..{max(values):.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
