"""What a scenario says of itself on its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.scenario.spec.errors import shown
from flowsim.scenario.spec.forms import (
    Count,
    FileRef,
    Fraction,
    IdentityMultiple,
    RankNorm,
    Spectrum,
    StepSizeRange,
)

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.data import Data
    from flowsim.scenario.spec.descent import Descent
    from flowsim.scenario.spec.flow import Flow
    from flowsim.scenario.spec.forms import Observed, Target
    from flowsim.scenario.spec.init import Init
    from flowsim.scenario.spec.loss import Loss
    from flowsim.scenario.spec.network import Network

UNITS = {
    "start": "2/sharpness at the start",
    "minimum": "2/sharpness at the minimum",
    "flow": "the least 2/sharpness along the flow",
}
"""What the unit of step sizes is, by where it is taken."""


def claim_sentence(claim: Claim) -> str:
    """Return what a claim says, as a sentence without its full stop."""
    where = "".join(f" at {dimension} {value:.12g}" for dimension, value in picks(claim))
    if claim.trend is not None:
        leeway = "" if claim.within is None else f", give or take {claim.within:.12g}"
        return f"{claim.quantity}{where} is {claim.trend}{leeway}"
    subject = f"{claim.reduce} of {claim.quantity}{where}"
    if claim.order is not None:
        order = f"{claim.order:.12g} in the step size within {claim.within:.12g}"
        return f"{subject} is of order {order}"
    if claim.equals is not None:
        return f"{subject} equals {claim.equals:.12g} within {claim.within:.12g}"
    if claim.below is not None:
        return f"{subject} is below {claim.below:.12g}"
    if claim.above is not None:
        return f"{subject} is above {claim.above:.12g}"
    if claim.below_quantity is not None:
        return f"{subject} is below that of {claim.below_quantity}"
    return f"{subject} is above that of {claim.above_quantity}"


def picks(claim: Claim) -> list[tuple[str, float]]:
    """Return the dimensions along which a claim picks an entry, with the wanted index or value."""
    return [] if claim.at is None else [(d, x) for d, x in claim.at if x is not None]


def describe_network(network: Network) -> str:
    """Return the row of the network on the card."""
    widths = [str(width) for width in network.widths]
    if len(widths) > 12:
        widths = [*widths[:6], "…", *widths[-5:]]
    return f"{' → '.join(widths)}, depth {network.depth}"


def describe_loss(loss: Loss) -> str:
    """Return the row of the loss on the card."""
    parts = [loss.kind.replace("_", "-")]
    if loss.kind == "regression":
        parts.append(f"p = {loss.power:g}")
    if loss.target is not None:
        parts.append(f"target {_target(loss.target)}")
    if loss.observed is not None:
        parts.append(f"observed {_observed(loss.observed)}")
    if loss.measurements is not None:
        parts.append(f"{loss.measurements} measurements")
    return ", ".join(parts)


def _target(target: Target) -> str:
    match target:
        case Spectrum():
            values = [f"{value:g}" for value in target.spectrum]
            return f"with singular values {', '.join(values[:6])}{', …' if len(values) > 6 else ''}"
        case RankNorm():
            return f"of rank {target.rank} and norm {target.norm:g}"
        case IdentityMultiple():
            return f"{target.identity:g} · I"
        case FileRef():
            return f"from {shown(target.file.name)}"
        case _:
            return f"{len(target)} × {len(target[0])} as written"


def _observed(observed: Observed) -> str:
    match observed:
        case Count():
            return f"{observed.count} entries"
        case Fraction():
            return f"{observed.fraction:.3g} of the entries"
        case _:
            return f"{sum(map(sum, observed))} entries as written"


def describe_data(data: Data) -> str:
    """Return the row of the data on the card."""
    parts: list[str] = [data.dataset or "inputs and targets of its own"]
    parts += [word for word in ("standardize", "whiten") if getattr(data, word)]
    if data.samples is not None:
        parts.append(f"{data.samples} samples")
    if data.held_out:
        parts.append(f"{data.held_out:g} held out")
    return ", ".join(parts)


def describe_init(init: Init) -> str:
    """Return the row of the initialization on the card."""
    parts = [init.kind.replace("_", "-")]
    if init.scale is not None:
        parts.append(f"scale {init.scale:g}")
    if init.imbalance is not None:
        parts.append(f"imbalance {init.imbalance:g}")
    if init.noise:
        parts.append(f"noise {init.noise:g}")
    return ", ".join(parts)


def describe_flow(flow: Flow) -> str:
    """Return the row of the flow on the card."""
    decay = f", weight decay {flow.weight_decay:g}" if flow.weight_decay else ""
    return (
        f"{' and '.join(flow.spaces)} to time {flow.horizon:g}, {flow.samples} {flow.spacing} "
        f"times, {flow.method}, rtol {flow.rtol:g}{decay}"
    )


def describe_descent(descent: Descent) -> str:
    """Return the row of gradient descent on the card."""
    listing = _step_sizes(descent)
    mu = descent.momentum if isinstance(descent.momentum, str) else f"{descent.momentum:g}"
    momentum = f", momentum {mu}" if descent.momentum else ""
    other = f"{descent.algorithm}, " if descent.algorithm != "gradient" else ""
    noise = "" if descent.batch is None else f", batches of {descent.batch}"
    noise += "" if descent.label_noise is None else f", label noise {descent.label_noise:g}"
    return f"{other}step sizes {listing}{momentum}{noise}, {descent.precision}"


def _step_sizes(descent: Descent) -> str:
    sizes = [f"{size:g}" for size in descent.written]
    if isinstance(descent.step_sizes, StepSizeRange):
        listing = f"{len(sizes)} from {sizes[0]} to {sizes[-1]} ({descent.step_sizes.spacing})"
    else:
        listing = ", ".join(sizes[:8]) + (f", … ({len(sizes)})" if len(sizes) > 8 else "")
    return listing + (f" · {UNITS[descent.relative_to]}" if descent.relative_to else "")
