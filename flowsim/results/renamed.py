"""Variables whose name changed after version 0.1.0."""

from __future__ import annotations

from collections.abc import Mapping

RENAMED: Mapping[tuple[str, str], str] = {
    ("explicit_loss", "closed_form_apart"): "closed_form_deviation",
}
"""Present name of a variable by its group and its former name.

Archives are read with present names; a claim with a former name is answered with the present one.
"""
