"""The dynamics that are compared: formulations of the gradient flow, and gradient descent."""
