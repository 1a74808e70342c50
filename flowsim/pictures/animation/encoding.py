"""Files of animated figures: frames are drawn one at a time, when the encoder asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from flowsim.pictures.animation.animation import Animation, FrameRenderer

FRAMES = 120
FIRST, NEXT, LAST = 800, 70, 2500
"""Milliseconds of the first frame, of those between, and of the last."""
DPI = {"webp": 200, "gif": 120}
"""Dots per inch: a GIF keeps every frame in memory, and is large."""
ALMOST_WHITE = 247
"""Grey level from which a colour of a GIF's palette becomes white, so that paper stays white."""
OPTIONS: dict[str, dict[str, Any]] = {
    "webp": {"lossless": True, "quality": 20, "method": 2, "kmin": 10_000, "kmax": 10_001},
    "gif": {"optimize": False, "disposal": 1},
}
"""Options of the encoder; the large kmin and kmax omit key frames, which take most of the time."""

Report = Callable[[float], None]
"""Called with the fraction of the frames that are drawn."""


def durations(frames: int) -> list[int]:
    """Return the milliseconds of each frame."""
    return [FIRST, *[NEXT] * (frames - 2), LAST]


def write(
    animation: Animation, path: Path, format: str, report: Report, frames: int = FRAMES
) -> None:
    """Write an animation; the same figure gives the same bytes."""
    renderer = FrameRenderer(animation, DPI[format])
    moments = animation.moments(frames)
    # one palette for all frames: with one per frame colours would flicker
    convert = to_palette_of(renderer.frame(animation.last)) if format == "gif" else unchanged

    def frame(k: int) -> Image.Image:
        report(k / frames)
        return convert(renderer.frame(float(moments[k])))

    with path.open("wb") as file:
        FrameSequence(frames, frame).save(
            file, format, save_all=True, duration=durations(frames), loop=0, **OPTIONS[format]
        )


def unchanged(frame: Image.Image) -> Image.Image:
    """Return the frame itself."""
    return frame


def to_palette_of(last: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return a function that maps frames to the 256 colours of the last, which has them all."""
    palette = last.quantize(256, dither=Image.Dither.NONE)
    colours = np.array(palette.getpalette() or [], dtype=int).reshape(-1, 3)
    colours[(colours >= ALMOST_WHITE).all(axis=1)] = 255
    palette.putpalette(colours.ravel().tolist())
    return lambda frame: frame.quantize(palette=palette, dither=Image.Dither.NONE)


def why_unwritable(format: str) -> str | None:
    """Return the reason why this format cannot be written here, or None."""
    if format == "webp" and not features.check("webp"):
        return "this installation of Pillow has no WebP; write format 'gif', or install its wheel"
    return None


class FrameSequence(Image.Image):
    """An image of many frames, of which only the current one is in memory."""

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
        """Return the number of the current frame."""
        return self._shown
