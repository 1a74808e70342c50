"""Trajectories as tables: data sets of xarray with dimensions, frames of pandas with columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from flowsim.problem import spectra
from flowsim.process.environment import isolated
from flowsim.solvers.variables import VariableSpec, stored_dims

if TYPE_CHECKING:
    from pandas import DataFrame, Index
    from xarray import DataArray, Dataset

SAVED = {"saved_time": "time", "saved_sample": "sample"}
"""Dimensions of the times, or samples, at which W is kept, and of all of them."""


def recorded(trajectory: Any, layers: Sequence[Any] | None) -> dict[str, Any]:
    """Return what flows and descent both record, None where a problem or a space has it not."""
    sigma, distance = trajectory.singular_values, trajectory.distance_to_target
    loss = trajectory.problem.loss
    return {
        "loss": trajectory.loss,
        "singular_values": sigma,
        "effective_rank": spectra.effective_rank(sigma),
        "nuclear_norm": spectra.nuclear_norm(sigma),
        "det_sign": trajectory.det_sign,
        "distance_to_target": None if loss.target is None else distance,
        "reconstruction_error": loss.reconstruction_error(distance),
        "unobserved_error": trajectory.unobserved_error,
        "imbalance": trajectory.imbalance,
        "squared_norm": trajectory.squared_norm,
        "end_to_end": trajectory.end_to_end_series,
        **{f"layer_{j}": history for j, history in enumerate(layers or (), start=1)},
    }


class Tabular:
    """Results that are declared arrays; `rows` are the dimensions over which a table has rows."""

    rows: ClassVar[tuple[str, ...]]

    @property
    def declared(self) -> tuple[VariableSpec, ...]:
        """The declarations of all variables."""
        raise NotImplementedError

    def arrays(self) -> Mapping[str, Any]:
        """Return the arrays by the names of their variables; None where there is none."""
        raise NotImplementedError

    def labels(self) -> Index:
        """Return the labels of the rows of a table."""
        raise NotImplementedError

    def _variables(self) -> Iterator[tuple[VariableSpec, np.ndarray]]:
        arrays = self.arrays()
        all_saved = not any(arrays.get(name) is not None for name in SAVED)
        for spec in self.declared:
            if arrays.get(spec.name) is not None:
                dims = spec.dims
                if spec.name == "end_to_end":
                    dims = stored_dims(dims, all_saved=all_saved)
                yield replace(spec, dims=dims), np.asarray(arrays[spec.name])

    @isolated()
    def to_xarray(self) -> Dataset:
        """Return all variables as an xarray `Dataset`, with dimensions and meanings.

        >>> flowsim.solve(problem).to_xarray()["loss"].sel(time=1.0, method="nearest")
        """
        import xarray

        return xarray.Dataset(
            {spec.name: (spec.dims, values, spec.attributes) for spec, values in self._variables()}
        )

    @isolated()
    def to_frame(self, *names: str) -> DataFrame:
        """Return variables as columns of a pandas `DataFrame`; by default those of single numbers.

        A row is a saved time, or an iterate of a step size. Entries of vectors and matrices have
        columns of their own, such as `singular_values[0]` and `end_to_end[0,1]`. W is nan where it
        was not kept.

        >>> flowsim.solve(problem).to_frame("loss", "singular_values")

        Raises
        ------
        ValueError
            If there is no such variable, with the names of those that there are.

        """
        import pandas

        data = self.to_xarray()
        over_rows = {str(name): self._over_rows(data[name], data) for name in data.data_vars}
        able = {name: array for name, array in over_rows.items() if array is not None}
        for name in names:
            if name not in able:
                raise ValueError(f"There is no variable {name!r}; there are {', '.join(able)}.")
        scalars = [name for name, array in able.items() if array.dims == self.rows]
        columns: dict[str, np.ndarray] = {}
        for name in names or scalars:
            columns |= self._columns(name, able[name].values)
        return pandas.DataFrame(columns, index=self.labels())

    def _over_rows(self, array: DataArray, data: Dataset) -> DataArray | None:
        """Return a variable with all rows, nan where it was not kept; None if it has no rows."""
        for saved, full in SAVED.items():
            if saved in array.dims and saved != array.name:
                rows = data[full].values if full in data.coords else np.arange(data.sizes[full])
                array = array.reindex({saved: rows}).rename({saved: full})
        return array if array.dims[: len(self.rows)] == self.rows else None

    def _columns(self, name: str, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return a column per entry, each with all rows."""
        entries = values.shape[len(self.rows) :]
        flat = values.reshape(-1, int(np.prod(entries)))
        if not entries:
            return {name: flat[:, 0]}
        places = product(*map(range, entries))
        return {f"{name}[{','.join(map(str, at))}]": flat[:, k] for k, at in enumerate(places)}
