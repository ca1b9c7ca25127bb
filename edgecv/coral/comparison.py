"""A plan held against what the compiler made: the planner's own check, in the field."""

from typing import Any, NamedTuple

from edgecv.coral.planner import CoralPlan


class Difference(NamedTuple):
    """A figure as it was estimated, and as it is in the compiled file."""

    figure: str
    estimated: float
    compiled: float

    @property
    def share(self) -> float | None:
        """How far the estimate is off, as a share of the compiled figure; None where that is 0."""
        return self.estimated / self.compiled - 1 if self.compiled else None

    def to_json(self) -> dict[str, Any]:
        """The difference with its share."""
        return {**self._asdict(), "share": self.share}


def differences(plan: CoralPlan, compiled: dict[str, Any]) -> list[Difference]:
    """Operators on the Edge TPU, parameters, inputs and outputs, and cycles where there are any."""
    total = len(plan.operators)
    parameters = compiled["cached_bytes"] + compiled["streamed_bytes"]
    moved = sum(compiled["dma_bytes"].get(name, 0) for name in ("input in", "output out"))
    differences = [
        Difference("operators", plan.mapped, total - sum(compiled["cpu_operators"].values())),
        Difference("parameter bytes", plan.parameter_bytes, parameters),
        Difference("streamed bytes", plan.cache.streamed_bytes[1], compiled["streamed_bytes"]),
        Difference("input and output bytes", plan.io_bytes, moved),
    ]
    differences.append(Difference("least runtime", plan.min_runtime, compiled["min_runtime"]))
    if compiled["estimated_cycles"]:
        differences.append(Difference("cycles", plan.cycles["total"], compiled["estimated_cycles"]))
    return differences
