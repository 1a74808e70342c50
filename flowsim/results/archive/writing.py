"""Writing a run: everything or nothing."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from flowsim.results.archive import manifest, netcdf
from flowsim.results.archive.errors import NO_SPACE, ArchiveError, reason, sentences
from flowsim.results.archive.places import Place, hold, publish, reserve
from flowsim.results.run import Run
from flowsim.scenario.digest import data_files, digest
from flowsim.scenario.toml.writing import dumps

Draw = Callable[[Run, Path], Sequence[str] | None]
"""Draws the figures of a run into a folder, and returns notes on those that failed, if any."""


def write(
    run: Run, directory: str | os.PathLike[str], *, force: bool = False, draw: Draw | None = None
) -> Run:
    """Write `run` to `directory`, which appears complete or not at all; return it as written.

    `draw(run, folder)` draws the figures, of the run and of each of its variants. Its notes are
    added to those of the summary. If the disk has space for the results alone, figures are left
    out, with a note.

    Raises
    ------
    ArchiveError
        If the directory cannot be used (see `reserve`) or written.

    """
    with reserve(directory, force=force) as place:
        return fill(place, run, draw)


def fill(place: Place, run: Run, draw: Draw | None = None) -> Run:
    """Write `run` to a place that `reserve` holds; return it as written."""
    temporary = place.temporary("new")
    try:
        with sentences(f"No result is kept, because {str(place.final)!r} cannot be written"):
            try:
                written = _compose(run, temporary, draw)
            except OSError as error:
                if draw is None or error.errno not in NO_SPACE:
                    raise
                shutil.rmtree(temporary, ignore_errors=True)
                note = f"No figure was drawn: {reason(error)}."
                written = _compose(_noted(run, [note]), temporary, None)
            publish(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def _noted(run: Run, notes: Sequence[str] | None) -> Run:
    """Return the run with more notes in its summary."""
    if not notes:
        return run
    return replace(run, summary={**run.summary, "notes": [*run.summary["notes"], *notes]})


def _compose(run: Run, folder: Path, draw: Draw | None) -> Run:
    """Write the files of a run into a new folder; return it with notes on its figures."""
    folder.mkdir(parents=True)
    _copy_data(run, folder / "data")
    (folder / "scenario.toml").write_text(dumps(run.scenario, data_folder="data"), "utf-8")
    if run.groups:
        netcdf.write(folder / "run.nc", run.groups, {"title": run.scenario.title, "name": run.name})
    variants: dict[str, Run] = {}
    for name, variant in run.variants.items():
        if name in ("", ".", "..") or "/" in name:
            raise ArchiveError(
                f"A variant's name is {name!r}, but a valid folder name is required."
            )
        variants[name] = _compose(variant, folder / manifest.VARIANTS / name, draw)
    run = replace(run, variants=variants)
    if draw is not None:
        figures = folder / manifest.FIGURES
        figures.mkdir()
        run = _noted(run, draw(run, figures))
        if not any(figures.iterdir()):
            figures.rmdir()
    (folder / "summary.json").write_text(strict_json(run.summary), "utf-8")
    # The manifest comes last, after all names are flushed: a folder that has one is complete, even
    # after a crash.
    digests = {name: digest(variant.scenario) for name, variant in run.variants.items()}
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        manifest.sync_folder(path)
    files = manifest.entries(folder)
    manifest.save(folder, manifest.Manifest(run.name, digest(run.scenario), files, digests))
    return run


def _copy_data(run: Run, folder: Path) -> None:
    sources = data_files(run.scenario)
    if sources:
        folder.mkdir()
    for name, source in sources.items():
        shutil.copyfile(source, folder / name)


def add_figures(run: Run, draw: Draw) -> list[Path]:
    """Draw the figures of a run on disk, and of its variants, into its folder.

    Figures of the same name are replaced. If the process is killed, the run stays readable.

    Returns
    -------
    list of Path
        The files of the figures.

    Raises
    ------
    ArchiveError
        If the run is not on disk, another process writes there, or the files cannot be written.

    """
    if run.directory is None:
        raise ArchiveError(f"The run of {run.name!r} is not on disk; write it first.")
    place = Place.at(run.directory)
    with hold(place.final), sentences(f"Cannot write to {str(run.directory)!r}"):
        return _add_to(run, place, draw)


def _add_to(run: Run, place: Place, draw: Draw) -> list[Path]:
    folder = Path(str(run.directory))
    found = manifest.find(folder)
    if found is None:
        raise ArchiveError(f"{str(folder)!r} is not a run of flowsim: it has no manifest.")
    temporary = place.temporary("new")
    try:
        temporary.mkdir()
        draw(run, temporary)
        names = _move_figures(temporary, folder, found)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    below = [_add_to(variant, place, draw) for variant in run.variants.values()]
    return [folder / name for name in names] + list(chain.from_iterable(below))


def _move_figures(temporary: Path, folder: Path, found: manifest.Manifest) -> list[str]:
    """Move figures into a run; the manifest lists them only when all have been moved."""
    drawn = {f"{manifest.FIGURES}/{path.name}": path for path in sorted(temporary.iterdir())}
    added = {name: manifest.entry(path) for name, path in drawn.items()}
    kept = {name: entry for name, entry in found.files.items() if name not in added}
    if drawn:
        # While figures are replaced the manifest does not list them: if the process is killed
        # meanwhile, the run is intact and only lacks figures, which can be drawn again.
        (folder / manifest.FIGURES).mkdir(exist_ok=True)
        manifest.save(folder, replace(found, files=kept))
        for name, path in drawn.items():
            path.replace(folder / name)
        manifest.sync_folder(folder / manifest.FIGURES)
        manifest.save(folder, replace(found, files={**kept, **added}))
    return list(drawn)


def strict_json(summary: Mapping[str, Any]) -> str:
    """Return `summary` as strict JSON, in which numbers that are not finite are null."""
    return json.dumps(_plain(summary), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Return `value` in JSON's own types; finite floats are unchanged."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # NumPy's and JAX's scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
