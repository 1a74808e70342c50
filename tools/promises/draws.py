"""Random scenarios, written as files, with their data for the independent solver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = ("squared", "completion", "sensing", "regression", "logistic", "cross_entropy")
BALANCED = ("balanced", "identity", "aligned")
"""Initializations that are balanced exactly, up to rounding."""

SAMPLES = 9
"""Saved times of a scenario."""


@dataclass(frozen=True)
class Shape:
    """What cases share whose programs are compiled once: widths, loss, tolerance."""

    widths: tuple[int, ...]
    kind: str
    p: float
    columns: int
    rtol: float

    @property
    def depth(self) -> int:
        """N."""
        return len(self.widths) - 1


@dataclass(frozen=True)
class Drawn:
    """A scenario: its tables, its text, and the data of its loss by their names in formulas."""

    tables: Mapping[str, Mapping[str, Any]]
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """The scenario as a file."""
        # numbers, strings and lists are written alike in JSON and TOML
        lines = ['title = "Random"', f"seed = {self.data['seed']}"]
        for name, table in self.tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        return "\n".join(lines) + "\n"


def shape(rng: np.random.Generator) -> Shape:
    """Return random widths, at most 5 layers of widths up to 6, with a loss and a tolerance."""
    kind = str(rng.choice(KINDS))
    depth = int(rng.integers(1, 6))
    widths = rng.integers(1, 7, depth + 1)
    if kind == "logistic":
        widths[-1] = 1
    if kind == "cross_entropy":
        widths[-1] = max(widths[-1], 2)
    return Shape(
        widths=tuple(int(d) for d in widths),
        kind=kind,
        # odd powers have a kink in a derivative, at which a step may miss the tolerance
        p=float(rng.choice([2.0, 2.0, 4.0, 4.0])),
        columns=int(rng.integers(4, 12)),
        rtol=float(rng.choice([1e-6, 1e-7, 1e-8, 1e-9])),
    )


def scenario(shape: Shape, rng: np.random.Generator) -> Drawn:
    """Return a random scenario of a shape: data, initialization, weight decay and final time."""
    loss, tables, data = _loss(shape, rng)
    init = _init(shape, rng)
    aligned = shape.kind == "squared" and init["kind"] == "aligned"
    spaces = ["layers", "end_to_end"] + ["spectral"] * (shape.depth > 1) + ["modes"] * aligned
    flow = {
        "horizon": float(rng.choice([0.5, 1.0, 2.0, 4.0])),
        "samples": SAMPLES,
        "spaces": spaces,
        "rtol": shape.rtol,
        "weight_decay": float(rng.choice([0.0, 0.0, 0.1])),
    }
    data["seed"] = int(rng.integers(2**31))
    return Drawn(
        {"network": {"widths": list(shape.widths)}, "loss": loss, **tables, "init": init}
        | {"flow": flow},
        data,
    )


def _loss(
    shape: Shape, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the table of the loss, that of its samples if any, and its data."""
    inputs, outputs, m = shape.widths[0], shape.widths[-1], shape.columns
    loss: dict[str, Any] = {"kind": shape.kind}
    if shape.kind in ("squared", "completion", "sensing"):
        data: dict[str, Any] = {"Phi": rng.standard_normal((outputs, inputs))}
        loss["target"] = data["Phi"].tolist()
        if shape.kind == "completion":
            data["observed"] = (rng.random((outputs, inputs)) < 0.7).astype(int)
            data["observed"][0, 0] = 1
            loss["observed"] = data["observed"].tolist()
        if shape.kind == "sensing":
            loss["measurements"] = m
        return loss, {}, data
    X = rng.standard_normal((inputs, m))
    if shape.kind == "regression":
        Y = rng.standard_normal((outputs, m))
        loss["p"] = shape.p
    elif shape.kind == "logistic":
        Y = rng.choice([-1.0, 1.0], (1, m))
    else:
        Y = rng.integers(0, outputs, (1, m)).astype(float)
    tables = {"data": {"inputs": X.tolist(), "targets": Y.tolist()}}
    return loss, tables, {"X": X, "Y": Y, "p": shape.p, "classes": outputs}


def _init(shape: Shape, rng: np.random.Generator) -> dict[str, Any]:
    """Return the table of a random initialization that exists for the widths and the loss."""
    kinds = ["balanced", "gaussian", "xavier", "orthogonal"]
    if min(shape.widths) == min(shape.widths[0], shape.widths[-1]):
        kinds.append("identity")
    if shape.kind == "squared":
        kinds.append("aligned")
    kind = str(rng.choice(kinds))
    scale = {} if kind == "xavier" else {"scale": float(rng.uniform(0.2, 1.0))}
    return {"kind": kind, **scale}
