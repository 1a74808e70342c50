"""Arrays in data files: `.npy`, `.npz` with a key, `.csv`. Nothing in them is ever unpickled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from flowsim.scenario.spec.errors import ScenarioError, alternatives, printable

if TYPE_CHECKING:
    import numpy as np

    from flowsim.scenario.spec.forms import FileRef

READ_AT_ONCE = 64 * 2**20
"""Arrays up to this many bytes are read when a scenario is checked; of larger ones the header."""

MOST_DISTINCT = 10_000


class UnusableFileError(ValueError):
    """A data file cannot be used; the message is a sentence without the file's name."""


@dataclass(frozen=True)
class Facts:
    """What a check needs of an array: its shape and, where it was read, its distinct values."""

    shape: tuple[int, ...]
    distinct: tuple[float, ...] | None


def load_array(ref: FileRef) -> np.ndarray:
    """Return the array that `ref` names as float64, shape as stored.

    Raises
    ------
    ScenarioError
        If the file is missing, of another kind, damaged, needs unpickling, or holds what is no
        finite real number.

    """
    try:
        return _array(ref.file, ref.key)
    except UnusableFileError as error:
        raise ScenarioError(f"{printable(str(ref.file), 300)}: {error}") from None


def load_layers(ref: FileRef, depth: int) -> tuple[np.ndarray, ...]:
    """Return W_1 … W_N of a `.npz` file as float64; raises as `load_array` does."""
    return tuple(load_array(ref.model_copy(update={"key": f"W_{j}"})) for j in range(1, depth + 1))


def inspect_array(ref: FileRef, key: str | None = None) -> Facts:
    """Return the shape, and for small arrays the distinct values, of what `ref` names.

    Raises
    ------
    UnusableFileError
        With what is wrong with the file.

    """
    with _foreign():
        about = _regular(ref.file).stat()
    return _facts(ref.file, key or ref.key, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=256)
def _facts(file: Path, key: str | None, _changed: int, size: int) -> Facts:
    if file.suffix.lower() == ".csv":
        if size > READ_AT_ONCE:
            return Facts(_csv_shape(file), None)
    else:
        shape, stored = _header(file, key)
        if stored > READ_AT_ONCE:
            return Facts(shape, None)
    import numpy as np

    array = _array(file, key)
    distinct = np.unique(array)[:MOST_DISTINCT]
    return Facts(array.shape, tuple(distinct.tolist()))


@contextmanager
def _foreign() -> Iterator[None]:
    """Convert whatever the reader of a damaged file raises into `UnusableFileError`."""
    try:
        yield
    except UnusableFileError:
        raise
    except OSError as error:
        raise UnusableFileError(f"cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise UnusableFileError("is larger than this machine's memory") from None
    except Exception as error:  # readers of foreign formats raise anything
        reason = re.sub(r" at 0x[0-9a-f]+", "", str(error))
        raise UnusableFileError(f"cannot be read: {printable(reason, 200)}") from None


def _regular(file: Path) -> Path:
    if not file.exists():
        raise UnusableFileError("there is no such file")
    if not file.is_file():
        raise UnusableFileError("is not a regular file")
    if file.suffix.lower() not in (".npy", ".npz", ".csv"):
        raise UnusableFileError("is of no known kind; write a .npy, .npz or .csv file")
    return file


def _array(file: Path, key: str | None) -> np.ndarray:
    import warnings

    import numpy as np

    with _foreign():
        if _regular(file).suffix.lower() == ".csv":
            _no_key(key)
            with warnings.catch_warnings(action="ignore"):  # of empty files, rejected below
                array = np.loadtxt(file, delimiter=",", ndmin=2, comments=None, encoding="utf-8")
        else:
            _header(file, key)
            array = np.load(file, allow_pickle=False)
            if key is not None:
                array = array[key]
        array = np.asarray(array, np.float64)
        if not np.isfinite(array).all():
            place = tuple(int(i) + 1 for i in np.argwhere(~np.isfinite(array))[0])
            raise UnusableFileError(f"holds nan or inf, first at entry {place}, counted from 1")
        if array.size == 0:
            raise UnusableFileError("holds an empty array")
    return array


def _no_key(key: str | None) -> None:
    if key is not None:
        raise UnusableFileError("takes no key, which only .npz files have; remove key")


def _header(file: Path, key: str | None) -> tuple[tuple[int, ...], int]:
    """Return the shape and the bytes of a stored array, from its header alone."""
    with _foreign():
        if file.suffix.lower() == ".npy":
            _no_key(key)
            with file.open("rb") as stream:
                return _npy_header(stream, file.stat().st_size)
        import zipfile

        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()[:50]]
            if key is None or f"{key}.npy" not in archive.namelist():
                holds = alternatives(map(printable, names)) if names else "nothing"
                asked = "needs a key" if key is None else f"holds no array {printable(key)}"
                raise UnusableFileError(f"{asked}; it holds {holds}, of which write one as key")
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as stream:
                return _npy_header(stream, member.file_size)


def _npy_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], int]:
    """Read the header of a `.npy` stream of `size` bytes, and check it against that size."""
    from math import prod

    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(stream)
    if version not in readers:
        raise UnusableFileError(f"is of .npy version {version}; save it with numpy.save")
    shape, _, dtype = readers[version](stream)
    # object arrays are pickles, and unpickling executes code
    if dtype.hasobject:
        raise UnusableFileError("holds Python objects, which are never unpickled; save numbers")
    if dtype.kind not in "fiu":
        raise UnusableFileError(f"holds {dtype} values; save real numbers")
    stored = prod(shape) * dtype.itemsize
    if min(shape, default=1) < 1:
        raise UnusableFileError(f"holds an array of shape {shape}, which is empty")
    # a forged header must not make NumPy allocate more than the file holds
    whole = stream.tell() + stored
    if whole > size:
        raise UnusableFileError(f"is cut short: its header says {whole} bytes, it has {size}")
    # in memory every number is a float64
    return shape, prod(shape) * 8


def _csv_shape(file: Path) -> tuple[int, int]:
    """Return rows and columns of a large `.csv` file, from its line ends and its first row."""
    rows, columns = 0, 0
    with _foreign(), file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                rows += 1
                columns = columns or line.count(",") + 1
    return rows, columns
