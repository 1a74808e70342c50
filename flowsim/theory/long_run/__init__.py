"""The long-term behaviour of gradient descent: convergence, oscillation, divergence."""
