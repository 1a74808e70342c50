"""Files of figures, which get their names only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of its suffix; the same figure gives the same bytes."""
    import warnings

    from flowsim.pictures.kit import style

    # dates and versions would make the bytes differ
    omitted = {"png": ("Software",), "svg": ("Date",), "pdf": ("CreationDate",)}
    metadata = dict.fromkeys(omitted[path.suffix[1:]])
    with replacing(path) as partial, style.settings(), warnings.catch_warnings():
        # names that users choose may contain letters that the font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(partial, format=path.suffix[1:], dpi=DPI, metadata=metadata)
    return path
