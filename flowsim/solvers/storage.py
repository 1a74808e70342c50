"""Arrays over time that may be larger than memory: written in order, read by pieces."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from flowsim.solvers import scratch

IN_MEMORY = 1 << 25
"""A store of more bytes lies in a file."""

PIECE_BYTES = 1 << 22
"""What a series is read by: at least one row, and no more bytes than this."""


def rows_at_once(row_bytes: int) -> int:
    """Return how many rows of so many bytes are in memory together."""
    return max(1, PIECE_BYTES // max(1, row_bytes))


Rows: TypeAlias = np.ndarray
"""Row numbers of a store; -1 reads as nan."""


class Store:
    """At most `capacity` arrays of one shape, its rows, appended in order.

    They lie in memory where they are few, else in a temporary file (`flowsim.solvers.scratch`), and
    what is read of that is not kept in memory.

    Raises
    ------
    ScratchError
        If there can be no such file, or not of that size.

    """

    def __init__(self, capacity: int, shape: Sequence[int]) -> None:
        """Make an empty store."""
        self.shape, self.count = tuple(shape), 0
        self.row_bytes = 8 * int(np.prod(self.shape, dtype=np.int64))
        self._memory: np.ndarray | None = None
        if capacity * self.row_bytes <= IN_MEMORY:
            self._memory = np.empty((capacity, *self.shape))
            return
        self._file = scratch.new_file()
        weakref.finalize(self, self._file.close)

    def append(self, rows: np.ndarray) -> None:
        """Add rows, which lie along the leading axis."""
        if self._memory is not None:
            self._memory[self.count : self.count + len(rows)] = rows
        elif len(rows):
            data = np.ascontiguousarray(rows, dtype=float).data.cast("B")
            scratch.write(self._file, data, self.count * self.row_bytes)
        self.count += len(rows)

    def read(self, rows: Rows) -> np.ndarray:
        """Return the array of shape (*rows.shape, *shape); a view where memory holds it so."""
        first = int(rows.flat[0]) if rows.size else 0
        consecutive = rows.ndim == 1 and first >= 0 and (np.diff(rows) == 1).all()
        if self._memory is not None and consecutive:
            return self._memory[first : first + rows.size]
        out = np.full((rows.size, *self.shape), np.nan)
        known = np.flatnonzero(rows.ravel() >= 0)
        if self._memory is not None:
            out[known] = self._memory[rows.ravel()[known]]
        else:
            self._read_file(rows.ravel(), known, out)
        return out.reshape(*rows.shape, *self.shape)

    def entries(self, rows: Rows, part: slice) -> np.ndarray:
        """Return part of the entries, numbered in C order, of each of these rows."""
        if self._memory is not None:
            return np.asarray(self._memory.reshape(len(self._memory), -1)[rows, part])
        out = np.empty((rows.size, part.stop - part.start))
        for row, into in zip(rows.tolist(), out, strict=True):
            scratch.read(self._file, into.data.cast("B"), row * self.row_bytes + 8 * part.start)
        return out

    def _read_file(self, rows: Rows, known: np.ndarray, out: np.ndarray) -> None:
        """Read the rows at the places `known` into `out`, neighbours in the file at once."""
        breaks = np.flatnonzero((np.diff(known) != 1) | (np.diff(rows[known]) != 1)) + 1
        for run in np.split(known, breaks):
            if run.size:
                into = out[run[0] : run[-1] + 1].data.cast("B")
                scratch.read(self._file, into, int(rows[run[0]]) * self.row_bytes)


@dataclass(frozen=True, eq=False)
class Series:
    """Some rows of a store, in the order wanted: to be read whole by NumPy, or by pieces."""

    store: Store
    rows: Rows

    @classmethod
    def of(cls, array: np.ndarray) -> Series:
        """Return an array as a series along its leading axis."""
        store = Store(len(array), array.shape[1:])
        store.append(array)
        return cls(store, np.arange(len(array)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape as an array."""
        return (*self.rows.shape, *self.store.shape)

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return float64."""
        return np.dtype(float)

    def __len__(self) -> int:
        """Return the length of the leading axis."""
        return len(self.rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return what an array would for a key of the axes that are not the rows' own."""
        return self.store.read(np.asarray(self.rows[key]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the whole as an array."""
        return np.array(self.whole(), dtype, copy=copy)

    def whole(self) -> np.ndarray:
        """Return the whole as an array; a view where memory holds it so."""
        return self.store.read(self.rows)

    def take(self, key: Any) -> Series:
        """Return the series of the rows at `key`, which reads nothing."""
        return Series(self.store, np.asarray(self.rows[key]))

    def entries(self, part: slice) -> np.ndarray:
        """Return part of the entries, numbered in C order, of every row."""
        return self.store.entries(self.rows, part)

    @property
    def rows_at_once(self) -> int:
        """Return how many rows are read together."""
        return rows_at_once(self.store.row_bytes)

    def pieces(self, size: int) -> Iterator[np.ndarray]:
        """Yield the rows in order, rows of several axes one after the other, `size` at a time."""
        rows = self.rows.ravel()
        for first in range(0, rows.size, size):
            yield self.store.read(rows[first : first + size])


def by_pieces(function: Callable[..., np.ndarray], *series: Series) -> np.ndarray:
    """Return `function`, of arrays along a leading axis, of the rows of equally long series.

    The result has the axes of the rows, then what the function leaves of a row.
    """
    size, axes = min(one.rows_at_once for one in series), series[0].rows.shape
    pieces = zip(*(one.pieces(size) for one in series), strict=True)
    found = [np.asarray(function(*piece)) for piece in pieces]
    if not found:
        return np.zeros(axes)
    return np.asarray(np.concatenate(found).reshape(*axes, *found[0].shape[1:]))


@dataclass(frozen=True, eq=False)
class ByTime(Mapping[float, np.ndarray]):
    """The rows of a store by their time, each read when it is asked for."""

    store: Store
    row_of: Mapping[float, int]

    def __getitem__(self, time: float) -> np.ndarray:
        return self.store.read(np.asarray(self.row_of[time]))

    def __iter__(self) -> Iterator[float]:
        return iter(self.row_of)

    def __len__(self) -> int:
        return len(self.row_of)
