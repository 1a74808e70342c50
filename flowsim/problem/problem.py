"""A problem: what is simulated, without the choice of a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from flowsim import cards
from flowsim.problem import network
from flowsim.problem.arguments import finite_number, real_array, shown
from flowsim.problem.limits import LARGEST_RATE
from flowsim.problem.losses import Loss
from flowsim.problem.losses.checks import checked_sum
from flowsim.problem.types import Array, Layers, Matrix, Scalar
from flowsim.process.environment import computing, isolated


@dataclass(frozen=True, eq=False)
class Problem:
    """A loss of the end-to-end matrix, the initial layers, a final time, and weight decay λ.

    Gradient flow of it minimizes φ(W_1..W_N) + (λ/2) Σ‖W_j‖²_F, φ = ℓ(W_N⋯W_1), from the layers.

    Parameters
    ----------
    loss
        A `Loss`, or any differentiable function of W written with jax.numpy.
    layers
        W_1, …, W_N; W_j of shape d_j × d_{j-1}. The problem keeps read-only copies.
    horizon
        The final time T > 0 of the flow.
    weight_decay
        λ, from 0 to 1e140.
    on_layers
        A function f of the tuple (W_1, …, W_N), written with jax.numpy, that is added to the loss:
        a regularizer, tied weights, or biases as further rows and columns of the layers. The
        reported loss is ℓ(W) + f(W_1, …, W_N), without weight decay. Gradient descent and the layer
        flow take it; there is no flow of W alone then, and imbalance is not conserved.

    Raises
    ------
    ValueError
        If the shapes of the layers do not match, the loss does not accept their product or is not
        finite there, or a number is out of its range.
    SettingError
        If JAX cannot compute in double precision with its present settings.

    """

    loss: Loss
    layers: Layers
    horizon: float
    weight_decay: float

    @computing()
    def __init__(
        self,
        loss: Loss | Callable[[Matrix], Scalar],
        layers: Sequence[Array],
        horizon: float,
        weight_decay: float = 0.0,
        on_layers: Callable[[Layers], Scalar] | None = None,
    ) -> None:
        try:
            given = list(layers)
        except TypeError:
            raise ValueError(
                f"layers must be a list of matrices [W_1, …, W_N], but is {shown(layers)}."
            ) from None
        arrays = [real_array(f"W_{j}", W) for j, W in enumerate(given, start=1)]
        network.check_layers(arrays)
        # the dataclass is frozen, but converts its arguments
        set_field = object.__setattr__
        set_field(self, "layers", tuple(arrays))
        set_field(self, "horizon", finite_number("horizon", horizon, above=0.0))
        rate = finite_number("weight_decay", weight_decay, least=0.0, most=LARGEST_RATE)
        set_field(self, "weight_decay", rate)
        set_field(self, "loss", checked_sum(loss, on_layers, self.layers, self.initial))

    def doubted(self) -> Problem:
        """Return the problem without what is stated about its loss."""
        doubted = copy(self)
        object.__setattr__(doubted, "loss", self.loss.doubted())
        return doubted

    @property
    def depth(self) -> int:
        """The number N of layers."""
        return len(self.layers)

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths (d_0, …, d_N)."""
        return network.widths(self.layers)

    @property
    @isolated()
    def initial(self) -> Matrix:
        """The end-to-end matrix W(0) of the initial layers."""
        return network.end_to_end(self.layers)

    @isolated()
    def _rows(self) -> dict[str, str]:
        """Return the rows of the summary table."""
        rows = {
            "loss": self.loss.label,
            "widths": " → ".join(map(str, self.widths)),
            "horizon": f"{self.horizon:g}",
            "‖W(0)‖_F": f"{float(np.linalg.norm(self.initial)):.3g}",
        }
        if self.depth > 1:
            rows["imbalance"] = f"{float(np.max(network.imbalance(self.layers))):.2g}"
        if self.weight_decay:
            rows["weight decay"] = f"{self.weight_decay:g}"
        return rows

    def __repr__(self) -> str:
        return cards.as_text(f"Problem of depth {self.depth}", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html(f"Problem of depth {self.depth}", self._rows())
