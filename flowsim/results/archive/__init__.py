"""Runs on the disk: written whole or not at all, verified when read.

A run's folder holds `scenario.toml`, `data/` (copies of the files it read), `run.nc`,
`summary.json`, `figures/`, `variants/<name>/` and `manifest.json`, which lists all of them with
sizes and SHA-256 and is what marks the folder as a run of flowsim's. `summary.json` is strict JSON:
what is not finite is null there.
"""

from flowsim.results.archive.errors import ArchiveError
from flowsim.results.archive.places import Place, reserve
from flowsim.results.archive.reading import digest, figures, is_run, load, name, read, summaries
from flowsim.results.archive.writing import Draw, add_figures, fill, write

__all__ = [
    "ArchiveError",
    "Draw",
    "Place",
    "add_figures",
    "digest",
    "figures",
    "fill",
    "is_run",
    "load",
    "name",
    "read",
    "reserve",
    "summaries",
    "write",
]
