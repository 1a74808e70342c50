"""Pictures of flows and of gradient descent, drawn from a run alone."""

FORMATS = ("png", "svg", "pdf")
ANIMATION_FORMATS = ("webp", "gif")
"""Formats of files, the default first; here, where the command line reads them in no time."""
