"""The state of a run that every stage may read, and whether a stage is still to do."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from edgecv import models
from edgecv.data import Dataset
from edgecv.models import Architecture
from edgecv.pipeline import keys
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.run_folder import RunFolder
from edgecv.progress import OnEpoch, Progress, Warnings
from edgecv.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """The state of a run that every stage may read."""

    recipe: Recipe
    images: Dataset | None
    labels: tuple[str, ...]
    run: RunFolder
    progress: Progress
    cache: StageCache | None = None
    warnings: Warnings = field(default_factory=Warnings)
    on_epoch: OnEpoch | None = None

    @cached_property
    def architecture(self) -> Architecture:
        """The model that the recipe means."""
        return models.resolve(self.recipe.model)

    def file(self, name: str) -> Path:
        """A file of the run folder."""
        return self.run.path / name

    @property
    def network(self) -> Path:
        """The Keras model that is converted."""
        return self.file(
            "model.keras" if self.recipe.prune.kind == "none" else "model_pruned.keras"
        )

    @contextmanager
    def stage(
        self,
        name: str,
        sources: Sequence[Path],
        *files: Path,
        beside: Sequence[Path] = (),
        **more: object,
    ) -> Iterator[bool]:
        """Whether the block has to make these files, and perhaps those `beside` them; timed.

        They may be there from before, or come from the cache, by all that the stage depends on:
        `keys.inputs`, and `more`.
        """
        if all(file.exists() for file in files):
            yield False
            return
        if self.cache is None:
            with self.run.time_stage(name):
                yield True
            return
        inputs = keys.inputs(name, self.recipe, self.labels, sources)
        key, kept = self.cache.key(name, inputs | more), [*beside, *files]
        with self.cache.lock(key):
            if made := self.cache.fetch(key, kept):
                self.run.add_seconds(name, made.seconds)
                yield False
                return
            start = time.perf_counter()
            with self.run.time_stage(name):
                yield True
            self.cache.keep(key, kept, time.perf_counter() - start)
