"""Groups of variables in one netCDF-4 file, in the layout of xarray's DataTree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import FileIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.results.run import Group, Variable
from flowsim.solvers.storage import Series
from flowsim.solvers.variables import RENAMED

if TYPE_CHECKING:
    import numpy as np


def write(path: Path, groups: Mapping[str, Group], attributes: Mapping[str, str]) -> None:
    """Write `groups` to a new file at `path`; numbers keep their type, strings become UTF-8.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the disk is full.

    """
    import h5netcdf

    with _Sink(path, "x+b") as sink:
        with h5netcdf.File(sink, "w") as file:
            file.attrs.update(attributes)
            for name, variables in groups.items():
                _write_group(file.create_group(name), variables)
        if sink.error is not None:
            raise sink.error


def read(path: Path) -> dict[str, dict[str, Variable]]:
    """Return the groups of the file at `path`, with variables under their present names."""
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        return {
            group: {
                RENAMED.get((group, name), name): _read_variable(stored)
                for name, stored in content.variables.items()
            }
            for group, content in file.groups.items()
        }


def _write_group(group: Any, variables: Group) -> None:
    for variable in variables.values():
        for dimension, size in zip(variable.dims, variable.shape, strict=True):
            if dimension not in group.dimensions:
                group.dimensions[dimension] = size
    for name, variable in variables.items():
        if isinstance(variable.held, Series):
            stored = group.create_variable(name, variable.dims, variable.held.dtype)
            _write_by_pieces(stored, variable.held)
        else:
            values, dtype = _stored(variable.held)
            stored = group.create_variable(name, variable.dims, dtype, data=values)
        stored.attrs.update(variable.attributes)


def _write_by_pieces(stored: Any, series: Series) -> None:
    """Write a series piece by piece, with at most one piece in memory."""
    *above, length = series.rows.shape
    size = series.rows_at_once
    for at in product(*(range(n) for n in above)):
        for first in range(0, length, size):
            rows = slice(first, min(first + size, length))
            stored[(*at, rows)] = series[(*at, rows)]


def _stored(values: np.ndarray) -> tuple[np.ndarray, Any]:
    if values.dtype.kind in "UO":
        import h5py

        return values.astype(object), h5py.string_dtype()
    if values.dtype.kind == "b":
        # netCDF has no booleans
        return values.astype("int8"), "int8"
    return values, values.dtype


def _read_variable(stored: Any) -> Variable:
    import numpy as np

    values = stored[...]
    if values.dtype.kind == "O":
        words = [word.decode() if isinstance(word, bytes) else word for word in values.ravel()]
        values = np.array(words, dtype=str).reshape(values.shape)
    attributes = {
        name: value if isinstance(value, str) else _plain(value)
        for name, value in stored.attrs.items()
    }
    return Variable(tuple(stored.dimensions), values, attributes)


def _plain(value: Any) -> Any:
    """Return an attribute without NumPy: a number, or a tuple of numbers."""
    import numpy as np

    return tuple(value.tolist()) if np.ndim(value) else value.item()


class _Sink(FileIO):
    """A new file for HDF5 that stores the first error and ignores all further writes.

    If HDF5 itself sees a write error, as on a full disk, the interpreter crashes when it exits. So
    every write reports success, and the caller raises `error` afterwards.
    """

    error: OSError | None = None

    def _attempt(self, act: Callable[[Any], object], argument: object) -> None:
        # after the first error the file is lost: further writes are skipped
        if self.error is None:
            try:
                act(argument)
            except OSError as error:
                self.error = error

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            # an unbuffered write may take only part of the data
            rest = rest[super().write(rest) :]

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._attempt(self._write_all, data)
        return len(data)

    def truncate(self, size: int) -> int:  # type: ignore[override]
        self._attempt(super().truncate, size)
        return size
