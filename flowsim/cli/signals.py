"""SIGINT and SIGTERM: the first asks to stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME = 1.0
"""Signals so many seconds apart count as one: `timeout` and some shells send each twice."""


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None] | None = None) -> Iterator[None]:
    """Within the block end on a signal, quietly and cleaned up, with exit code 128 + signal."""
    before = {number: signal.signal(number, handler or _end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def ignore() -> None:
    """Let no signal change how a process ends, wherever nothing else is done about them."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Wish:
    """Whether the user wishes to stop, asked by calling it; `code` is the exit code then."""

    def __init__(self) -> None:
        self.code: int | None = None

    def __call__(self) -> bool:
        """Say whether a signal has come."""
        return self.code is not None


@contextmanager
def heeded(give_up: Callable[[], None]) -> Iterator[Wish]:
    """Within the block let a first signal only be noted; it is for the block to heed it.

    A second one, a second later or more, calls `give_up` and ends the process even while
    compiled code holds it.
    """
    import threading

    wish = Wish()

    def note(number: int, _frame: FrameType | None) -> None:
        wish.code = wish.code or 128 + number

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader, give_up), daemon=True)
    watcher.start()
    try:
        with handled(note):
            yield wish
    finally:
        signal.set_wakeup_fd(previous)
        os.close(writer)
        watcher.join(1.0)
        os.close(reader)


def _watch(reader: int, give_up: Callable[[], None]) -> None:
    """Answer signals at once, in a thread of its own; ends when the other end is closed."""
    first: tuple[int, float] | None = None
    while received := os.read(reader, 1):
        number, now = received[0], time.monotonic()
        if number not in _SIGNALS:
            continue
        if first is None:
            first = (number, now)
            os.write(2, b"\nStopping; what was reached is kept. Once more to stop at once.\n")
        elif now - first[1] > _SAME:
            give_up()
            os._exit(128 + first[0])
