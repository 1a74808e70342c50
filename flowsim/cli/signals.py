"""SIGINT and SIGTERM: the first requests a stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_SECONDS = 1.0
"""Signals within this time count as one: `timeout` and some shells send each twice."""


_AGAIN_SECONDS = 0.2
"""Time after which a signal whose exit was lost is sent again, when its hook has surely ended."""


_KEEPING = b"Stopping and keeping the results so far."
_NOTHING_YET = b"Stopping before the first step: nothing has been reached yet."


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None] | None = None) -> Iterator[None]:
    """Within the block, a signal exits quietly with code 128 + signal, after clean-up."""
    before = {number: signal.signal(number, handler or _exit) for number in _SIGNALS}
    hook, sys.unraisablehook = sys.unraisablehook, _send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, previous in before.items():
            signal.signal(number, previous)


def ignore() -> None:
    """Ignore signals outside the blocks that handle them."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Repeat a signal whose exit was raised where Python ignores exceptions, as in a callback."""
    if isinstance(lost.exc_value, SystemExit) and isinstance(lost.exc_value.code, int):
        import threading

        # at once, its exit would be lost in this function too
        number = lost.exc_value.code - 128
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(lost)


@contextmanager
def postponed() -> Iterator[None]:
    """Within the block, a signal is only noted; the process exits at the end of the block.

    An exit raised in the middle of an import can reach code in C++ that ends the process with it.
    """
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
    if received:
        raise SystemExit(128 + received[0])


class StopRequest:
    """Whether a signal has requested a stop; `code` is the exit code then, else None.

    `progressed` is whether there are any results yet that a stop would keep.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self.progressed = False

    def __call__(self) -> bool:
        """Return whether a signal has arrived."""
        return self.code is not None


@contextmanager
def deferred(give_up: Callable[[], None]) -> Iterator[StopRequest]:
    """Within the block, a first signal only sets the stop request, which the block must check.

    A second signal, at least a second later, calls `give_up` and ends the process, even while
    compiled code is running.
    """
    import threading

    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        request.code = request.code or 128 + number

    # Python runs `note` only between two of its own instructions, and a compiled program can take
    # minutes. The wake-up descriptor is written by the C signal handler itself, at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader, give_up, request), daemon=True)
    watcher.start()
    try:
        with handled(note):
            yield request
    finally:
        signal.set_wakeup_fd(previous)
        os.close(writer)
        watcher.join(1.0)
        os.close(reader)


def _watch(reader: int, give_up: Callable[[], None], request: StopRequest) -> None:
    """Respond to signals at once, in a separate thread, until the other end is closed."""
    first: tuple[int, float] | None = None
    while received := os.read(reader, 1):
        number, now = received[0], time.monotonic()
        if number not in _SIGNALS:
            continue
        if first is None:
            first = (number, now)
            kept = _KEEPING if request.progressed else _NOTHING_YET
            os.write(2, b"\n%s Repeat to stop at once and keep nothing.\n" % kept)
        elif now - first[1] > _SAME_SECONDS:
            give_up()
            os.write(2, b"\nStopped at once: nothing is kept.\n")
            os._exit(128 + first[0])
