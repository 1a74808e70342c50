"""A loss of the end-to-end matrix with a function of the layers added to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NoReturn

import equinox as eqx
import numpy as np

from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.functions import Given, Name, Traced, name_of
from flowsim.problem.losses.loss import Loss
from flowsim.problem.types import Array, Layers, Matrix, Scalar


class Layered(Loss):
    """ℓ(W) + f(W_1, …, W_N), W = W_N⋯W_1: with a regularizer, tied weights, or biases.

    It is no function of W, so that `value` and `gradient` do not exist, and no property of ℓ but
    its target and its samples carries over.

    Attributes
    ----------
    through_product
        ℓ.
    added
        f, traced.
    name
        The name of f.

    """

    on_layers: ClassVar[bool] = True

    through_product: Loss
    added: Traced
    name: Name = eqx.field(static=True)

    @classmethod
    def of(cls, loss: Loss, function: Callable[[Layers], Scalar], layers: Layers) -> Layered:
        """Return the sum for layers of these shapes, with whatever the function reads now.

        Raises
        ------
        TypeError
            If the function cannot be traced (`Given.traced`).

        """
        examples = tuple(np.zeros(W.shape) for W in layers)
        traced = Given(function).traced(examples, name="the layers")
        return cls(loss, traced, Name(name_of(function, "a function of the layers")))

    @property
    def label(self) -> str:
        """The names of both."""
        return f"{self.through_product.label} + {self.name}"

    @property
    def target(self) -> Matrix | None:
        """The target of ℓ, which need not minimize the sum."""
        return self.through_product.target

    @property
    def of_matrix(self) -> Loss:
        """ℓ."""
        return self.through_product

    @property
    def why_not_of_matrix(self) -> str:
        """The reason why there is no flow of W alone."""
        return f"the loss must depend on W alone, but {self.name} depends on the layers themselves"

    def value(self, W: Matrix) -> NoReturn:  # noqa: ARG002
        """Raise NotApplicable: the loss is no function of W."""
        raise NotApplicable(f"{self.why_not_of_matrix}.")

    def gradient(self, W: Matrix) -> NoReturn:  # noqa: ARG002
        """Raise NotApplicable: the loss is no function of W."""
        raise NotApplicable(f"{self.why_not_of_matrix}.")

    def at(self, layers: Layers, W: Matrix) -> Scalar:
        """Return ℓ(W) + f(W_1, …, W_N)."""
        return self.through_product.value(W) + self.added.value(layers)

    def layer_gradients(
        self, layers: Layers, of_matrix: Callable[[Matrix], Matrix] | None = None
    ) -> Layers:
        """Return ∂/∂W_j of ℓ(W_N⋯W_1) + f(W_1, …, W_N) for every layer."""
        through = network.layer_gradients(layers, of_matrix or self.through_product.gradient)
        pairs = zip(through, self.added.gradient(layers), strict=True)
        return tuple(g + f for g, f in pairs)

    def evaluate(self, layers: Layers) -> Array:
        """Return ℓ(W) + f(W_1, …, W_N), compiled."""
        return value_and_layer_gradients(self, layers)[0]


@eqx.filter_jit
def value_and_layer_gradients(loss: Loss, layers: Layers) -> tuple[Array, Layers]:
    """Return the loss of layers and its gradients in them."""
    return loss.at(layers, network.end_to_end(layers)), loss.layer_gradients(layers)
