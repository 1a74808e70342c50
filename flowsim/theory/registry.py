"""Every diagnostic by its name: that of its group in the results and of its key in `[output]`."""

from __future__ import annotations

from flowsim.theory.convergence.spec import CONVERGENCE
from flowsim.theory.drift_budget.spec import DRIFT_BUDGET
from flowsim.theory.explicit_loss.spec import EXPLICIT_LOSS
from flowsim.theory.margin.spec import MARGIN
from flowsim.theory.measure import Measure
from flowsim.theory.minimum_nuclear_norm.spec import MINIMUM_NUCLEAR_NORM
from flowsim.theory.modified_flows.spec import DESCRIPTIONS
from flowsim.theory.momentum_flow.spec import MOMENTUM_FLOW
from flowsim.theory.norms.spec import NORMS
from flowsim.theory.oscillation.spec import OSCILLATION
from flowsim.theory.preconditioner.spec import PRECONDITIONER
from flowsim.theory.sgd_noise.spec import SGD_NOISE
from flowsim.theory.sharpness.spec import SHARPNESS
from flowsim.theory.singular_value_law.spec import SINGULAR_VALUE_LAW
from flowsim.theory.speed.spec import SPEED
from flowsim.theory.step_size_thresholds.spec import STEP_SIZE_THRESHOLDS
from flowsim.theory.tangent_kernel.spec import TANGENT_KERNEL
from flowsim.theory.tracking_bound.spec import TRACKING_BOUND

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        NORMS,
        MINIMUM_NUCLEAR_NORM,
        SHARPNESS,
        TANGENT_KERNEL,
        MARGIN,
        CONVERGENCE,
        PRECONDITIONER,
        SINGULAR_VALUE_LAW,
        DESCRIPTIONS,
        OSCILLATION,
        EXPLICIT_LOSS,
        SPEED,
        DRIFT_BUDGET,
        TRACKING_BOUND,
        STEP_SIZE_THRESHOLDS,
        MOMENTUM_FLOW,
        SGD_NOISE,
    )
}
"""Every diagnostic by name, in the order in which their figures are offered."""
