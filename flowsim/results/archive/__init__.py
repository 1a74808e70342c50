"""Runs on disk: written completely or not at all, verified when read.

The folder of a run contains `scenario.toml`, `data/` (copies of the files it read), `run.nc`,
`summary.json`, `figures/`, `variants/<name>/` and `manifest.json`. The manifest lists all files
with their sizes and SHA-256, and marks the folder as a run of flowsim. `summary.json` is strict
JSON, with null for numbers that are not finite.
"""

from flowsim.results.archive.errors import ArchiveError
from flowsim.results.archive.places import Place, reserve
from flowsim.results.archive.reading import figures, find, is_run, load, read, summaries
from flowsim.results.archive.writing import Draw, add_figures, fill, write

__all__ = [
    "ArchiveError",
    "Draw",
    "Place",
    "add_figures",
    "figures",
    "fill",
    "find",
    "is_run",
    "load",
    "read",
    "reserve",
    "summaries",
    "write",
]
