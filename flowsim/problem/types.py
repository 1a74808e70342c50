"""Names of arrays by their shape."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Float

Array: TypeAlias = jax.Array | np.ndarray

Scalar: TypeAlias = Float[Array, ""]
Matrix: TypeAlias = Float[Array, "output input"]
"""An end-to-end matrix W, a target Φ or a gradient G, of shape d_N × d_0."""

Layer: TypeAlias = Float[Array, "_ _"]
Layers: TypeAlias = tuple[Layer, ...]
"""W_1, …, W_N with W_j of shape d_j × d_{j-1}; consecutive shapes fit."""

Inputs: TypeAlias = Float[Array, "input sample"]
Targets: TypeAlias = Float[Array, "output sample"]
