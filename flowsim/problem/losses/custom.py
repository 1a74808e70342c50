"""The public way from a function of one's own to a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowsim.problem import arguments
from flowsim.problem.arguments import checked, optional, truth
from flowsim.problem.functions import Given, Name, name_of
from flowsim.problem.losses.differentiable import Differentiable, OverSamples, Statement
from flowsim.problem.losses.loss import Loss
from flowsim.problem.types import Scalar


def _name(name: str, value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise ValueError(f"{name} must be a text, but is {arguments.shown(value)}.")
    return text


@checked(
    function=arguments.function,
    target=optional(arguments.matrix),
    minimum=optional(arguments.finite_number),
    convex=truth,
    name=optional(_name),
    inputs=optional(arguments.matrix),
)
def loss(
    function: Callable[..., Scalar],
    *,
    target: Any = None,
    minimum: float | None = None,
    convex: bool = False,
    name: str | None = None,
    inputs: Any = None,
    labels: Any = None,
) -> Loss:
    """Return a loss of one's own, with what is known about it.

    ℓ(W) = function(W); with data ℓ(W) = 1/m Σ_i function(W x_i, y_i), over m samples. JAX
    differentiates the function. Statements let a custom loss have what the named losses have:
    distances to the target and to the minimum, the verdict "converged" with a certificate, and the
    diagnostics that need a minimum or a convex loss.

    >>> flowsim.loss(lambda W: jnp.sum(jnp.log(jnp.cosh(W - Phi))), target=Phi, convex=True)
    >>> flowsim.loss(lambda p, y: jnp.maximum(1 - y * p[0], 0) ** 2, inputs=X, labels=y)

    Parameters
    ----------
    function
        Written with jax.numpy. Without data a function of W, of shape d_N × d_0; with data one of a
        prediction W x_i, of shape (d_N,), and its label. It returns a single number, and reads its
        variables when a `Problem` is made, which keeps copies of its arrays.
    target
        A matrix Φ that minimizes the loss; then ℓ(Φ) is its minimum.
    minimum
        The least value of the loss over all matrices, or its infimum where it is not attained.
    convex
        Whether the loss is convex in W and twice differentiable.
    name
        Its name in tables, figures and messages; by default that of the function.
    inputs
        The samples x_i, the columns of a matrix of shape (d_0, m).
    labels
        Their labels: an array of m numbers, or a matrix with a column y_i per sample.

    Raises
    ------
    ValueError
        If an argument is of another kind. `Problem` raises it for statements that do not hold:
        a minimum above the loss at the start or at the target, or a target near which the loss is
        lower. Statements that a trajectory contradicts are in its `notes`, and its verdict does not
        use them.

    """
    stated = Statement(
        target=target,
        minimum=None if minimum is None else np.asarray(minimum),
        convex=convex,
        name=Name(name or name_of(function, "a function of W")),
    )
    if inputs is None and labels is None:
        return Differentiable(Given(function), stated)
    if inputs is None or labels is None:
        raise ValueError("inputs and labels must be given together, but one of them is missing.")
    return OverSamples(Given(function), stated, inputs, _by_sample(labels, inputs.shape[1]))


def _by_sample(labels: Any, count: int) -> np.ndarray:
    """Return the labels along the first axis."""
    array = arguments.real_array("labels", labels, keep_integers=True)
    if array.ndim not in (1, 2) or array.shape[-1] != count:
        raise ValueError(
            f"labels must be an array with a number or a column for each of the {count} samples, "
            f"but has shape {array.shape}."
        )
    return np.ascontiguousarray(array.T)
