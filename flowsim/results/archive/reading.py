"""Reading a run: exactly as it was written, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.problem.arguments import path
from flowsim.process.environment import isolated
from flowsim.results.archive import manifest, netcdf
from flowsim.results.archive.errors import ArchiveError, sentences
from flowsim.results.archive.writing import strict_json
from flowsim.results.run import Run
from flowsim.scenario.toml.writing import dumps
from flowsim.solvers.variables import RENAMED

if TYPE_CHECKING:
    from xarray import Dataset, DataTree


def summaries(
    directory: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the summary of the run in `directory` and those of its variants, all verified.

    Raises
    ------
    ArchiveError
        If there is no complete run, or a file differs from what was written.

    """
    with _verified(directory) as (folder, content):
        inner = content.variant_folders(folder)
        return _summary(folder), {name: _summary(path) for name, path in inner.items()}


@isolated()
def read(directory: str | os.PathLike[str]) -> Run:
    """Return the run in `directory`, with all its files but figures verified.

    Raises
    ------
    ArchiveError
        If there is no complete run, or a file differs from what was written.

    """
    with _verified(directory) as (folder, content):
        return _read(folder, content)


@isolated()
def load(directory: str | os.PathLike[str] | Run) -> DataTree:
    """Return a run, or that in a directory, as an xarray `DataTree` in memory.

    >>> tree = flowsim.load("runs/two-modes-1f2e3d4c")
    >>> tree["layers"]["loss"].isel(time=-1)
    >>> tree["depth-2"]["layers"]["loss"]      # with variants

    The tree has one branch per group; with variants one branch per variant, and groups below it.
    The root has the attributes `summary` (JSON) and `scenario` (TOML). All files but figures are
    verified against the sizes and hashes with which they were written.

    Raises
    ------
    ArchiveError
        If there is no complete run, or a file differs from what was written.

    """
    if isinstance(directory, Run):
        return _tree(directory)
    with _verified(directory) as (folder, content):
        return _load(folder, content)


def is_run(directory: str | os.PathLike[str]) -> bool:
    """Return whether `directory` is marked as a run of flowsim, intact or not."""
    with sentences(f"Cannot read {str(directory)!r}"):
        return manifest.recorded(Path(directory)) is not None


def find(directory: str | os.PathLike[str]) -> manifest.Manifest:
    """Return the manifest of the run in `directory`, whose files are not verified.

    Raises
    ------
    ArchiveError
        If there is no run.

    """
    folder = Path(directory)
    with sentences(f"Cannot read {str(folder)!r}"):
        content = manifest.find(folder)
    if content is not None:
        return content
    if not folder.exists():
        raise ArchiveError(f"There is no run at {str(folder)!r}.")
    raise ArchiveError(
        f"{str(folder)!r} is not a run of flowsim: it has no readable {manifest.NAME}."
    )


def figures(directory: str | os.PathLike[str]) -> list[Path]:
    """Return the figures of the run in `directory`, or [] if one of them was changed."""
    folder = Path(directory)
    content = find(folder)
    with sentences(f"Cannot read {str(folder)!r}"):
        return [folder / name for name in manifest.intact_figures(folder, content)]


@contextmanager
def _verified(directory: str | os.PathLike[str]) -> Iterator[tuple[Path, manifest.Manifest]]:
    """Yield the folder and manifest of an intact run; errors in the block become sentences."""
    folder = Path(path("directory", directory))
    with sentences(f"Cannot read {str(folder)!r}"):
        yield folder, _intact(folder)


def _intact(folder: Path) -> manifest.Manifest:
    """Return the manifest of an intact run, its variants verified with it."""
    content = find(folder)
    if damages := list(manifest.damage(folder, content)):
        raise ArchiveError(
            f"The run in {str(folder)!r} is damaged: {'; '.join(damages)}. "
            f"Simulate again with --force."
        )
    for name, inner in content.variant_folders(folder).items():
        if _intact(inner).digest != content.variants[name]:
            raise ArchiveError(
                f"The run in {str(folder)!r} is damaged: its variant {name!r} belongs to another "
                f"run. Simulate again with --force."
            )
    return content


def _read(folder: Path, content: manifest.Manifest) -> Run:
    from flowsim.scenario.reading import read as read_scenario
    from flowsim.scenario.spec.errors import ScenarioError

    try:
        scenario = read_scenario(folder / "scenario.toml")
    except ScenarioError as error:
        raise ArchiveError(
            f"This version of flowsim cannot read the scenario of {str(folder)!r}: {error}"
        ) from error
    groups = netcdf.read(folder / "run.nc") if "run.nc" in content.files else {}
    inner = content.variant_folders(folder)
    variants = {name: _read(path, find(path)) for name, path in inner.items()}
    return Run(content.name, scenario, groups, _summary(folder), variants, folder)


def _load(folder: Path, content: manifest.Manifest) -> DataTree:
    import xarray

    if "run.nc" in content.files:
        with xarray.open_datatree(folder / "run.nc", engine="h5netcdf") as stored:
            # stored.load() would leave variables on disk whose name is that of a group
            tree = xarray.DataTree.from_dict(
                {node.path: _renamed(node).load() for node in stored.subtree}
            )
    else:
        tree = xarray.DataTree()
    for name, inner in content.variant_folders(folder).items():
        tree = tree.assign({name: _load(inner, find(inner))})
    tree.attrs["summary"] = (folder / "summary.json").read_text("utf-8")
    tree.attrs["scenario"] = (folder / "scenario.toml").read_text("utf-8")
    return tree


def _tree(run: Run) -> DataTree:
    """Return a run in memory as the tree that is loaded from its directory."""
    import xarray

    groups = {
        name: xarray.Dataset(
            {key: (v.dims, v.values, dict(v.attributes)) for key, v in variables.items()}
        )
        for name, variables in run.groups.items()
    }
    inner = {name: _tree(variant) for name, variant in run.variants.items()}
    tree = xarray.DataTree.from_dict(groups).assign(inner)
    if run.groups:
        tree.attrs |= {"title": run.scenario.title, "name": run.name}
    tree.attrs["summary"] = strict_json(run.summary)
    tree.attrs["scenario"] = dumps(run.scenario)
    return tree


def _renamed(node: DataTree) -> Dataset:
    """Return the variables of a group under their present names."""
    held = node.to_dataset(inherit=False)
    former = {name: new for (group, name), new in RENAMED.items() if group == node.name}
    return held.rename({name: new for name, new in former.items() if name in held})


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary
