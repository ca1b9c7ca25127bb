"""Batches of training images, prepared by threads while the network works on the last one."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import Normalization
from edgecv.data.dataset import Dataset, Image

THREADS = min(4, os.cpu_count() or 1)  # OpenCV lets go of the interpreter lock
AHEAD = 3  # batches being prepared or waiting


def batches(
    dataset: Dataset, resolution: int, batch: int, epoch: int, steps: int | None = None
) -> Iterator[tuple[Image, NDArray[np.int32]]]:
    """Images [batch, resolution, resolution, 3] and labels [batch], in an order set by the seed.

    Every batch is full: an epoch's last one is filled up from its start. `steps` batches are made;
    None for as many as show every image once. Threads end with the iterator.
    """
    steps = -(-dataset.train_size // batch) if steps is None else steps
    stopped = threading.Event()

    def image(index: int) -> tuple[Image, int]:
        if stopped.is_set():
            raise CancelledError
        return dataset.training_image(resolution, epoch, index)

    def prepare(step: int) -> tuple[Image, NDArray[np.int32]]:
        images, labels = zip(*map(image, range(step * batch, (step + 1) * batch)), strict=True)
        return np.stack(images), np.array(labels, np.int32)

    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="batches")
    try:
        waiting = deque(pool.submit(prepare, step) for step in range(min(AHEAD, steps)))
        for step in range(AHEAD, steps + AHEAD):
            ready = waiting.popleft().result()
            if step < steps:
                waiting.append(pool.submit(prepare, step))
            yield ready
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def normalize(images: NDArray[np.uint8], normalization: Normalization) -> NDArray[np.float32]:
    """Pixels as a model takes them: less the mean of each channel, over its deviation."""
    mean, std = (np.array(values, np.float32) for values in normalization)
    scaled: NDArray[np.float32] = (images.astype(np.float32) - mean) / std
    return scaled
