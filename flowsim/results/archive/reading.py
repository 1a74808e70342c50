"""Reading a run: exactly as it was written, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.results.archive import manifest, netcdf
from flowsim.results.archive.errors import ArchiveError, sentences
from flowsim.results.renamed import RENAMED
from flowsim.results.run import Run

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
    folder = Path(directory)
    found = _verified(folder)
    inner = {name: folder / manifest.VARIANTS / name for name in found.variants}
    return _summary(folder), {name: _summary(path) for name, path in inner.items()}


def read(directory: str | os.PathLike[str]) -> Run:
    """Return the run in `directory`, with all its files but figures verified.

    Raises
    ------
    ArchiveError
        If there is no complete run, or a file differs from what was written.

    """
    folder = Path(directory)
    found = _verified(folder)
    with sentences(f"Cannot read {str(folder)!r}"):
        return _read(folder, found)


def load(directory: str | os.PathLike[str]) -> DataTree:
    """Return the run in `directory` as an xarray `DataTree` in memory.

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
    folder = Path(directory)
    found = _verified(folder)
    with sentences(f"Cannot read {str(folder)!r}"):
        return _load(folder, found)


def is_run(directory: str | os.PathLike[str]) -> bool:
    """Return whether `directory` is marked as a run of flowsim, intact or not."""
    with sentences(f"Cannot read {str(directory)!r}"):
        return manifest.recorded(Path(directory)) is not None


def digest(directory: str | os.PathLike[str]) -> str:
    """Return the digest of the scenario of the run in `directory`."""
    return _found(Path(directory)).digest


def name(directory: str | os.PathLike[str]) -> str:
    """Return the name of the scenario of the run in `directory`."""
    return _found(Path(directory)).name


def figures(directory: str | os.PathLike[str]) -> list[Path]:
    """Return the figures of the run in `directory`, or [] if one of them was changed."""
    folder = Path(directory)
    found = _found(folder)
    with sentences(f"Cannot read {str(folder)!r}"):
        return [folder / name for name in manifest.intact_figures(folder, found)]


def _found(folder: Path) -> manifest.Manifest:
    with sentences(f"Cannot read {str(folder)!r}"):
        found = manifest.find(folder)
    if found is not None:
        return found
    if not folder.exists():
        raise ArchiveError(f"There is no run at {str(folder)!r}.")
    raise ArchiveError(
        f"{str(folder)!r} is not a run of flowsim: it has no readable {manifest.NAME}."
    )


def _verified(folder: Path) -> manifest.Manifest:
    """Return the manifest of an intact run, its variants verified with it."""
    found = _found(folder)
    with sentences(f"Cannot read {str(folder)!r}"):
        damages = list(manifest.damage(folder, found))
    if damages:
        raise ArchiveError(
            f"The run in {str(folder)!r} is damaged: {'; '.join(damages)}. "
            f"Simulate again with --force."
        )
    for name, digest in found.variants.items():
        if _verified(folder / manifest.VARIANTS / name).digest != digest:
            raise ArchiveError(
                f"The run in {str(folder)!r} is damaged: its variant {name!r} belongs to another "
                f"run. Simulate again with --force."
            )
    return found


def _read(folder: Path, found: manifest.Manifest) -> Run:
    from flowsim.scenario.reading import read as read_scenario
    from flowsim.scenario.spec.errors import ScenarioError

    try:
        scenario = read_scenario(folder / "scenario.toml")
    except ScenarioError as error:
        raise ArchiveError(
            f"This version of flowsim cannot read the scenario of {str(folder)!r}: {error}"
        ) from error
    groups = netcdf.read(folder / "run.nc") if "run.nc" in found.files else {}
    variants = {}
    for variant in found.variants:
        inner = folder / manifest.VARIANTS / variant
        variants[variant] = _read(inner, _found(inner))
    return Run(found.name, scenario, groups, _summary(folder), variants, folder)


def _load(folder: Path, found: manifest.Manifest) -> DataTree:
    import xarray

    if "run.nc" in found.files:
        with xarray.open_datatree(folder / "run.nc", engine="h5netcdf") as stored:
            # stored.load() would leave variables on disk whose name is that of a group
            tree = xarray.DataTree.from_dict(
                {node.path: _renamed(node).load() for node in stored.subtree}
            )
    else:
        tree = xarray.DataTree()
    for variant in found.variants:
        inner = folder / manifest.VARIANTS / variant
        tree = tree.assign({variant: _load(inner, _found(inner))})
    tree.attrs["summary"] = (folder / "summary.json").read_text("utf-8")
    tree.attrs["scenario"] = (folder / "scenario.toml").read_text("utf-8")
    return tree


def _renamed(node: DataTree) -> Dataset:
    """Return the variables of a group under their present names."""
    held = node.to_dataset(inherit=False)
    former = {name: new for (group, name), new in RENAMED.items() if group == node.name}
    return held.rename({name: new for name, new in former.items() if name in held})


def _summary(folder: Path) -> dict[str, Any]:
    with sentences(f"Cannot read {str(folder)!r}"):
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary
