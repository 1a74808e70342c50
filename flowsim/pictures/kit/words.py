"""Numbers and lists in the words of titles, labels and legends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def number(value: float, digits: int = 3) -> str:
    """Return a number in words of `digits` significant digits, as 0.12 or 2.1×10⁻⁹.

    Powers of ten are used below 10⁻³ and from 10⁴ on.
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    # the exponent is that of the rounded number: 9999.6 counts as 10⁴
    if value == 0 or -3 <= int(exponent) <= 3:
        plain = f"{float(f'{mantissa}e{exponent}'):.{max(digits, 4)}g}"
        return plain.replace("-", "−")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    head = {"1": "", "-1": "−"}.get(mantissa, mantissa.replace("-", "−") + "×")
    return head + power


def percent(fraction: float) -> str:
    """Return a fraction in percent, capped at ten times the whole."""
    return "over 1000 %" if fraction > 10 else f"{number(100 * fraction, 2)} %"


def distinct_numbers(values: Sequence[float]) -> list[str]:
    """Return numbers in as few digits, three or more, as make different ones differ."""
    for digits in range(3, 17):
        texts = [number(value, digits) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def join_words(parts: Iterable[str], most: int = 6) -> str:
    """Return "a, b and c", or "a, b, …" if there are more than `most`."""
    items = list(parts)
    if len(items) > most:
        return ", ".join(items[:most]) + ", …"
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def with_subscripts(letter: str, *indices: int) -> str:
    """Return a letter with subscripts: `with_subscripts("σ", 1)` is σ₁."""
    separator = "," if any(index > 9 for index in indices) and len(indices) > 1 else ""
    return letter + separator.join(str(index).translate(SUBSCRIPTS) for index in indices)


def truncate(text: str, length: int) -> str:
    """Return one line of at most `length` printable characters; … stands for what is omitted."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length else line[: max(length - 1, 0)].rstrip() + "…"
