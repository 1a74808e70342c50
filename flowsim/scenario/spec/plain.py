"""Values from Python as those that a TOML file can hold."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any


def plain(value: Any) -> Any:
    """Return a value with NumPy's scalars, arrays and data frames as numbers, strings and lists.

    Raises
    ------
    ValueError
        If a set is in it, which has no order, or a key that is no string.

    """
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"has the key {strange[0]!r}; write strings as keys")
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Set):
        raise ValueError("is a set, which has no order; write a list")
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_numpy"):  # a data frame
        return value.to_numpy().tolist()
    return value
