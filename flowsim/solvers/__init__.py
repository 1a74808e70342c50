"""How a flow is integrated and gradient descent is iterated, with an error estimate."""
