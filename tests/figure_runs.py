"""Runs for testing figures, from formulas: a diagonal network of depth 2 on ½‖W − Φ‖².

Each mode of the flow is Saxe's s(t) = φ e^{2φt} / (e^{2φt} − 1 + φ/s₀); descent moves the layers'
entries a, with s = a², by a ← a + η a (φ − a²).
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from flowsim.results.run import Group, Run, Variable
from flowsim.scenario.spec.data import LOSSES
from flowsim.scenario.spec.descent import Descent
from flowsim.scenario.spec.flow import Flow
from flowsim.scenario.spec.loss import Loss

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

TARGET = np.array([3.0, 2.0, 1.0])
START = 1e-3


def loss_of(kind: str, power: float) -> Loss:
    """Return a loss without its data."""
    return LOSSES[kind].partial({"kind": kind, "p": power})


def scenario(title: str = "Three modes are learned", **changes: Any) -> Scenario:
    """Return what figures read of a scenario."""
    made = SimpleNamespace(
        title=title,
        loss=loss_of(changes.get("loss", "squared"), changes.get("power", 2.0)),
        data=changes.get("data"),
        network=SimpleNamespace(
            widths=changes.get("widths", (3, 3, 3)), depth=changes.get("depth", 2)
        ),
        descent=Descent(step_sizes=(0.1,), rule=changes.get("rule", "gradient")),
        flow=Flow(horizon=1.0, spacing=changes.get("spacing", "linear")),
        output=SimpleNamespace(figure=changes.get("figure"), plane_entries=None),
    )
    return cast("Scenario", made)


def group(**variables: tuple[tuple[str, ...], Any]) -> dict[str, Variable]:
    """Return variables from pairs of dimensions and values."""
    return {
        name: Variable(dims, np.asarray(values), {"long_name": name})
        for name, (dims, values) in variables.items()
    }


def saxe(time: np.ndarray, target: np.ndarray, start: float = START) -> np.ndarray:
    """Return the modes `(time, mode)` of the flow at depth 2."""
    decay = np.exp(-2 * np.outer(time, target))
    return np.asarray(target / (1 - decay + target / start * decay))


def measures(singular: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Return loss, effective rank and nuclear norm of singular values `(…, mode)`."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        total = singular.sum(axis=-1)
        share = singular / total[..., None]
        entropy = -np.sum(np.where(share > 0, share * np.log(share), 0), axis=-1)
        return {
            "loss": 0.5 * ((singular - target) ** 2).sum(axis=-1),
            "effective_rank": np.where(np.isfinite(total), np.exp(entropy), np.nan),
            "nuclear_norm": total,
            "distance_to_target": np.linalg.norm(singular - target, axis=-1),
        }


def flow(time: np.ndarray, target: np.ndarray, noise: float = 0.0, **more: Any) -> Group:
    """Return a space's group; `noise` is what it is wrong by at the end."""
    singular = saxe(time, target) * (1 + noise * time[:, None] / max(time[-1], 1e-300))
    matrices = singular[:, :, None] * np.eye(len(target))
    found = {name: (("time",), values) for name, values in measures(singular, target).items()}
    found["error_estimate"] = (("time",), 3e-9 * (time + 1e-2) / (time[-1] + 1e-2))
    return group(
        time=(("time",), time),
        singular_values=(("time", "mode"), singular),
        end_to_end=(("time", "output", "input"), matrices),
        **found,
        **more,
    )


def descent(time: np.ndarray, target: np.ndarray, sizes: list[float]) -> dict[str, Any]:
    """Return descent's arrays at the saved times, frozen as nan after it leaves 1e8."""
    samples = np.round(time[None, :] / np.array(sizes)[:, None]).astype(int)
    singular = np.full((*samples.shape, len(target)), np.nan)
    for k, eta in enumerate(sizes):
        entries, reached = np.full(len(target), START**0.5), 0
        for i, iteration in enumerate(samples[k]):
            for _ in range(iteration - reached):
                entries = entries + eta * entries * (target - entries**2)
                if np.abs(entries).max() > 1e8:
                    entries[:] = np.nan
                    break
            reached = iteration
            singular[k, i] = entries**2
    lost = ~np.isfinite(singular).all(axis=(1, 2))
    return {"samples": samples, "singular": singular, "lost": lost, "sizes": np.array(sizes)}


def descent_group(found: dict[str, Any], target: np.ndarray) -> Group:
    """Return `/descent` of what `descent` found."""
    sample = ("step_size", "sample")
    numbers = measures(found["singular"], target)
    numbers["loss"] = np.where(np.isnan(numbers["loss"]), np.inf, numbers["loss"])
    times = found["samples"] * found["sizes"][:, None]
    drift = np.minimum(found["sizes"][:, None] ** 2 * times, 50)
    pairs = np.stack([drift, 0.3 * drift], axis=-1)
    pairs[~np.isfinite(found["singular"]).all(axis=-1)] = np.nan
    return group(
        step_size=(("step_size",), found["sizes"]),
        iteration=(sample, found["samples"]),
        time=(sample, times),
        singular_values=((*sample, "mode"), found["singular"]),
        imbalance=((*sample, "pair"), pairs),
        outcome=(("step_size",), np.where(found["lost"], "diverged", "completed")),
        **{name: (sample, values) for name, values in numbers.items()},
    )


def sharpness(time: np.ndarray, target: np.ndarray) -> Group:
    """Return `/sharpness`: what the first mode's own two weights have, 3s - φ and φ - s."""
    s = saxe(time, target)[:, 0]
    ends = {"largest": 3 * s - target[0], "smallest": s - target[0]}
    return group(
        time=(("time",), time), **{name: (("time",), values) for name, values in ends.items()}
    )


def at_edges(run: Run) -> Run:
    """Return a run whose iterates have the sharpness of its flow, but at most 2/η."""
    largest, sizes = run["sharpness.largest"], run["descent.step_size"]
    values = {
        "step_size": (("step_size",), sizes),
        "iterate_time": (("step_size", "sample"), run["descent.time"]),
        "descent_sharpness": (
            ("step_size", "sample"),
            np.minimum(largest[None], 2 / sizes[:, None]),
        ),
    }
    return replace(
        run, groups={**run.groups, "sharpness": {**run.groups["sharpness"], **group(**values)}}
    )


def tangent_kernel(time: np.ndarray) -> Group:
    """Return `/tangent_kernel`: Θ of a scalar network of depth 2, 2s, which never turns."""
    s = saxe(time, TARGET)[:, 0]
    values = {"norm": 2 * s, "distance": s / START - 1, "angle": 0.3 * s / TARGET[0]}
    return group(
        time=(("time",), time), **{name: (("time",), each) for name, each in values.items()}
    )


def preconditioner(time: np.ndarray, target: np.ndarray) -> Group:
    """Return `/preconditioner` of depth 2: K_rc = s_r + s_c, and the shares of diag(s - φ)."""
    s = saxe(time, target)
    gap, step = s - target, 2 * s
    shares = {}
    for name, moved in (("gradient_share", gap), ("movement_share", step * gap)):
        squares = np.cumsum(moved**2, axis=1)
        with np.errstate(invalid="ignore"):
            shares[name] = (("time", "mode"), squares / squares[:, -1:])
    norms = np.linalg.norm(step * gap, axis=1) * np.linalg.norm(gap, axis=1)
    with np.errstate(invalid="ignore"):
        cosine = np.sum(step * gap**2, axis=1) / norms
    return group(
        time=(("time",), time),
        eigenvalues=(("time", "left", "right"), s[:, :, None] + s[:, None, :]),
        effective_step=(("time", "mode"), step),
        condition_number=(("time",), s.max(axis=1) / s.min(axis=1)),
        alignment=(("time",), cosine),
        error=(("time",), np.full(len(time), 1e-9)),
        **shares,
    )


def singular_value_law(time: np.ndarray, target: np.ndarray) -> Group:
    """Return `/singular_value_law` of depth 2, ṡ = 2s(φ - s), with rounding that oscillates."""
    s = saxe(time, target)
    law, rounding = 2 * s * (target - s), 1e-14 * np.cos(7 * time)[:, None]
    values = {"velocity": law + rounding, "law": law}
    values |= {"difference": np.abs(rounding) + 0 * s, "error": 3e-14 + 0 * s}
    return group(
        time=(("time",), time), **{name: (("time", "mode"), each) for name, each in values.items()}
    )


def margin(time: np.ndarray) -> Group:
    """Return `/margin`: what comes near 0.5 as 1/log t, while the norm grows as log t."""
    norm = np.log(2 + time)
    values = {"norm": norm, "margin": 0.5 - 0.2 / norm, "angle": 0.4 / norm}
    return group(
        time=(("time",), time),
        largest_margin=((), 0.5),
        error=((), 1e-15),
        **{name: (("time",), each) for name, each in values.items()},
    )


def convergence(time: np.ndarray, target: np.ndarray, sizes: list[float] | None) -> Group:
    """Return `/convergence`: P_W's smallest eigenvalue is 2s of the last mode, which only grows."""
    s = saxe(time, target)
    excess, smallest = 0.5 * ((s - target) ** 2).sum(axis=1), 2 * s[:, -1]
    decrease = (2 * s * (s - target) ** 2).sum(axis=1)
    left = (target[-1] - s[:, -1]) / (target[-1] - s[0, -1])  # e^{-∫2s dt}
    over_time = {
        "loss": excess,
        "excess_loss": excess,
        "error": 1e-9 * excess,
        "bound": excess[0] * np.exp(-2 * smallest[0] * time),
        "running_bound": excess[0] * left**2,
        "decrease": decrease,
        "rate": np.divide(decrease, excess, out=np.full_like(excess, np.nan), where=excess > 0),
        "smallest_eigenvalue": smallest,
    }
    single = {"rate_bound": 2 * smallest[0], "fewest_iterations": 2e6}
    found = np.array(["h = 1", f"{START:g}"])
    made = group(
        time=(("time",), time),
        **{name: (("time",), values) for name, values in over_time.items()},
        **{name: ((), value) for name, value in single.items()},
        hypothesis=(("hypothesis",), np.array(["white squared loss", "deficiency margin"])),
        found=(("hypothesis",), found),
        holds=(("hypothesis",), np.ones(2)),
    )
    if sizes:
        counts = 5 / np.array(sizes)
        made |= group(
            step_size=(("step_size",), sizes), iterations_measured=(("step_size",), counts)
        )
    return made


def explicit_loss(value: float = 0.2, answer: float = 0.0, bound: float = 1e-13) -> Group:
    """Return `/explicit_loss` of asymmetries from `value` down, and circulations a tenth of it."""
    share = np.linspace(1.0, 0.1, 12)
    around = np.array([0.1 * value, *(-0.1 * value * share)])
    known = share if answer == 1 else np.full(12, np.nan)
    points = {
        "time": np.array([*np.arange(6), *6 * [np.nan]]),
        "asymmetry": value * share,
        "asymmetry_bound": np.full(12, bound),
        "potential": known,
        "closed_form_deviation": known * 1e-15,
    }
    loops = {"circulation": around, "circulation_error": np.full(13, bound)}
    return group(
        conservative=((), answer),
        **{name: (("point",), values) for name, values in points.items()},
        **{name: (("loop",), values) for name, values in loops.items()},
    )


def norms(time: np.ndarray, target: np.ndarray) -> Group:
    """Return `/norms` of the modes."""
    singular = saxe(time, target)
    powers = {"schatten_half": 0.5, "schatten_two_thirds": 2 / 3, "nuclear_norm": 1, "frobenius": 2}
    found = {name: (singular**p).sum(axis=-1) ** (1 / p) for name, p in powers.items()}
    found |= {"spectral": singular.max(axis=-1), "schatten_depth": found["nuclear_norm"]}
    found["effective_rank"] = measures(singular, target)["effective_rank"]
    return group(
        time=(("time",), time), **{name: (("time",), values) for name, values in found.items()}
    )


def least(target: np.ndarray) -> Group:
    """Return `/minimum_nuclear_norm`: a matrix with the target's singular values, halved."""
    at_end = norms(np.array([1e3]), target / 2)
    known = {name: ((), v.values[0]) for name, v in at_end.items() if name != "time"}
    bounds = {"lower_bound": ((), target.sum() / 2), "residual": ((), 0.0)}
    away = {"distance_to_target": ((), np.linalg.norm(target / 2))}
    return group(**known, **bounds, **away, singular_values=(("mode",), target / 2))


def speed(sizes: np.ndarray, target: np.ndarray) -> Group:
    """Return `/speed` as near the minimum: an error that shrinks by 1 - 2ηφ an iteration."""
    levels = 10.0 ** -np.arange(1, 5)
    with np.errstate(divide="ignore"):  # a step that goes all the way
        rate = -2 * np.log(np.abs(1 - 2 * np.outer(sizes, target).min(axis=1)))
    count = np.ceil(-np.log(levels) / rate[:, None])
    by = ("level",)
    return group(
        level=(by, levels),
        step_size=(("step_size",), sizes),
        iterations=(("step_size", "level"), count),
        best_iterations=(by, count.min(axis=0)),
        best_step_size=(by, sizes[count.argmin(axis=0)]),
    )


def drift_budget(found: dict[str, Any], apart: Group) -> Group:
    """Return `/drift_budget` of `/descent`: half of its distance from the flow is drift's."""
    sample, drift = ("step_size", "sample"), found["imbalance"].values
    distance = apart["descent_vs_flow"].values
    pairs = {
        "accumulated": drift,
        "measured": drift * (1 + 1e-9),
        "difference": 1e-9 * drift,
        "error": 3e-9 * drift,
    }
    return group(
        step_size=(("step_size",), found["step_size"].values),
        time=(sample, found["time"].values),
        cost=(sample, 0.55 * np.maximum.accumulate(distance, axis=1)),
        rebalanced=(sample, 0.5 * distance),
        **{name: ((*sample, "pair"), values) for name, values in pairs.items()},
    )


def tracking_bound(time: np.ndarray, found: dict[str, Any], apart: Group) -> Group:
    """Return `/tracking_bound`: local errors that die away, and a bound of twice the distance."""
    sample, distance = ("step_size", "sample"), apart["descent_vs_flow"].values
    end = max(float(time[-1]), 1.0)
    over_time = {
        "density": 3 * np.exp(-4 * time / end),
        "smallest": -0.5 * np.exp(-time / end),
        "amplification": np.exp(0.5 * end * -np.expm1(-time / end)),
    }
    over_steps = {"distance": distance, "bound": 2 * np.maximum.accumulate(distance, axis=1)}
    return group(
        time=(("time",), time),
        **{name: (("time",), values) for name, values in over_time.items()},
        step_size=(("step_size",), found["step_size"].values),
        iterate_time=(sample, found["time"].values),
        **{name: (sample, values) for name, values in over_steps.items()},
    )


def step_size_thresholds(target: np.ndarray, sizes: list[float]) -> Group:
    """Return `/step_size_thresholds` in units of 2/λ = 1/φ_1: fates change at 0.1, 1, 1.3 and 2."""
    edge = 1 / target[0]
    eta = np.unique(np.r_[edge * np.geomspace(1e-3, 4, 120), sizes])
    single = {
        "critical_start": 3 * edge,
        "critical_end": edge,
        "critical_flow": edge,
        "convergence_lost": edge,
        "oscillation": edge,
        "divergence": 2 * edge,
        "order": 1.0,
        "order_low": 0.99,
        "order_high": 1.02,
        "order_factor": 0.9,
        "order_bend": 0.5,
        "order_smallest": eta[0],
        "order_largest": 0.01 * edge,
    }
    by_size = {
        "fate": np.searchsorted([0.1, 1, 1.3, 2], eta / edge, side="right").astype(float),
        "distance": np.where(eta < 2 * edge, 0.9 * eta * np.exp(0.5 * eta), np.inf),
        "final_loss": np.where(eta < 2 * edge, 1e-9 + eta**3, np.inf),
    }
    made = {name: ((), value) for name, value in single.items()}
    levels = {"level": [0.1, 0.01], "allowed": [0.09 * edge, 0.009 * edge]}
    levels |= {"tracking": [0.1 * edge, 0.01 * edge]}
    return group(
        **made,
        **{name: (("level",), values) for name, values in levels.items()},
        scanned=(("scanned",), eta),
        **{f"scanned_{name}": (("scanned",), values) for name, values in by_size.items()},
    )


def oscillation(target: np.ndarray) -> Group:
    """Return `/oscillation` of the map u ← u - x u(u² - 1), x = ηφ, which escapes past x = 2."""
    eta = np.linspace(0.8, 2.2, 24) / target[0]
    x = eta[:, None] * target
    u, orbit = np.full(x.shape, 0.9), np.full((*x.shape, 16), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(200):
            u = u - x * u * (u**2 - 1)
            orbit[..., k % 16] = target * u**2
        lost = ~np.isfinite(orbit).all(axis=(1, 2))
        orbit[lost] = np.nan
        # the 2-cycle has uv = 1/x and u² + v² = 1 + 1/x, and is stable up to √5 - 1
        half = np.sqrt((1 + 1 / x) ** 2 - 4 / x**2) / 2
        known = (x > 1) & (x < np.sqrt(5) - 1)
        low, high = (
            np.where(known, target * ((1 + 1 / x) / 2 + sign * half), np.nan) for sign in (-1, 1)
        )
    critical = 1 / target
    grid = ("step_size", "mode")
    return group(
        step_size=(("step_size",), eta),
        orbit=((*grid, "visit"), orbit),
        predicted_low=(grid, low),
        predicted_high=(grid, high),
        highest_loss=(("step_size",), np.where(lost, np.inf, 1.0)),
        target=(("mode",), target),
        critical=(("mode",), critical),
        turning=(("mode",), np.full(target.size, np.nan)),
        second_doubling=(("mode",), (np.sqrt(5) - 1) * critical),
        sign_change=(("mode",), 1.598 * critical),
        onset=(("mode",), np.where(critical < eta[-1], critical, np.nan)),
    )


def descriptions(found: dict[str, Any]) -> Group:
    """Return `/descriptions` in orders 1 and 2 of η, broken from η = 0.1 on."""
    sizes, sample = found["sizes"], ("step_size", "sample")
    time = found["samples"] * sizes[:, None]
    off = sizes[:, None] * np.tanh(time)
    off[found["lost"]] = np.where(time[found["lost"]] < 3, off[found["lost"]], np.nan)
    away = {"flow": off, "modified": off**2, "principal": off**2 / 3, "central": off / 2}
    broken = np.where(sizes >= 0.1, 0.2 / sizes, np.nan)
    whole = np.full_like(broken, np.nan)
    ends = {name: whole if name == "central" else broken for name in away}
    return group(
        step_size=(("step_size",), sizes),
        time=(sample, time),
        sharpness_over_limit=(sample, 5 * sizes[:, None] * np.tanh(time)),
        **{name: (sample, values) for name, values in away.items()},
        **{f"{name}_error": (sample, 1e-9 * time) for name in away},
        **{f"{name}_broken_at": (("step_size",), at) for name, at in ends.items()},
    )


def momentum_flow(found: dict[str, Any]) -> Group:
    """Return `/momentum_flow` in orders 1 and 2 of η, σ_1 swinging about what the flows say."""
    sizes, sample = found["sizes"][:, None], ("step_size", "sample")
    time, strength = found["samples"] * sizes, found["singular"][..., 0]
    alive = np.where(np.isfinite(strength), 1.0, np.nan)
    off = sizes * np.tanh(time) * alive
    away = {"flow": off, "inertia": off**2, "high_resolution": off**2 / 5}
    return group(
        step_size=(("step_size",), found["sizes"]),
        time=(sample, time),
        strength=(sample, strength),
        **{name: (sample, values) for name, values in away.items()},
        **{f"{name}_error": (sample, 1e-9 * time) for name in away},
        **{f"{name}_strength": (sample, strength + values) for name, values in away.items()},
    )


def sgd_noise(found: dict[str, Any], target: np.ndarray) -> Group:
    """Return `/sgd_noise` in orders 1, 2 and 3/2 of η, around descent; none past divergence."""
    sizes, sample = found["sizes"], ("step_size", "sample")
    time = found["samples"] * sizes[:, None]
    known = np.where(np.isfinite(found["singular"]).all(axis=-1), 1.0, np.nan)
    known[found["lost"], 1:] = np.nan
    off, loss = sizes[:, None] * np.tanh(time), measures(found["singular"], target)["loss"]
    values = {"time": time, "trace": known * (2 + np.exp(-time)), "trace_error": 0.1 * known}
    for k, source in enumerate(("descent", "first", "second")):
        values |= {f"{source}_loss": known * loss * (1 + k * off)}
        values |= {f"{source}_loss_deviation": known * loss * np.sqrt(off)}
    away = {"weak_first": off, "weak_second": off**2, "strong_first": off / 2}
    for name, each in (away | {"strong_second": off**1.5}).items():
        values |= {name: known * each, f"{name}_error": known * each / 5}
    return group(
        runs=((), 100),
        step_size=(("step_size",), sizes),
        **{name: (sample, each) for name, each in values.items()},
    )


def plane(time: np.ndarray, target: np.ndarray, found: dict[str, Any] | None) -> Group:
    """Return the plane of the first two singular values."""
    u, v = np.linspace(-0.3, 1.25 * target[0], 61), np.linspace(-0.3, 1.4 * target[1], 61)
    loss = 0.5 * ((u[None, :] - target[0]) ** 2 + (v[:, None] - target[1]) ** 2)
    path = saxe(time, target)[:, :2]
    made = group(
        u=(("u",), u),
        v=(("v",), v),
        loss=(("v", "u"), loss),
        layers=(("layers_time", "axis"), path),
        end_to_end=(("end_to_end_time", "axis"), path),
        layers_time=(("layers_time",), time),
        end_to_end_time=(("end_to_end_time",), time),
        lowest_loss=((), 0.0),
        minimum=(("end", "axis"), [target[:2], target[:2]]),
    )
    if found is not None:
        dims = ("step_size", "sample", "axis")
        made |= group(descent=(dims, found["singular"][..., :2]))
    named = {name: f"entry w₁₁ ({name})" for name in ("u", "v")}
    return {
        name: Variable(v.dims, v.values, {"long_name": named.get(name, name)})
        for name, v in made.items()
    }


def plain(
    *,
    sizes: list[float] | None = None,
    time: np.ndarray | None = None,
    target: np.ndarray = TARGET,
    apart: float = 1e-10,
    exact: bool = True,
    name: str = "three-modes",
    **changes: Any,
) -> Run:
    """Return a run with both flows and, with `sizes`, descent; `apart` is the gap it shows."""
    time = np.linspace(0, 6, 201) if time is None else time
    jitter = 1e-13 * (1 + np.sin(40 * time) ** 2)
    pairs = np.stack([0.02 + jitter, 1e-3 + jitter / 7], axis=-1)
    groups: dict[str, Group] = {
        "layers": flow(time, target, imbalance=(("time", "pair"), pairs)),
        "end_to_end": flow(time, target, apart),
    }
    groups["sharpness"] = sharpness(time, target)
    groups["tangent_kernel"], groups["margin"] = tangent_kernel(time), margin(time)
    groups["convergence"] = convergence(time, target, sizes)
    groups["preconditioner"] = preconditioner(time, target)
    groups["singular_value_law"] = singular_value_law(time, target)
    groups["explicit_loss"] = explicit_loss()
    groups["norms"], groups["minimum_nuclear_norm"] = norms(time, target), least(target)
    gap = np.linalg.norm(
        groups["end_to_end"]["singular_values"].values - groups["layers"]["singular_values"].values,
        axis=1,
    )
    compared = group(time=(("time",), time), end_to_end_vs_layers=(("time",), gap))
    found = descent(time, target, sizes) if sizes else None
    if found is not None:
        groups["descent"] = descent_group(found, target)
        groups["speed"] = speed(np.array(sizes), target)
        groups["descriptions"] = descriptions(found)
        groups["oscillation"] = oscillation(target)
        groups["sgd_noise"] = sgd_noise(found, target)
        groups["step_size_thresholds"] = step_size_thresholds(target, sizes)
        groups["momentum_flow"] = momentum_flow(found)
        truth = saxe(groups["descent"]["time"].values.ravel(), target)
        off = np.linalg.norm(found["singular"] - truth.reshape(found["singular"].shape), axis=2)
        compared |= group(descent_vs_flow=(("step_size", "sample"), off))
        groups["drift_budget"] = drift_budget(groups["descent"], compared)
        groups["tracking_bound"] = tracking_bound(time, groups["descent"], compared)
    groups["comparison"] = compared
    if exact:
        keys = ("time", "singular_values", "loss", "end_to_end")
        groups["exact"] = {key: flow(time, target)[key] for key in keys}
    if len(target) > 1:
        groups["plane"] = plane(time, target, found)
    return Run(name, scenario(**changes), groups, {"outcome": {"layers": "completed"}})


def with_variants(**runs: Run) -> Run:
    """Return a run over variants."""
    return Run("several", scenario("Three modes at several depths"), {}, {}, runs)


def replaced(run: Run, path: str, values: np.ndarray | None) -> Run:
    """Return the run with other values at a path, or without that variable."""
    space, _, name = path.partition(".")
    groups = {key: dict(variables) for key, variables in run.groups.items()}
    old = groups[space].pop(name)
    if values is not None:
        groups[space][name] = Variable(old.dims, values, old.attributes)
    return Run(run.name, run.scenario, groups, run.summary)
