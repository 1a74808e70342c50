"""Summary tables of objects: aligned text in a terminal, HTML in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def as_text(title: str, rows: Mapping[str, str]) -> str:
    """Return a title and labelled rows as aligned text, one row per line."""
    width = max((len(label) for label in rows), default=0)
    lines = [f"  {label:<{width}}  {value}" for label, value in rows.items()]
    return "\n".join([title, *lines])


def as_html(title: str, rows: Mapping[str, str]) -> str:
    """Return a title and labelled rows as an HTML table."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(label)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for label, value in rows.items()
    )
    return f"<table><caption><b>{escape(title)}</b></caption>{body}</table>"
