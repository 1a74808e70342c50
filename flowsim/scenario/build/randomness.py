"""Random draws: one generator per name, so that draws do not disturb each other."""

from __future__ import annotations

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the generator of the draw called `name` under `seed`."""
    return np.random.default_rng(np.random.SeedSequence([seed, *name.encode()]))
