"""The integrators that are compared, each called on the layers as its users would call it.

Right-hand sides are hand-written: prefix and suffix products, no automatic differentiation. Every
absolute tolerance is rtol times the root mean square entry of the starting layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from cases import Case

DENSE = 2_000
"""Entries of the state up to which methods with a dense Jacobian are tried."""

ANY = 1 << 40


@dataclass(frozen=True)
class Contender:
    """An integrator: `solve(case, rtol)` returns W at the case's times.

    It is not tried on layers of more than `largest` entries.
    """

    package: str
    name: str
    solve: Callable[[Case, float], np.ndarray]
    largest: int = ANY

    @property
    def label(self) -> str:
        """Return what tables and plots call it."""
        return f"{self.package} {self.name}"

    def takes(self, case: Case) -> bool:
        """Say whether it is tried on a case."""
        return case.depth * case.size**2 <= self.largest


def contenders() -> list[Contender]:
    """Return flowsim's methods and those of every peer that is installed."""
    peers = [_diffrax()]
    peers += [_torchdiffeq()] if find_spec("torchdiffeq") else []
    peers += [_cvode()] if find_spec("sksundae") else []
    return [*_flowsim(), *_scipy(), *(each for peer in peers for each in peer)]


def _atol(case: Case, rtol: float) -> float:
    return float(rtol * case.start / np.sqrt(case.size))


# --- flowsim ----------------------------------------------------------------------------------


def _flowsim() -> list[Contender]:
    from flowsim.solvers.methods import AUTO, METHODS

    return [
        Contender("flowsim", name, partial(_with_flowsim, name), DENSE if dense else ANY)
        for name, dense in [(AUTO, False), *((name, name == "kvaerno5") for name in METHODS)]
    ]


def _with_flowsim(method: str, case: Case, rtol: float) -> np.ndarray:
    from flowsim import solve

    choices: dict[str, Any] = {"method": method, "rtol": rtol, "max_steps": ANY}
    found = solve(case.problem, times=case.times, estimate_error=False, **choices)
    return np.asarray(found.end_to_end)


# --- SciPy ------------------------------------------------------------------------------------


def _velocity(layers: Any, Phi: Any) -> tuple[Any, ...]:
    """Return Ẇ_j = -(W_N⋯W_{j+1})ᵀ (W - Φ) (W_{j-1}⋯W_1)ᵀ."""
    prefixes = [layers[0]]
    for W in layers[1:]:
        prefixes.append(W @ prefixes[-1])
    back, moved = Phi - prefixes[-1], []
    for j in range(len(layers) - 1, 0, -1):
        moved.append(back @ prefixes[j - 1].T)
        back = layers[j].T @ back
    return (back, *reversed(moved))


def _end_to_end(layers: Any) -> Any:
    product = layers[0]
    for W in layers[1:]:
        product = W @ product
    return product


def _flat(layers: Any) -> np.ndarray:
    return np.concatenate([W.ravel() for W in layers])


def _layers(case: Case, y: np.ndarray) -> np.ndarray:
    return y.reshape(case.depth, case.size, case.size)


def _products(case: Case, states: np.ndarray) -> np.ndarray:
    """Return W of every flat state."""
    return np.array([_end_to_end(_layers(case, y)) for y in states])


def _scipy() -> list[Contender]:
    sizes = {"RK45": ANY, "DOP853": ANY, "Radau": DENSE, "BDF": DENSE, "LSODA": DENSE}
    return [Contender("SciPy", name, partial(_with_scipy, name), n) for name, n in sizes.items()]


def _with_scipy(method: str, case: Case, rtol: float) -> np.ndarray:
    from scipy.integrate import solve_ivp

    found = solve_ivp(
        lambda t, y: _flat(_velocity(_layers(case, y), case.Phi)),  # noqa: ARG005
        (0, case.horizon),
        _flat(case.layers),
        method=method,
        t_eval=case.times,
        rtol=rtol,
        atol=_atol(case, rtol),
    )
    return _products(case, found.y.T)


# --- plain diffrax ----------------------------------------------------------------------------


def _diffrax() -> list[Contender]:
    sizes = {"Tsit5": ANY, "Dopri8": ANY, "Kvaerno5": DENSE}
    return [
        Contender("diffrax", name, partial(_with_diffrax, name), n) for name, n in sizes.items()
    ]


def _with_diffrax(name: str, case: Case, rtol: float) -> np.ndarray:
    tolerances = np.asarray(rtol), np.asarray(_atol(case, rtol))  # arrays: compiled once for all
    ys = _diffrax_program(name)(case.times, tuple(case.layers), case.Phi, *tolerances)
    return np.array([_end_to_end(layers) for layers in zip(*map(np.asarray, ys), strict=True)])


@cache
def _diffrax_program(name: str) -> Any:
    import diffrax
    import equinox as eqx

    term = diffrax.ODETerm(lambda t, y, Phi: _velocity(y, Phi))  # noqa: ARG005

    @eqx.filter_jit
    def program(times: Any, layers: Any, Phi: Any, rtol: Any, atol: Any) -> Any:
        return diffrax.diffeqsolve(
            term,
            getattr(diffrax, name)(),
            times[0],
            times[-1],
            None,
            layers,
            Phi,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
            saveat=diffrax.SaveAt(ts=times),
            max_steps=None,
        ).ys

    return program


# --- torchdiffeq ------------------------------------------------------------------------------


def _torchdiffeq() -> list[Contender]:
    return [
        Contender("torchdiffeq", name, partial(_with_torchdiffeq, name))
        for name in ("dopri5", "dopri8")
    ]


def _with_torchdiffeq(method: str, case: Case, rtol: float) -> np.ndarray:
    import torch
    from torchdiffeq import odeint

    torch.set_num_threads(1)
    Phi = torch.from_numpy(case.Phi)
    start = tuple(map(torch.from_numpy, case.layers))
    with torch.no_grad():
        found = odeint(
            lambda t, y: _velocity(y, Phi),  # noqa: ARG005
            start,
            torch.from_numpy(case.times),
            rtol=rtol,
            atol=_atol(case, rtol),
            method=method,
            options={"dtype": torch.float64},
        )
    return np.asarray(_end_to_end(found))


# --- CVODE ------------------------------------------------------------------------------------


def _cvode() -> list[Contender]:
    return [Contender("CVODE", "BDF-GMRES", _with_cvode)]


def _with_cvode(case: Case, rtol: float) -> np.ndarray:
    from sksundae.cvode import CVODE

    def velocity(t: float, y: np.ndarray, yp: np.ndarray) -> None:  # noqa: ARG001
        yp[:] = _flat(_velocity(_layers(case, y), case.Phi))

    solver = CVODE(
        velocity,
        method="BDF",
        linsolver="gmres",
        rtol=rtol,
        atol=_atol(case, rtol),
        max_num_steps=10_000_000,
    )
    return _products(case, solver.solve(case.times, _flat(case.layers)).y)
