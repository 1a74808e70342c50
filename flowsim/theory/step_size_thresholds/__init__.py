"""The step sizes at which gradient descent leaves the flow, oscillates and diverges."""
