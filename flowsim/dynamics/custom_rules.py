"""Update rules of the user and of optax, traced once so that they stay what they were.

A function that is given as a rule may read arrays and variables of its own. It is traced for the
layers of a problem (`flowsim.problem.tracing`), so that compiled programs depend on their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.update_rules import Gradient, Memory, Rule
from flowsim.problem.arguments import shown
from flowsim.problem.tracing import (
    NOT_TRACEABLE,
    Programs,
    evaluate,
    narrow_types,
    trace_with_shapes,
)
from flowsim.problem.types import Array, Layers, Scalar

Step: TypeAlias = Callable[[Layers, Layers, Memory, Scalar], tuple[Layers, Memory]]
"""(layers, gradients, state, η) ↦ (layers, state)."""

FORMS = (
    "a Rule of flowsim.rules, an optax factory such as optax.adam, or a function "
    "(layers, gradients, state, eta) -> (layers, state)"
)


def zeros(layers: Layers) -> Memory:
    """Return one zero matrix per layer, the state at the start unless another one is given."""
    return tuple(jnp.zeros_like(W) for W in layers)


class Custom(Rule):
    """The rule (W, s) ← `function(layers, gradients, state, η)`, written with jax.numpy.

    Parameters
    ----------
    function
        Maps the layers (W_1, …, W_N), their gradients, weight decay included, the state and the
        step size η to the next layers and state.
    initial_state
        Maps the initial layers to the state before the first step, a tree of arrays; by default
        one zero matrix per layer.
    follows_flow
        Whether iterate k approximates the gradient flow at time kη.
    name
        The name of the rule in summary tables; that of the function by default.

    """

    function: Step = eqx.field(static=True)
    initial_state: Callable[[Layers], Memory] = eqx.field(static=True, default=zeros)
    follows_flow: bool = eqx.field(static=True, default=False)
    name: str = eqx.field(static=True, default="")

    def __check_init__(self) -> None:
        """Check that both functions are callable."""
        for name in ("function", "initial_state"):
            if not callable(getattr(self, name)):
                raise ValueError(f"{name} must be a function, but is {shown(getattr(self, name))}.")

    @property
    def label(self) -> str:
        """The name of the rule in summary tables."""
        return self.name or getattr(self.function, "__name__", type(self).__name__)

    def prepared(self, layers: Layers, dtype: Any = np.float64) -> Rule:
        """Return the rule for layers like these, with whatever its functions read now.

        Raises
        ------
        ValueError
            If a function fails, is not written with jax.numpy, or returns layers or a state of
            other shapes than it received.

        """
        layers = tuple(np.asarray(W, dtype=dtype) for W in layers)
        try:
            # optax mixes types, which JAX can be set to reject
            with jax.numpy_dtype_promotion("standard"):
                start, state = trace_with_shapes(_typed(self.initial_state), layers)
                blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
                step, _ = trace_with_shapes(self._checked, layers, layers, blank, dtype(1))
        except _WrongResultError as error:
            raise ValueError(str(error)) from None
        except NOT_TRACEABLE as error:
            raise ValueError(
                f"The rule {self.label!r} converts arrays to numbers of NumPy or Python; write it "
                "with jax.numpy alone, without float(), bool() or if on their values."
            ) from error
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise ValueError(
                f"The rule {self.label!r} failed: {str(error).rstrip('.')}."
            ) from error
        if dtype == np.float64 and (narrow := narrow_types(step)):
            raise ValueError(
                f"The rule {self.label!r} computes in {' and '.join(sorted(narrow))}, but float64 "
                "is required. Arrays of JAX made before flowsim was imported are float32."
            )
        return Traced(
            Programs(start, step), tuple(start.consts), tuple(step.consts),
            jax.tree.structure(state), self.follows_flow, self.label,
        )  # fmt: skip

    def initial_memory(self, layers: Layers) -> Memory:
        """Return the state before the first step."""
        return self.initial_state(layers)

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers and the state that the function returns."""
        return self.function(layers, gradient(layers), memory, eta)

    def _checked(self, layers: Layers, gradients: Layers, state: Memory, eta: Scalar) -> Any:
        """Return the next layers and state, in the types of those before."""
        result = self.function(layers, gradients, state, eta)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise _WrongResultError(
                f"The rule {self.label!r} must return a pair (layers, state), but returns "
                f"{shown(result)}."
            )
        moved, memory = tuple(result[0]), result[1]
        if _shapes(moved) != _shapes(layers):
            raise _WrongResultError(
                f"The rule {self.label!r} must return layers of shapes {_shapes(layers)[1]}, but "
                f"returns {_shapes(moved)[1]}."
            )
        if _shapes(memory) != _shapes(state):
            raise _WrongResultError(
                f"The rule {self.label!r} must return a state of the form that it receives, "
                f"{_form(state)}, but returns {_form(memory)}; give its form at the start by "
                "flowsim.rules.Custom(function, initial_state=…)."
            )
        return jax.tree.map(
            lambda new, old: jnp.asarray(new, old.dtype), (moved, memory), (layers, state)
        )


class Traced(Rule):
    """A rule as it was when traced, with copies of the arrays that it read."""

    programs: Programs = eqx.field(static=True)
    initial_constants: tuple[Array, ...]
    step_constants: tuple[Array, ...]
    memory: Any = eqx.field(static=True)
    # without defaults the properties of the base class would stand in their place
    follows_flow: bool = eqx.field(static=True, default=False)
    label: str = eqx.field(static=True, default="")

    def prepared(self, layers: Layers, dtype: Any = np.float64) -> Rule:  # noqa: ARG002
        """Return the rule itself."""
        return self

    def initial_memory(self, layers: Layers) -> Memory:
        """Return the state before the first step."""
        found = evaluate(self.programs.jaxprs[0], self.initial_constants, *layers)
        return jax.tree.unflatten(self.memory, found)

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers and the state after a step."""
        given = (*layers, *gradient(layers), *jax.tree.leaves(memory), eta)
        found = evaluate(self.programs.jaxprs[1], self.step_constants, *given)
        depth = len(layers)
        return tuple(found[:depth]), jax.tree.unflatten(self.memory, found[depth:])


class _WrongResultError(Exception):
    """A function returned what is no step of a rule."""


def from_optax(factory: Callable[[Scalar], Any], name: str = "") -> Custom:
    """Return the rule whose transformation of the gradients at step size η is `factory`(η).

    η is taken as the length of a step in other units than time, so that iterates belong to no time
    of the gradient flow. The initial state is assumed not to depend on η, as in optax.
    """
    # functools.partial holds the factory whose further options it gives
    label = name or getattr(getattr(factory, "func", factory), "__name__", "optax")

    def transformation(eta: Scalar) -> Any:
        made = factory(eta)
        if not (hasattr(made, "init") and hasattr(made, "update")):
            raise _WrongResultError(
                f"The rule {label!r} must be {FORMS}; called with η it returns {shown(made)}."
            )
        return made

    def step(
        layers: Layers, gradients: Layers, state: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        moves, state = transformation(eta).update(gradients, state, layers)
        return tuple(W + move for W, move in zip(layers, moves, strict=True)), state

    return Custom(
        step,
        initial_state=lambda layers: transformation(jnp.zeros((), layers[0].dtype)).init(layers),
        name=label,
    )


def _typed(function: Callable[[Layers], Memory]) -> Callable[[Layers], Memory]:
    """Return a function whose results are arrays of their own types, also for Python's numbers."""
    return lambda layers: jax.tree.map(
        lambda x: jnp.asarray(x, jnp.result_type(x)), function(layers)
    )


def _shapes(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    """Return the structure of a tree and the shapes of its arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [np.shape(leaf) for leaf in leaves]


def _form(tree: Any) -> str:
    """Return a tree as text, its arrays replaced by their shapes."""
    return str(jax.tree.map(np.shape, tree))
