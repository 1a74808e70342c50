"""What installed packages add: their modules are imported before the first scenario is read."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from flowsim.process.environment import SettingError

GROUP = "flowsim"
"""The group of entry points that name the modules."""


@cache
def load_plugins() -> None:
    """Import what installed packages register, once per process.

    Raises
    ------
    SettingError
        If a module cannot be imported, with its name.

    """
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            raise SettingError(
                f"The plugin {point.name!r} ({point.value}) cannot be imported: {error}. Uninstall "
                "or mend its package."
            ) from error
