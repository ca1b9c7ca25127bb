"""The figures of every epoch of a run's trainings, and how its images were split."""

import json
from pathlib import Path
from typing import Any

from edgecv.pipeline.job import Job


def history_files(job: Job, stage: str) -> list[Path]:
    """Where the trainings of a stage leave their epochs' figures, until the run is finished."""
    prune = job.recipe.prune
    cuts = [f"tuned_{step}" for step in range(1, prune.steps + 1)]
    names = {
        "train": ["training"],
        "prune": cuts if prune.kind == "channels" else ["sparse"],
        "qat": ["qat"],
    }
    return [job.run.state / f"{name}.json" for name in names[stage]]


def read_histories(job: Job) -> dict[str, list[dict[str, Any]]] | None:
    """The figures of every epoch by stage; None where nothing was trained."""
    rows = {
        stage: [
            row
            for path in history_files(job, stage)
            if path.exists()
            for row in json.loads(path.read_text(encoding="utf-8"))
        ]
        for stage in ("train", "prune", "qat")
    }
    return {stage: epochs for stage, epochs in rows.items() if epochs} or None


def describe_split(job: Job) -> dict[str, Any] | None:
    """How many images a run trained on, stopped early by, held out and calibrated with."""
    images, manifest = job.images, job.file("calibration.json")
    if images is None:
        return None
    trained = job.recipe.train.epochs != 0 and job.recipe.model.weights != "random"
    sizes = {"train": images.train_size, "monitor": images.monitor_size} if trained else {}
    rows = json.loads(manifest.read_text(encoding="utf-8"))["files"] if manifest.exists() else []
    calibration = {"calibration": len(rows)} if rows else {}
    return {"name": images.name, **sizes, "held_out": images.validation_size, **calibration}
