"""Several devices at once: what one of them cannot do does not stop the others."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from edgecv.device.description import Device
from edgecv.errors import EdgecvError
from edgecv.progress import Progress

T = TypeVar("T")
Entries = list[dict[str, Any]]
Job = Callable[[Device, Progress], Entries]


class Fleet(NamedTuple):
    """The latencies in the order of the devices, and the reasons of failed ones, by name."""

    latency: Entries
    failed: dict[str, str]


class DeviceProgress(Progress):
    """Says which device it speaks of; bars of several would overwrite each other."""

    def __init__(self, device: str, listener: Progress) -> None:
        self._device = device
        self._listener = listener

    def line(self, text: str) -> None:
        """Show a line, with the device's name."""
        self._listener.line(self._named(text))

    def warn(self, text: str) -> None:
        """Show a warning, with the device's name."""
        self._listener.warn(self._named(text))

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Hand items on, and say what for."""
        self.line(label)
        return super().track(items, label, total)

    def _named(self, text: str) -> str:
        return text if text.startswith(self._device) else f"{self._device}: {text}"


def measure_all(devices: Sequence[Device], job: Job, progress: Progress) -> Fleet:
    """Run `job` for all devices at once; their results.

    Raises nothing that a board did wrong, but what went wrong with edgecv itself.
    """
    answers: queue.Queue[tuple[Device, Entries | Exception]] = queue.Queue()

    def work(device: Device) -> None:
        listener = DeviceProgress(device.name, progress)
        try:
            answers.put((device, job(device, listener)))
            listener.line("done")
        except Exception as error:  # raised below, in the thread that waits
            listener.line("failed")
            answers.put((device, error))

    for device in devices:  # daemons: they, and with them the agents, end when the user has enough
        threading.Thread(target=work, args=(device,), daemon=True).start()
    outcomes = dict(_outcome(*answers.get()) for _ in devices)
    latency = [entry for device in devices for entry in outcomes[device.name][0]]
    failed = {device.name: words for device in devices if (words := outcomes[device.name][1])}
    return Fleet(latency, failed)


def _outcome(device: Device, answer: Entries | Exception) -> tuple[str, tuple[Entries, str]]:
    """A device's name, its entries, and what failed; raises what no user can mend."""
    if isinstance(answer, EdgecvError):
        return device.name, ([], str(answer).removeprefix(f"{device.name}: "))
    if isinstance(answer, Exception):
        raise answer
    return device.name, (answer, "")
