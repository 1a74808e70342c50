"""A bound on the distance of gradient descent from gradient flow."""
