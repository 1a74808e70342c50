"""Names of arrays by their shape. Importing this module makes float64 JAX's default.

Small singular values and order-η distances between descent and flow are lost in float32.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Float

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

Array: TypeAlias = jax.Array | np.ndarray

Scalar: TypeAlias = Float[Array, ""]
Matrix: TypeAlias = Float[Array, "output input"]
"""An end-to-end matrix W, a target Φ or a gradient G, of shape d_N × d_0."""

Layer: TypeAlias = Float[Array, "_ _"]
Layers: TypeAlias = tuple[Layer, ...]
"""W_1, …, W_N with W_j of shape d_j × d_{j-1}; consecutive shapes fit."""

Inputs: TypeAlias = Float[Array, "input sample"]
Targets: TypeAlias = Float[Array, "output sample"]
