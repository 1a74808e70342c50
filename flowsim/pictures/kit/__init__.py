"""What pictures are drawn with: layout, axes, curves, line styles and words.

Importing it imports Matplotlib. Figures have canvases of their own, whatever the backend is.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def _import_matplotlib() -> None:
    """Import Matplotlib, also if `MPLBACKEND` names a backend that is not installed.

    Notebooks set `MPLBACKEND` for the processes that they start, some of which lack that backend.
    Matplotlib cannot be imported then.
    """
    if "matplotlib" in sys.modules:
        return
    chosen = os.environ.pop("MPLBACKEND", "")
    import matplotlib as mpl

    if chosen:
        os.environ["MPLBACKEND"] = chosen
        with suppress(ValueError):
            mpl.rcParams["backend"] = chosen  # as Matplotlib does when it is imported


_import_matplotlib()
