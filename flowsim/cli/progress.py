"""Progress of a simulation: a bar on a terminal, a few plain lines in a log."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flowsim.cli.terminal import print_message, printable

if TYPE_CHECKING:
    from tqdm import tqdm

Report = Callable[[str, float], None]
"""Called with the name of a task and the fraction of it that is done."""

_FORMAT = "{desc} {percentage:3.0f} % |{bar}| {elapsed}, {remaining} left"


@contextmanager
def displayed() -> Iterator[Report]:
    """Show the progress reported within the block, on standard error."""
    if not sys.stderr.isatty():
        yield Lines(print_message)
        return
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()


class Lines:
    """One line at the start of each task and every ten seconds after, at most one per second.

    Parameters
    ----------
    write
        Called with a line.
    clock
        Returns a time in seconds.

    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._last: tuple[str, float] | None = None

    def __call__(self, label: str, fraction: float) -> None:
        """Report that this fraction of the task `label` is done."""
        now = self._clock()
        if self._last is not None:
            pause = 1.0 if label != self._last[0] else 10.0
            if now - self._last[1] < pause:
                return
        self._last = (label, now)
        self._write(f"{label}: {fraction:.0%}")


TICK_SECONDS = 0.5
"""Time between two updates of a bar's clock, while nothing is reported."""


class _Bars:
    """One bar at a time, that of the task reported last; its clock runs while a task is silent."""

    def __init__(self) -> None:
        self._bar: tuple[str, tqdm[Any]] | None = None
        # compilers and solvers of linear systems return to Python after minutes only
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._clock.start()

    def __call__(self, label: str, fraction: float) -> None:
        with self._lock:
            bar = self._at(label)
            bar.update(max(0.0, min(fraction, 1.0) - bar.n))

    def _tick(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            with self._lock:
                if self._bar is not None:
                    self._bar[1].refresh()

    def _at(self, label: str) -> tqdm[Any]:
        from tqdm import tqdm

        if self._bar is None or self._bar[0] != label:
            self._remove()
            size = shutil.get_terminal_size()
            bar: tqdm[Any] = tqdm(
                total=1.0,
                desc=printable(label),
                disable=None,
                leave=False,
                ncols=size.columns,
                nrows=size.lines,  # tqdm would show no bar where a terminal reports a height of 0
                bar_format=_FORMAT,
            )
            self._bar = (label, bar)
        return self._bar[1]

    def close(self) -> None:
        """Remove the bar, and stop its clock."""
        self._closed.set()
        self._clock.join()
        self._remove()

    def _remove(self) -> None:
        if self._bar is not None:
            self._bar[1].close()
            self._bar = None
