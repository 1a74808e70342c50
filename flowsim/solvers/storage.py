"""Arrays over time that may be larger than memory: written in order, read in batches.

Large arrays are in temporary files, read and written by `pread` and `pwrite`. Memory maps were
tried: a full disk then ends the process by SIGBUS without a message, every page written counts
as resident memory, and a map per batch is 15 times slower.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields, replace
from io import FileIO
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

IN_MEMORY = 1 << 25
"""Bytes of the largest store in memory; larger ones are in a file."""

BATCH_BYTES = 1 << 22
"""Bytes of a series read at once, unless one row is larger: fits caches, few system calls."""


def rows_at_once(row_bytes: int) -> int:
    """Return the number of rows of `row_bytes` each that are in memory together."""
    return max(1, BATCH_BYTES // max(1, row_bytes))


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view of an array that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


@runtime_checkable
class _Dataclass(Protocol):
    """Any dataclass; also where types are checked as the tests run."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Result = TypeVar("Result", bound=_Dataclass)


def with_read_only_arrays(result: Result) -> Result:
    """Return a dataclass with read-only views in place of its arrays."""
    held = {field.name: getattr(result, field.name) for field in fields(result)}
    arrays = {name: read_only(x) for name, x in held.items() if isinstance(x, np.ndarray)}
    return replace(result, **arrays)


Rows: TypeAlias = np.ndarray
"""Row numbers of a store; -1 reads as nan."""


class StorageError(OSError):
    """A temporary file cannot be written; the text is a sentence for the user."""


def temporary_folder() -> str:
    """Return the folder of temporary files: TMPDIR or /var/tmp, since /tmp is often in memory."""
    chosen = os.environ.get("TMPDIR") or "/var/tmp"
    return chosen if os.access(chosen, os.W_OK | os.X_OK) else tempfile.gettempdir()


def free_bytes() -> int | None:
    """Return the number of free bytes in the temporary folder, or None if it is unknown."""
    try:
        return shutil.disk_usage(temporary_folder()).free
    except OSError:
        return None


class Store:
    """At most `capacity` arrays of one shape, the rows, appended in order.

    Small stores are in memory, others in a temporary file without a name, which disappears with the
    process however it ends. Rows read from the file are not kept in memory.

    Raises
    ------
    StorageError
        If the file cannot be created or written, because the disk is full for example.

    """

    def __init__(self, capacity: int, shape: Sequence[int]) -> None:
        self.shape, self.count = tuple(shape), 0
        self.row_bytes = 8 * int(np.prod(self.shape, dtype=np.int64))
        self._memory: np.ndarray | None = None
        if capacity * self.row_bytes <= IN_MEMORY:
            self._memory = np.empty((capacity, *self.shape))
            return
        try:
            self._file = tempfile.TemporaryFile(dir=temporary_folder(), buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _as_storage_error(error) from error
        weakref.finalize(self, self._file.close)

    def append(self, rows: np.ndarray) -> None:
        """Append rows along the leading axis."""
        if self._memory is not None:
            self._memory[self.count : self.count + len(rows)] = rows
        elif len(rows):
            data = np.ascontiguousarray(rows, dtype=float).data.cast("B")
            _write(self._file, data, self.count * self.row_bytes)
        self.count += len(rows)

    def read(self, rows: Rows) -> np.ndarray:
        """Return a read-only array of shape (*rows.shape, *shape).

        It is a view of the store if the rows are in memory and consecutive.
        """
        first = int(rows.flat[0]) if rows.size else 0
        consecutive = rows.ndim == 1 and first >= 0 and (np.diff(rows) == 1).all()
        if self._memory is not None and consecutive:
            return read_only(self._memory[first : first + rows.size])
        out = np.full((rows.size, *self.shape), np.nan)
        known = np.flatnonzero(rows.ravel() >= 0)
        if self._memory is not None:
            out[known] = self._memory[rows.ravel()[known]]
        else:
            self._read_file(rows.ravel(), known, out)
        return read_only(out.reshape(*rows.shape, *self.shape))

    def entries(self, rows: Rows, part: slice) -> np.ndarray:
        """Return part of the entries, numbered in C order, of each of these rows."""
        if self._memory is not None:
            return np.asarray(self._memory.reshape(len(self._memory), -1)[rows, part])
        out = np.empty((rows.size, part.stop - part.start))
        for row, into in zip(rows.tolist(), out, strict=True):
            _read(self._file, into.data.cast("B"), row * self.row_bytes + 8 * part.start)
        return out

    def _read_file(self, rows: Rows, known: np.ndarray, out: np.ndarray) -> None:
        """Read the rows at the places `known` into `out`, neighbours in one system call."""
        breaks = np.flatnonzero((np.diff(known) != 1) | (np.diff(rows[known]) != 1)) + 1
        for run in np.split(known, breaks):
            if run.size:
                into = out[run[0] : run[-1] + 1].data.cast("B")
                _read(self._file, into, int(rows[run[0]]) * self.row_bytes)


@dataclass(frozen=True, eq=False)
class Series:
    """Rows of a store in any order, which NumPy reads as one array, or a batch at a time."""

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
        """Return the rows at a key, as an array indexed along the axes of `rows` would."""
        return self.store.read(np.asarray(self.rows[key]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all rows as one array."""
        return np.array(self.whole(), dtype, copy=copy)

    def whole(self) -> np.ndarray:
        """Return all rows as one array; a view if they are consecutive and in memory."""
        return self.store.read(self.rows)

    def take(self, key: Any) -> Series:
        """Return the series of the rows at `key`, without reading them."""
        return Series(self.store, np.asarray(self.rows[key]))

    def entries(self, part: slice) -> np.ndarray:
        """Return part of the entries, numbered in C order, of every row."""
        return self.store.entries(self.rows, part)

    @property
    def rows_at_once(self) -> int:
        """The number of rows that are read at once."""
        return rows_at_once(self.store.row_bytes)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield the rows in C order of their axes, `size` at a time."""
        rows = self.rows.ravel()
        for first in range(0, rows.size, size):
            yield self.store.read(rows[first : first + size])


def in_batches(function: Callable[..., Any], *series: Series) -> np.ndarray:
    """Return a function of the rows of equally long series, evaluated batch by batch.

    The function maps arrays with one leading axis of rows. The result has the axes of the rows in
    place of it.
    """
    size, axes = min(one.rows_at_once for one in series), series[0].rows.shape
    batches = zip(*(one.batches(size) for one in series), strict=True)
    results = [np.asarray(function(*batch)) for batch in batches]
    if not results:
        return np.zeros(axes)
    return np.asarray(np.concatenate(results).reshape(*axes, *results[0].shape[1:]))


@dataclass(frozen=True, eq=False)
class ByTime(Mapping[float, np.ndarray]):
    """The rows of a store by their time, each read on access."""

    store: Store
    row_of: Mapping[float, int]

    def __getitem__(self, time: float) -> np.ndarray:
        return self.store.read(np.asarray(self.row_of[time]))

    def __iter__(self) -> Iterator[float]:
        return iter(self.row_of)

    def __len__(self) -> int:
        return len(self.row_of)


def _write(file: FileIO, data: memoryview, offset: int) -> None:
    # one call may write fewer bytes than given, such as 2 GiB at most on Linux
    while data:
        try:
            written = os.pwrite(file.fileno(), data, offset)
        except OSError as error:
            raise _as_storage_error(error) from error
        data, offset = data[written:], offset + written


def _read(file: FileIO, into: memoryview, offset: int) -> None:
    while into:
        count = os.preadv(file.fileno(), [into], offset)
        if count == 0:
            raise StorageError(
                f"A temporary file in {temporary_folder()!r} ends before byte {offset}."
            )
        into, offset = into[count:], offset + count


def _as_storage_error(error: OSError) -> StorageError:
    return StorageError(
        f"Cannot write a temporary file in {temporary_folder()!r}: {error.strerror or error}. "
        f"No result is kept; free some space, or let the environment variable TMPDIR name another "
        f"folder."
    )
