"""Losses ℓ(W) of the end-to-end matrix: a value, a gradient and its properties, one class per loss.

Any differentiable function of W is a loss; `flowsim.loss` adds what is known about it. A new loss
is a subclass of `Loss` that overrides whichever properties it has.
"""

from flowsim.problem.losses.classification import Classifier, CrossEntropy, Logistic
from flowsim.problem.losses.differentiable import Differentiable, OverSamples
from flowsim.problem.losses.evaluation import gradients, values
from flowsim.problem.losses.layered import Layered
from flowsim.problem.losses.loss import Isotropic, Loss, value_and_gradient
from flowsim.problem.losses.regression import LeastSquares, PowerRegression
from flowsim.problem.losses.target import (
    Completion,
    Entries,
    Linear,
    Measurements,
    Sensing,
    Squared,
)

__all__ = [
    "Classifier",
    "Completion",
    "CrossEntropy",
    "Differentiable",
    "Entries",
    "Isotropic",
    "Layered",
    "LeastSquares",
    "Linear",
    "Logistic",
    "Loss",
    "Measurements",
    "OverSamples",
    "PowerRegression",
    "Sensing",
    "Squared",
    "gradients",
    "value_and_gradient",
    "values",
]
