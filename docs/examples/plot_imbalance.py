r"""
What does imbalance do to the end-to-end flow?
==============================================

The product of balanced layers, :math:`W_2^\top W_2 = W_1 W_1^\top`, moves as the end-to-end flow
says. Here the same product is made of layers that are not balanced, in two ways, more and more, and
the end-to-end flow, which knows the product alone, is compared with the flow of the layers.

- *A multiple of the identity*: :math:`W_2^\top W_2 - W_1 W_1^\top = \lambda I`.
- *A direction*: balanced layers, but with :math:`A W_1` and :math:`W_2 A^{-1}` in their place. This
  leaves the product as it is; :math:`A` stretches one hidden unit.
"""

import matplotlib.pyplot as plt
import numpy as np

import flowsim
from flowsim.problem import losses, network

target = np.diag([3.0, 2.0, 1.0])
sigma = np.diag([0.6, 0.5, 0.4])
lambdas = np.logspace(-3, 0, 7)


def of_identity(lam: float) -> list[np.ndarray]:
    """Return layers of the product diag(σ) whose imbalance is λI: w_2² - w_1² = λ, w_2 w_1 = σ."""
    above = np.sqrt((lam + np.sqrt(lam**2 + 4 * sigma.diagonal() ** 2)) / 2)
    return [np.diag(sigma.diagonal() / above), np.diag(above)]


def of_direction(lam: float) -> list[np.ndarray]:
    """Return layers of the same product, one hidden unit stretched by 1 + λ."""
    rotation, _ = np.linalg.qr(np.array([[1.0, 2, 0], [0, 1, 1], [1, 0, 1]]))
    A = np.diag([1.0, 1.0, 1.0 + lam]) @ rotation
    return [A @ np.sqrt(sigma), np.sqrt(sigma) @ np.linalg.inv(A)]


# %%
# The gap is the largest distance of the two products over the time that the network takes to learn.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for layers_of, name, marker, colour in (
    (of_direction, "a direction", "s", "#D55E00"),
    (of_identity, "multiple of I", "o", "#0072B2"),
):
    imbalance, gap = [], []
    for lam in lambdas:
        problem = flowsim.Problem(losses.Squared(target), layers_of(lam), horizon=4.0)
        layers, reduced = (
            flowsim.solve(problem, space, rtol=1e-11).end_to_end
            for space in ("layers", "end_to_end")
        )
        imbalance.append(float(network.imbalance(problem.layers)[0]))
        gap.append(np.linalg.norm(layers - reduced, axis=(1, 2)).max())
    order, _ = np.polyfit(np.log(imbalance[:4]), np.log(gap[:4]), 1)
    ax.loglog(imbalance, gap, marker, color=colour, label=f"{name}: order {order:.2f}")
    ax.loglog(imbalance, gap[0] * (np.array(imbalance) / imbalance[0]) ** round(order), color="0.7")
    print(f"{name}: order {order:.3f}, gap {gap[0]:.1e} to {gap[-1]:.1e}")

ax.set(
    xlabel="imbalance ‖W₂ᵀW₂ - W₁W₁ᵀ‖ of the start",
    ylabel="largest gap of the two flows",
    title="The gap grows as the imbalance, or as its square",
)
ax.legend(frameon=False)
plt.show()
