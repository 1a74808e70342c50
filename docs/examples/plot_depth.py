r"""
Does depth change how a mode is learned?
========================================

A linear network of any depth expresses the same matrices, but gradient flow reaches them on
different paths. Seen in one mode of the target, of strength :math:`\phi`, a balanced network of
:math:`N` layers obeys

.. math:: \dot s = N s^{2-2/N} (\phi - s).

One layer leaves at once and slows down. From two layers on the mode waits near 0, which is a
saddle, and then rises the more suddenly the more layers there are.
"""

import matplotlib.pyplot as plt
import numpy as np

import flowsim
from flowsim.pictures.kit.style import OKABE_ITO
from flowsim.problem import initialization, losses
from flowsim.theory.exact.modes import mode

phi, start = 3.0, 0.03
times = np.linspace(0.0, 3.0, 121)
loss = losses.Squared(phi * np.eye(2))

# %%
# Each network is two wide and starts at the same end-to-end matrix, 0.03 of the target's direction.
# Its layers are all alike, so they are balanced. The exact solution is in
# :mod:`flowsim.theory.exact.modes`.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for depth, colour in zip((1, 2, 3, 4), OKABE_ITO, strict=False):
    layers = initialization.aligned([2] * (depth + 1), start, phi * np.eye(2))
    flow = flowsim.solve(flowsim.Problem(loss, layers, times[-1]), times=times)
    exact = mode(times, start, phi, depth)
    ax.plot(times, flow.singular_values[:, 0], color=colour, label=f"N = {depth}")
    ax.plot(times, exact, color="black", linewidth=0.8, linestyle=(0, (4, 4)))
    off = np.abs(flow.singular_values[:, 0] - exact).max()
    print(f"N = {depth}: off the exact solution by {off:.0e}, estimated {flow.largest_error:.0e}")

ax.axhline(phi, color="0.6", linewidth=0.8)
ax.set(xlabel="time t", ylabel="singular value s", title="The deeper, the later and the steeper")
ax.legend(title="flow; dashes: exact", frameon=False)
plt.show()

# %%
# From a smaller start the order is the same and the waits are longer: at depth 2 in proportion to
# :math:`\log(1/s_0)`, at depth 3 and beyond as the power :math:`s_0^{2/N-1}`.
