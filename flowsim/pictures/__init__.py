"""Pictures of flows and of gradient descent, drawn from a run alone."""
