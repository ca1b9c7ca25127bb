"""Folders as finished runs leave them, of figures that are made up and say so: device `made_up`."""

import json
import random
from pathlib import Path

FAMILIES = {
    "mobilenet_v1": (0.70, 569e6, 4.2e6),
    "mobilenet_v2": (0.72, 300e6, 3.5e6),
    "mobilenet_v3_small": (0.67, 60e6, 2.5e6),
    "efficientnet_lite0": (0.75, 400e6, 4.6e6),
    "squeezenet_1_1": (0.58, 350e6, 1.2e6),
}
SHA = {"float32": "f" * 64, "int8": "8" * 64}


def latency(ms, scheme, digest, device="made_up", valid=True, threads=4):
    """An entry of report.json's latency."""
    return {
        **{"device": device, "origin": "measured", "runtime": "litert 2.3.0", "threads": threads},
        **{"delegate": "xnnpack", "model": scheme, "runs": 50, "p50_ms": ms, "p90_ms": ms * 1.1},
        **{"p99_ms": ms * 1.2, "min_ms": ms * 0.95, "first_ms": ms * 2, "ci_low_ms": ms * 0.98},
        **{"ci_high_ms": ms * 1.02, "peak_rss_bytes": int(3e7 + ms * 1e5), "valid": valid},
        **({} if valid else {"reason": "the board throttled: 84 C"}),
        "context": {"model_sha256": digest, "cpu": "made up", "samples_ms": [ms] * 50},
    }


def report(arch="mobilenet_v1", width=1.0, resolution=224, top1=0.7, ms=20.0, size=4e6, **more):
    """A report.json; int8 has what is given, float32 three times the latency and four the size."""
    files = {
        scheme: {
            **{"path": f"model_{scheme}.tflite", "bytes": int(size * factor)},
            **{"gzip_bytes": int(size * factor * 0.9), "sha256": SHA[scheme]},
        }
        for scheme, factor in (("float32", 4), ("int8", 1))
    }
    entries = [latency(ms * 3, "float32", SHA["float32"]), latency(ms, "int8", SHA["int8"])]
    table = {
        **{"schema": 1, "edgecv": "0.1.0", "arch": arch, "width": width, "resolution": resolution},
        **{"classes": 10, "parameters": int(size), "macs": int(ms * 1e7), "weights": "trained"},
        "files": files,
        "accuracy": {
            **{"data": "photos", "images": 1000, "float32": {"top1": top1 + 0.005, "top5": 0.99}},
            **{"int8": {"top1": top1, "top5": 0.98}, "agreement": 0.97, "per_class": []},
        },
        "quantization": {"method": "int8", "operators": {}, "full_int8": True},
        "pruning": {"kind": "none", "sparsity": 0.0},
        **{"latency": entries, "seconds": {"train": 1.0}},
    }
    return {**table, **more}


def leave(folder: Path, table) -> Path:
    """A run's folder with that report."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text('[model]\narch = "mobilenet_v1"\n')
    (folder / "report.json").write_text(json.dumps(table))
    return folder


def leave_many(folder: Path, count: int, seed: int = 0) -> Path:
    """So many runs over families, widths, resolutions and prunings, a few of them spoilt."""
    chance = random.Random(seed)
    for number in range(count):
        arch = chance.choice(list(FAMILIES))
        width, resolution = chance.choice([0.25, 0.5, 0.75, 1.0]), chance.choice([96, 160, 224])
        top1, macs, parameters = FAMILIES[arch]
        share = width**1.7 * (resolution / 224) ** 2
        sparsity = chance.choice([0, 0, 0, 0.5, 0.75])
        table = report(
            arch=arch,
            width=width,
            resolution=resolution,
            top1=round(
                top1 + 0.07 * (share**0.5 - 1) * 3 - sparsity * 0.03 + chance.gauss(0, 0.01), 4
            ),
            ms=round(macs * share / 1.2e7 * chance.uniform(0.95, 1.05) + 1, 3),
            size=parameters * width**1.5,
            pruning={"kind": "magnitude" if sparsity else "none", "sparsity": sparsity},
        )
        table["macs"] = int(macs * share)
        for each in list(table["latency"]):
            other = latency(each["p50_ms"] / 3, each["model"], SHA[each["model"]], "made_up_5")
            table["latency"].append(other)
            if chance.random() < 0.06:
                each |= {"valid": False, "reason": "the board throttled: 84 C"}
        name_files(table, number)
        name = f"{arch}_{round(width * 100):03}_{resolution}_{number:03}"
        leave(folder / name, table)
    return folder


def name_files(table, number) -> None:
    """Give a run's files hashes of their own."""
    for scheme, file in table["files"].items():
        file["sha256"] = f"{number:04}{SHA[scheme][4:]}"
    for entry in table["latency"]:
        entry["context"] |= {"model_sha256": table["files"][entry["model"]]["sha256"]}
