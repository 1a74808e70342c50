r"""
A loss of one's own: a target with one wrong entry
==================================================

Of a rank-one matrix :math:`\Phi` one entry was misread, by far. We fit what was read,
:math:`\Phi + E`, with a linear network of three layers, once by the squared loss, and once by a
loss that grows only linearly far away,

.. math:: \ell(W) = \sum_{ij} \log \cosh (W - \Phi - E)_{ij}.

Both losses are zero only where :math:`W` has the wrong entry too. How near does each come to
:math:`\Phi` on the way?
"""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import flowsim
from flowsim.problem import initialization, losses
from flowsim.problem.types import Matrix, Scalar

direction = np.ones(6) / np.sqrt(6)
truth = 3.0 * np.outer(direction, direction)
read = truth.copy()
read[1, 4] += 4.0

# %%
# Any function of :math:`W` written with ``jax.numpy`` is a loss; JAX differentiates it.


def log_cosh(W: Matrix) -> Scalar:
    """Return Σ log cosh(W - Φ - E), written so that it does not overflow."""
    E = W - read
    return jnp.sum(jnp.logaddexp(E, -E) - jnp.log(2.0))


start = initialization.balanced([6, 6, 6, 6], 1e-3, np.random.default_rng(2))
times = np.linspace(0.0, 14.0, 281)

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for loss, name, colour in (
    (losses.Squared(read), "½‖W - Φ - E‖²", "#D55E00"),
    (log_cosh, "Σ log cosh (W - Φ - E)", "#0072B2"),
):
    flow = flowsim.solve(flowsim.Problem(loss, start, times[-1]), times=times)
    off = np.linalg.norm(flow.end_to_end - truth, axis=(1, 2))
    nearest = off.argmin()
    ax.plot(times, off, color=colour, label=name)
    ax.plot(times[nearest], off[nearest], "o", color=colour)
    print(f"{name}: nearest {off[nearest]:.2f} at t = {times[nearest]:.2f}, end {off[-1]:.2f}")

ax.axhline(4.0, color="0.6", linewidth=0.8)
ax.set(
    xlabel="time t",
    ylabel="distance ‖W - Φ‖ from the truth",
    ylim=(0, None),
    title="The robust loss passes near the truth before it learns the error",
)
ax.legend(frameon=False)
plt.show()

# %%
# Small layers are first drawn along the strongest direction of the gradient at 0. For the squared
# loss that is :math:`\Phi + E`, in which the error weighs more than the truth; for the other it is
# :math:`\tanh(\Phi + E)`, in which no entry weighs more than 1. So the truth comes first, and the
# error later, when :math:`W` is already near :math:`\Phi`. Neither loss keeps it out: both end at
# the distance 4 of the wrong entry (the grey line).
