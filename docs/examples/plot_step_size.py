r"""
Does descent become the flow as its steps shrink?
=================================================

Iterate :math:`k` of gradient descent with the step size :math:`\eta` belongs to the time
:math:`k\eta` of gradient flow. Descent is Euler's method for the flow, so that the distance of the
two over a fixed time should be of order 1 in :math:`\eta`. We measure it over two decades, and fit
the order.
"""

import matplotlib.pyplot as plt
import numpy as np

import flowsim
from flowsim.problem import initialization, losses
from flowsim.solvers.descend import descend, iterations

rng = np.random.default_rng(0)
loss = losses.Squared(np.diag([2.0, 1.0, 0.5]))
problem = flowsim.Problem(loss, initialization.balanced([3, 4, 3], 0.3, rng), horizon=6.0)

# %%
# The flow must be known at exactly the times of the iterates that it is compared with, so we ask
# for it there.

step_sizes = [0.2 / 2**i for i in range(8)]
times = np.linspace(0.0, 6.0, 31)
iterate_times = np.unique(iterations(times, step_sizes) * np.array(step_sizes)[:, None])
flow = flowsim.solve(problem, times=times, between=np.setdiff1d(iterate_times, times), rtol=1e-10)
descent = descend(problem, step_sizes, times, reference=flow.matrices())
distance = descent.vs_flow.max(axis=1)

order, _ = np.polyfit(np.log(step_sizes[2:]), np.log(distance[2:]), 1)
print(f"order {order:.3f}; the flow's own error is about {flow.largest_error:.0e}")

# %%
# The line is :math:`\eta` itself, through the smallest step.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
line = distance[-1] * np.array(step_sizes) / step_sizes[-1]
ax.loglog(step_sizes, line, color="0.7", linewidth=3, label="in proportion to η")
ax.loglog(step_sizes, distance, "o", color="#0072B2", label="measured")
ax.set(
    xlabel="step size η",
    ylabel="largest distance of W from the flow",
    title=f"Descent is off the flow by η to the power {order:.2f}",
)
ax.legend(frameon=False)
plt.show()
