"""The demo's threads: one captures, one prepares, one infers, one shows; the newest frame first.

    source -> frames -> squares -> results -> whoever listens

A camera that is lost is opened again until it returns. What is shown is drawn by whoever shows it.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from edgecv.demo.cameras import SILENT_SECONDS
from edgecv.demo.classifier import Classifier, Scores
from edgecv.demo.frames import Closed, Frame, Pixels, Slot, now
from edgecv.demo.live_figures import Figures, Smoothed
from edgecv.demo.options import DemoModel, DemoOptions
from edgecv.demo.sources import Source, find
from edgecv.errors import DeviceError, RecipeError

RETRY_SECONDS = 1.0  # between two looks for a camera that is gone
MOST_THREADS = 64


class Prepared(NamedTuple):
    """A frame, the square that a classifier is shown of it, and the seconds that took."""

    frame: Frame
    square: Pixels
    classifier: Classifier
    seconds: float


class Result(NamedTuple):
    """A frame and what a model says of it."""

    frame: Frame
    model: DemoModel
    scores: Scores  # of this frame
    smoothed: Scores  # over the last ones
    inference_seconds: float
    delay: float  # seconds from the frame's capture to its scores

    def top(self, count: int, smoothed: bool = True) -> list[tuple[str, float]]:
        """The likeliest classes and their scores: over the last frames, or of this one alone."""
        scores = self.smoothed if smoothed else self.scores
        labels = self.model.labels or [str(index) for index in range(len(scores))]
        best = (-scores).argsort(kind="stable")[:count].tolist()
        return [(labels[place], round(float(scores[place]), 4)) for place in best]


class Raw(NamedTuple):
    """A result of the inference thread."""

    prepared: Prepared
    scores: Scores
    seconds: float
    at: float


class Pipeline:
    """Runs from `start` to `close`, or until its source ends; `listen` hears of every result.

    Raises as `sources.find` and `Classifier`.
    """

    def __init__(
        self, options: DemoOptions, listen: Callable[[Result], None] = lambda _: None
    ) -> None:
        self.options = options
        self.source: Source = find(options)
        self.classifier = self._loaded(0, options.threads)
        self.figures = Figures()
        self.latest: Result | None = None
        self._note = ""
        self._seen_at = now()
        self.failed: BaseException | None = None
        self.finished = threading.Event()
        self.first = threading.Event()  # there is a result, or there never will be
        self._listen = listen
        self._running, self._closing = threading.Event(), threading.Event()
        self._frames: Slot[Frame] = Slot(options.once)
        self._squares: Slot[Prepared] = Slot(options.once)
        self._results: Slot[Raw] = Slot(options.once)
        steps = (self._capture, self._prepare, self._infer, self._hand_out)
        self._threads = [
            threading.Thread(target=self._guard, args=(step,), name=step.__name__, daemon=True)
            for step in steps
        ]

    def start(self) -> None:
        """Begin. What goes wrong at once is raised by `wait`."""
        self._seen_at = now()
        self._running.set()
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it finished within a time. Raises what ended it."""
        ended = self.finished.wait(seconds)
        if self.failed:
            raise self.failed
        return ended

    def close(self) -> None:
        """End all threads; the camera is free when this returns."""
        self._closing.set()
        self._running.set()
        self._close_slots()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5)

    @property
    def note(self) -> str:
        """What is amiss at the moment; empty where nothing is."""
        silent = now() - self._seen_at
        if self._note or not (self.source.live and self.running and silent > SILENT_SECONDS):
            return self._note
        return f"{self.source.name}: no picture for {silent:.0f} s; waiting for it"

    @property
    def running(self) -> bool:
        """Whether it looks, or was told to stop."""
        return self._running.is_set()

    @property
    def dropped(self) -> int:
        """Frames that no inference was made of, because newer ones came."""
        return self._frames.dropped + self._squares.dropped

    def stop(self) -> None:
        """Look no more, and free the camera."""
        self._running.clear()
        self._note = ""

    def go_on(self) -> None:
        """Look again."""
        self._seen_at = now()
        self._running.set()

    def choose(self, model: int, threads: int) -> None:
        """Go on with another model, or another number of threads. Raises as `Classifier`."""
        self.classifier = self._loaded(model, threads)
        self.figures.clear()

    def _loaded(self, model: int, threads: int) -> Classifier:
        options = self.options
        if not 0 <= model < len(options.models):
            raise RecipeError(f"model: must be 0 to {len(options.models) - 1}, got {model}")
        if not 1 <= threads <= MOST_THREADS:
            raise RecipeError(f"threads: must be 1 to {MOST_THREADS}, got {threads}")
        return Classifier(options.models[model], threads, options.runtime, options.delegate)

    def _capture(self) -> None:
        while not self._closing.is_set():
            self._running.wait()
            try:
                if self._look():
                    break
            except DeviceError as error:
                if not self.first.is_set():  # it was never there
                    raise
                self._note = f"{error}; waiting for it"
                self._closing.wait(RETRY_SECONDS)

    def _look(self) -> bool:
        """Pass on frames until the demo is stopped; whether the source ended by itself."""
        with contextlib.closing(self.source.frames()) as frames:
            for frame in frames:
                if not self._running.is_set() or self._closing.is_set():
                    return False
                self._note, self._seen_at = "", now()
                self._frames.put(frame)
        return True

    def _prepare(self) -> None:
        while True:
            frame, classifier = self._frames.take(), self.classifier
            start = now()
            square = classifier.square(frame.pixels)
            self._squares.put(Prepared(frame, square, classifier, now() - start))

    def _infer(self) -> None:
        while True:
            prepared = self._squares.take()
            start = now()
            prepared.classifier.fill(prepared.square)
            filled = now()
            scores = prepared.classifier.scores()
            at = now()
            preparing = prepared.seconds + filled - start
            self.figures.add(preparing, at - filled, at - prepared.frame.taken)
            self._results.put(Raw(prepared, scores, at - filled, at))

    def _hand_out(self) -> None:
        smoothed, model = Smoothed(), None
        while True:
            prepared, scores, seconds, at = self._results.take()
            if prepared.classifier.model is not model:
                smoothed, model = Smoothed(), prepared.classifier.model
            even = smoothed.add(scores, at)
            delay = at - prepared.frame.taken
            self.latest = Result(prepared.frame, model, scores, even, seconds, delay)
            self._listen(self.latest)
            self.first.set()

    def _guard(self, step: Callable[[], None]) -> None:
        """Run a thread's step to its end; then those after it end too."""
        following: dict[str, Slot[Any]] = {
            "_capture": self._frames,
            "_prepare": self._squares,
            "_infer": self._results,
        }
        try:
            step()
        except Closed:
            pass
        except BaseException as error:  # of any kind: the main thread raises it again
            self.failed = self.failed or error
            self._close_slots()
        finally:
            if step.__name__ in following:
                following[step.__name__].close()
            else:
                self.first.set()
                self.finished.set()

    def _close_slots(self) -> None:
        for slot in (self._frames, self._squares, self._results):
            slot.close()
