"""The exception for what a problem does not have."""

from __future__ import annotations


class NotApplicable(ValueError):  # noqa: N818
    """A flow, formula or property does not exist here; the text is the condition that fails.

    It reads on from a name: "the loss must be quadratic, but the loss is Logistic".
    """
