"""`[descent]`: gradient descent, its step sizes, its update rule and its noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PrivateAttr

from flowsim.dynamics.registry import RHO, RULES, RuleName, UpdateRule
from flowsim.scenario.spec.forms import UNITS, Place, StepSizeRange, StepSizes
from flowsim.scenario.spec.numbers import Momentum, Positive, Seed, Size, seed_row
from flowsim.scenario.spec.table import FROM_PYTHON, Table

if TYPE_CHECKING:
    from flowsim.dynamics.update_rules import Rule


class PythonRule(Table):
    """An update rule from Python that no file can hold: described in words, and hashed.

    Only the scenario that `flowsim.run` made has the rule; one that was read from a file does not.
    """

    description: str = Field(description="The rule in words.", examples=["adam"])
    sha256: str = Field(
        description="A hash of the program and the arrays of a step.",
        pattern="^[0-9a-f]{64}$",
        examples=["0" * 64],
    )
    follows_flow: bool = Field(
        False, description="Whether iterate k approximates the flow at time kη.", examples=[True]
    )

    _rule: Rule | None = PrivateAttr(None)

    def of(self, rule: Rule) -> PythonRule:
        """Return the same description with the rule that it describes."""
        described = self.model_copy()
        described._rule = rule
        return described

    @property
    def given(self) -> Rule | None:
        """The rule that it describes, or None if it was read from a file."""
        return self._rule


class Descent(Table):
    """Gradient descent from the same initialization, at each step size."""

    step_sizes: StepSizes = Field(
        description="Step sizes η, or a set of them; iterate k is compared with the flow at time "
        "kη.",
        examples=[[0.4, 0.1]],
    )
    rule: Literal[RuleName, "python"] = Field(
        "gradient",
        description="The update rule: gradient descent, nesterov, Runge-Kutta's midpoint, heun or "
        "rk4, adagrad or adadelta, which optax brings, sam, or normalized gradient descent.",
        examples=["nesterov"],
    )
    momentum: Momentum = Field(
        0.0,
        description="μ of the heavy ball (gradient) or of nesterov, which also accepts increasing.",
        examples=[0.9],
    )
    rho: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description=f"ρ of sam, the radius of the perturbation; {RHO} if left out.",
        examples=[0.1],
    )
    python: PythonRule | None = Field(
        None,
        description="A rule from Python, described but not written out; of python only.",
        examples=[{"description": "adam", "sha256": "0" * 64}],
    )
    precision: Literal["float64", "float32"] = Field(
        "float64", description="float32 exposes rounding.", examples=["float32"]
    )
    batch: Size | None = Field(
        None,
        description="Batch size: samples, measurements or observed entries per step, drawn "
        "without replacement, independently at every step; all if left out.",
        examples=[16],
    )
    label_noise: Positive | None = Field(
        None,
        description="The standard deviation of Gaussian noise on the labels, drawn independently "
        "at every step.",
        examples=[0.5],
    )

    seed: Seed | None = Field(
        None,
        description="Draws batches and label noise in place of the scenario's seed.",
        examples=[1],
    )

    @property
    def draws(self) -> bool:
        """Whether anything of it is drawn at random."""
        return self.noisy

    @property
    def noisy(self) -> bool:
        """Whether the gradient is a random estimate, drawn independently at every step."""
        return self.batch is not None or self.label_noise is not None

    @property
    def follows_flow(self) -> bool:
        """Whether iterate k is compared with the flow at time kη."""
        return self.traits.follows_flow and self.momentum != "increasing"

    @property
    def traits(self) -> UpdateRule:
        """What is known of the update rule."""
        if self.rule != FROM_PYTHON:
            return RULES[self.rule]
        assert self.python is not None
        # of a rule that is not known, as many copies as those known at most
        most = max(rule.copies for rule in RULES.values())
        label, follows = self.python.description, self.python.follows_flow
        return UpdateRule(label, follows_flow=follows, copies=most)

    @property
    def radius(self) -> float:
        """The radius ρ of SAM."""
        return RHO if self.rho is None else self.rho

    @property
    def plain(self) -> bool:
        """Whether it is gradient descent without momentum or noise in double precision."""
        usual = (self.rule, self.momentum, self.precision) == ("gradient", 0, "float64")
        return usual and not self.noisy

    @property
    def written(self) -> tuple[float, ...]:
        """The step sizes in the unit of the file."""
        return self.step_sizes if isinstance(self.step_sizes, tuple) else self.step_sizes.values

    @property
    def relative_to(self) -> Place | None:
        """The place whose 2/sharpness is the unit, or None where the unit is 1."""
        return None if isinstance(self.step_sizes, tuple) else self.step_sizes.relative_to

    @property
    def sizes(self) -> tuple[float, ...]:
        """The step sizes η.

        Raises
        ------
        ValueError
            If they are relative to a sharpness, which only the problem determines.

        """
        if self.relative_to is not None:
            raise ValueError(f"Step sizes are relative to the sharpness at {self.relative_to}.")
        return self.written

    def most_iterations(self, horizon: float) -> int:
        """Return the number of iterations of the smallest step size up to the final time."""
        return round(horizon / min(self.sizes))

    def describe(self) -> str:
        """Return the row of gradient descent in the summary table."""
        mu = self.momentum if isinstance(self.momentum, str) else f"{self.momentum:g}"
        momentum = f", momentum {mu}" if self.momentum else ""
        rule = self.rule if self.python is None else self.python.description
        other = f"{rule}, " if rule != "gradient" else ""
        other += f"ρ {self.radius:g}, " if self.rule == "sam" else ""
        noise = "" if self.batch is None else f", batches of {self.batch}"
        noise += "" if self.label_noise is None else f", label noise {self.label_noise:g}"
        seed = "".join(f", {seed}" for seed in seed_row(self.seed))
        return f"{other}step sizes {self._listing()}{momentum}{noise}{seed}, {self.precision}"

    def _listing(self) -> str:
        sizes = [f"{size:g}" for size in self.written]
        if isinstance(self.step_sizes, StepSizeRange):
            listing = f"{len(sizes)} from {sizes[0]} to {sizes[-1]} ({self.step_sizes.spacing})"
        else:
            listing = ", ".join(sizes[:8]) + (f", … ({len(sizes)})" if len(sizes) > 8 else "")
        return listing + (f" · {UNITS[self.relative_to]}" if self.relative_to else "")
