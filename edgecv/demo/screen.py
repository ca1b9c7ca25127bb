"""Pictures for all viewers, encoded once for all of them, and only while somebody looks."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2

from edgecv.demo import snapshots
from edgecv.demo.frames import Pixels, now
from edgecv.demo.live_figures import Machine
from edgecv.demo.pipeline import Pipeline, Result

FPS = 25.0  # of what is shown; inference goes at its own rate
POLL_SECONDS = 0.005
STATE_SECONDS = 0.2
WIDEST = 960  # pixels; larger pictures are shown smaller, and kept as they are
QUALITY = 80
SHOWN = 5  # classes


class Picture(NamedTuple):
    """A JPEG, counted, of a result."""

    number: int
    jpeg: bytes
    result: Result | None
    drawn: float


class Screen:
    """The newest picture and figures of a pipeline, for any number of viewers."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._picture = Picture(0, b"", None, 0.0)
        self._drawing: asyncio.Task[None] | None = None
        self._output = ThreadPoolExecutor(1, "output")
        self._machine = Machine()
        self._state: dict[str, Any] = {}
        self._state_at = -STATE_SECONDS

    async def picture(self, seen: int) -> Picture:
        """The first picture after the one numbered `seen`, drawn for whoever asks first."""
        while self._picture.number <= seen or not self._fresh():
            if self._drawing is None or self._drawing.done():
                self._drawing = asyncio.create_task(self._draw())
            await asyncio.shield(self._drawing)
        return self._picture

    async def state(self) -> dict[str, Any]:
        """Figures, top classes and settings, at the most five times a second anew."""
        if now() - self._state_at >= STATE_SECONDS:
            self._state_at = now()
            loop = asyncio.get_running_loop()
            self._state = await loop.run_in_executor(self._output, self._looked_up)
        return self._state

    def close(self) -> None:
        """End the output thread."""
        self._output.shutdown(cancel_futures=True)

    def _fresh(self) -> bool:
        shown = self._picture
        return shown.result is self.pipeline.latest or now() - shown.drawn < 2 / FPS

    async def _draw(self) -> None:
        await asyncio.sleep(max(0.0, self._picture.drawn + 1 / FPS - now()))
        while self.pipeline.latest is None or self.pipeline.latest is self._picture.result:
            await asyncio.sleep(POLL_SECONDS)
        start, result = now(), self.pipeline.latest
        loop = asyncio.get_running_loop()
        jpeg = await loop.run_in_executor(self._output, _encoded, result.frame.pixels)
        self._picture = Picture(self._picture.number + 1, jpeg, result, start)

    def _looked_up(self) -> dict[str, Any]:
        pipeline, classifier = self.pipeline, self.pipeline.classifier
        latest, options = pipeline.latest, pipeline.options
        return {
            "running": pipeline.running,
            "note": pipeline.note,
            "source": pipeline.source.name,
            "model": [model.path for model in options.models].index(classifier.model.path),
            "threads": classifier.threads,
            "runtime": classifier.runtime,
            "top": latest.top(SHOWN) if latest else [],
            "size": list(latest.frame.pixels.shape[1::-1]) if latest else None,
            "dropped": pipeline.dropped,
            **pipeline.figures.read(),
            **self._machine.read(),
            "time": time.time(),
        }


def _encoded(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    if width > WIDEST:
        size = (WIDEST, max(1, round(height * WIDEST / width)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return snapshots.encode_jpeg(pixels, QUALITY)
