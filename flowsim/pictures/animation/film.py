"""Films of moving figures: frames drawn one at a time, as the encoder asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from flowsim.pictures.animation.moving import Moving, Projector

FORMATS = ("webp", "gif")
FRAMES = 120
FIRST, NEXT, LAST = 800, 70, 2500
"""Milliseconds for which the first frame, those between and the last stand."""
DPI = {"webp": 200, "gif": 120}
"""Dots per inch: a GIF keeps every frame in memory, and is large."""
ALMOST_WHITE = 247
OPTIONS: dict[str, dict[str, Any]] = {
    "webp": {"lossless": True, "quality": 20, "method": 2, "kmin": 10_000, "kmax": 10_001},
    "gif": {"optimize": False, "disposal": 1},
}
"""For the encoder; the large kmin and kmax leave out key frames, which take most of the time."""

Report = Callable[[float], None]
"""Takes the fraction of the frames that are drawn."""


def durations(frames: int) -> list[int]:
    """Return for how many milliseconds each frame stands."""
    return [FIRST, *[NEXT] * (frames - 2), LAST]


def write(moving: Moving, path: Path, format: str, report: Report, frames: int = FRAMES) -> None:
    """Write the film of a moving figure; the same bytes for the same figure."""
    projector = Projector(moving, DPI[format])
    moments = moving.moments(frames)
    finish = in_colours(projector.frame(moving.last)) if format == "gif" else as_it_is

    def frame(k: int) -> Image.Image:
        report(k / frames)
        return finish(projector.frame(float(moments[k])))

    with path.open("wb") as file:
        Reel(frames, frame).save(
            file, format, save_all=True, duration=durations(frames), loop=0, **OPTIONS[format]
        )


def as_it_is(frame: Image.Image) -> Image.Image:
    """Return a frame itself."""
    return frame


def in_colours(last: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return what brings frames into the 256 colours of the last, which has all, and pure white."""
    palette = last.quantize(256, dither=Image.Dither.NONE)
    colours = np.array(palette.getpalette() or [], dtype=int).reshape(-1, 3)
    colours[(colours >= ALMOST_WHITE).all(axis=1)] = 255
    palette.putpalette(colours.ravel().tolist())
    return lambda frame: frame.quantize(palette=palette, dither=Image.Dither.NONE)


def lacking(format: str) -> str:
    """Say why this format cannot be written here, or nothing."""
    if format == "webp" and not features.check("webp"):
        return "this installation of Pillow has no WebP; write format 'gif', or install its wheel"
    return ""


class Reel(Image.Image):
    """An image of many frames, of which one at a time is in memory: the one that is sought."""

    def __init__(self, count: int, frame: Callable[[int], Image.Image]) -> None:
        super().__init__()
        self.n_frames, self._draw, self._shown = count, frame, -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Draw a frame."""
        if not 0 <= frame < self.n_frames:
            raise EOFError("no more frames")
        if frame != self._shown:
            drawn = self._draw(frame)
            self.im, self.palette = drawn.im, drawn.palette
            self._mode, self._size = drawn.mode, drawn.size
            self._shown = frame

    def tell(self) -> int:
        """Return which frame is shown."""
        return self._shown
