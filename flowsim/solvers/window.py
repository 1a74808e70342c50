"""The saved times that a compiled program reaches at once, and the states written there."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flowsim.dynamics.flow import State
from flowsim.problem.types import Array, Scalar


class Window(NamedTuple):
    """The next saved times of an integration, padded with inf to a fixed size.

    Attributes
    ----------
    times
        The times at which states are saved.
    landings
        For each of them, the first landing at or after it: steps before it go no further.
    filled
        The number of times that are not padding.

    """

    times: Array
    landings: Array
    filled: Array


def save_states(
    window: Window, reached: Array, saved: Any, keep: Array, end: Scalar, y: State, dense: Any
) -> tuple[Array, Any]:
    """Return the number of times reached, and the saved states, including those of one step.

    A loop over slots rather than an evaluation of the dense output at all times of the window, of
    which most steps reach none.
    """

    def due(carry: tuple[Array, Any]) -> Array:
        slot, _ = carry
        in_step = window.times[jnp.minimum(slot, window.times.shape[0] - 1)] <= end
        return keep & (slot < window.filled) & in_step

    def write(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        slot, saved = carry
        time = window.times[slot]
        # dense output is less accurate than the step itself for methods that do not interpolate
        value = where(time == end, y, dense(time))
        saved = jax.tree.map(lambda buffer, v: buffer.at[slot].set(v), saved, value)
        return slot + 1, saved

    return jax.lax.while_loop(due, write, (reached, saved))


def where(condition: Array, new: Any, old: Any) -> Any:
    """Return one of two trees of arrays."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
