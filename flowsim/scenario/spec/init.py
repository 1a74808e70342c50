"""`[init]`: how the layers are initialized, one model per kind.

A model holds the options of its kind and its traits. A new initialization is a function in
`flowsim.problem.initialization` and a model here, added to `AnyInit`.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Discriminator, Field

from flowsim.problem.limits import LARGEST
from flowsim.scenario.spec.errors import Mistake, UnplacedError, mistake_at
from flowsim.scenario.spec.forms import FileRef, Layers
from flowsim.scenario.spec.network import Network
from flowsim.scenario.spec.numbers import Seed, seed_row
from flowsim.scenario.spec.table import Table, by_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from flowsim.problem.initialization import NumpyLayers, Widths
    from flowsim.problem.losses import Loss

Scale = Annotated[
    float,
    Field(
        ge=1e-150,
        le=LARGEST,
        description="The scale of the end-to-end matrix at initialization.",
        examples=[1e-3],
    ),
]
Noise = Annotated[
    float,
    Field(
        ge=0,
        le=LARGEST,
        description="Standard deviation of Gaussian noise added to every entry of every layer.",
        examples=[1e-6],
    ),
]


class Init(Table):
    """The traits of an initialization, and what they are for most kinds."""

    kind: str
    seed: Seed | None = Field(
        None, description="Draws the layers in place of the scenario's seed.", examples=[1]
    )
    if TYPE_CHECKING:  # every kind declares it after its own options, which orders written files
        noise: float

    random: ClassVar[bool] = False
    """Whether the singular vectors of W are drawn at random."""
    takes_directions: ClassVar[bool] = False
    """Whether the singular vectors of W are those of a matrix that the loss has."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.kind.replace("_", "-")

    def describe(self) -> str:
        """Return the row of the initialization in the summary table."""
        options = {key: getattr(self, key, None) for key in ("scale", "imbalance")}
        parts = [f"{key} {value:g}" for key, value in options.items() if value is not None]
        noise = [f"noise {self.noise:g}"] if self.noise else []
        return ", ".join([self.label, *parts, *noise, *seed_row(self.seed)])

    @property
    def draws(self) -> bool:
        """Whether anything of it is drawn at random."""
        return self.random or self.noise > 0

    @abc.abstractmethod
    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:
        """Return W_1, …, W_N before noise is added."""

    def unsuitable(self, network: Network) -> Mistake | None:  # noqa: ARG002
        """Return the mistake if the layers of this network cannot be initialized so, else None."""
        return None


class Explicit(Init):
    """Layers that are written out or in a file."""

    kind: Literal["explicit"] = Field(description="Given layers.", examples=["explicit"])
    noise: Noise = 0.0
    layers: Layers = Field(
        description="W_1 … W_N: an array of matrices, or a .npz file with arrays named W_1 … W_N.",
        examples=[[[[0.1, 0.0], [0.0, 0.1]]]],
    )

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Return the given layers."""
        import numpy as np

        from flowsim.scenario.build.files import load_layers

        if isinstance(self.layers, FileRef):
            return load_layers(self.layers, len(widths) - 1)
        return tuple(np.asarray(W, dtype=float) for W in self.layers)


class PythonLayers(Init):
    """Layers from Python that are too large for a file: hashed, not written out."""

    kind: Literal["python"] = Field(
        description="Layers from Python, hashed but not written out", examples=["python"]
    )
    noise: Noise = 0.0
    sha256: str = Field(
        description="A hash of the layers.", pattern="^[0-9a-f]{64}$", examples=["0" * 64]
    )

    def describe(self) -> str:
        """Return the row of the initialization in the summary table."""
        return "layers from Python"

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Raise: the layers are those of a problem, which a file does not have."""
        text = 'is "python": the layers were given in Python; call flowsim.run with the problem'
        raise UnplacedError(mistake_at("init.kind", text))


class RandomScaled(Init):
    """An initialization drawn at random by the function of its kind, for W of a given scale."""

    scale: Scale
    noise: Noise = 0.0

    random = True

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Return the layers W_1, …, W_N."""
        from flowsim.problem import initialization

        draw: Callable[..., NumpyLayers] = getattr(initialization, self.kind)
        return draw(widths, self.scale, rng)


class Balanced(RandomScaled):
    """Exactly balanced layers of a random end-to-end matrix."""

    kind: Literal["balanced"] = Field(
        description="Balanced layers of a Gaussian W whose largest singular value is scale.",
        examples=["balanced"],
    )


class Gaussian(RandomScaled):
    """Layers of independent Gaussian entries."""

    kind: Literal["gaussian"] = Field(
        description="Gaussian entries, E‖W‖²_F = scale² min(d_0, d_N).", examples=["gaussian"]
    )


class Xavier(Init):
    """Layers of uniform entries, scaled by the widths (Glorot & Bengio 2010)."""

    kind: Literal["xavier"] = Field(
        description="Entries uniform on ±√(6/(d_{j−1} + d_j)).", examples=["xavier"]
    )
    noise: Noise = 0.0

    random = True

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Return the layers W_1, …, W_N."""
        from flowsim.problem import initialization

        return initialization.xavier(widths, rng)


class Orthogonal(RandomScaled):
    """Scaled semi-orthogonal layers."""

    kind: Literal["orthogonal"] = Field(
        description="Orthogonal layers; every singular value of W is scale.",
        examples=["orthogonal"],
    )


class Identity(Init):
    """Balanced layers of a multiple of the identity."""

    kind: Literal["identity"] = Field(
        description="Balanced layers of W = scale · I.", examples=["identity"]
    )
    scale: Scale
    noise: Noise = 0.0

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Return the layers W_1, …, W_N."""
        from flowsim.problem import initialization

        return initialization.identity(widths, self.scale)

    def unsuitable(self, network: Network) -> Mistake | None:
        """Require hidden layers that are no narrower than W."""
        hidden = network.widths[1:-1]
        if not hidden or min(hidden) >= network.modes:
            return None
        return mistake_at(
            "init.kind",
            f'"identity" needs hidden widths of at least min(d_0, d_N) = {network.modes}, but one '
            f'is {min(hidden)}; write wider layers or "balanced"',
        )


class Aligned(Init):
    """Balanced layers with the singular vectors of the target."""

    kind: Literal["aligned"] = Field(
        description="Balanced layers of W = scale · Σ u_r v_rᵀ, singular vectors of the target.",
        examples=["aligned"],
    )
    scale: Scale
    noise: Noise = 0.0

    takes_directions = True

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Return the layers W_1, …, W_N."""
        import numpy as np

        from flowsim.problem import initialization

        return initialization.aligned(widths, self.scale, np.asarray(loss.directions))


class LambdaBalanced(Init):
    """Layers of a random W with the imbalance λI between all neighbours."""

    kind: Literal["lambda_balanced"] = Field(
        description="W_{j+1}ᵀW_{j+1} − W_jW_jᵀ = λI for the W that balanced draws.",
        examples=["lambda_balanced"],
    )
    scale: Scale
    imbalance: float = Field(
        ge=-LARGEST,
        le=LARGEST,
        description="λ in W_{j+1}ᵀW_{j+1} − W_jW_jᵀ = λI, of either sign.",
        examples=[0.5],
    )
    noise: Noise = 0.0

    random = True

    def build(self, widths: Widths, rng: Generator, loss: Loss) -> NumpyLayers:  # noqa: ARG002
        """Return the layers W_1, …, W_N."""
        from flowsim.problem import initialization

        return initialization.lambda_balanced(widths, self.scale, self.imbalance, rng)

    def unsuitable(self, network: Network) -> Mistake | None:
        """Require widths for which W_{j+1}ᵀW_{j+1} − W_jW_jᵀ = λI has a solution."""
        widths, modes = network.widths, network.modes
        hidden = set(widths[1:-1])
        if not hidden:
            text = "needs two layers or more; write a hidden width in network.widths"
            return mistake_at("init.kind", f'"lambda_balanced" {text}')
        if len(hidden) > 1:
            text = "needs hidden widths that are equal; write one width for all"
            return mistake_at("init.kind", f'"lambda_balanced" {text}')
        h = hidden.pop()
        # λ > 0 adds rank to W_Nᵀ W_N, which has at most d_N; λ < 0 to W_1 W_1ᵀ, at most d_0.
        if (
            h <= modes
            or (self.imbalance >= 0 and h <= widths[-1])
            or (self.imbalance <= 0 and h <= widths[0])
        ):
            return None
        return mistake_at(
            "init.imbalance",
            f"is {self.imbalance}, which a hidden width of {h} cannot have; write hidden widths of "
            f"at most {modes} = min(d_0, d_N), or of at most d_N with λ ≥ 0 or d_0 with λ ≤ 0",
        )


AnyInit = Annotated[
    Explicit
    | Balanced
    | Gaussian
    | Xavier
    | Orthogonal
    | Identity
    | Aligned
    | LambdaBalanced
    | PythonLayers,
    Discriminator("kind"),
]
INITS: dict[str, type[Init]] = by_kind(AnyInit)
"""The models of all initializations by kind."""
