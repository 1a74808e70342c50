"""What should not have happened: a sentence for users, a traceback for those who ask for it."""

from __future__ import annotations

import os

from flowsim.cli.terminal import tell


def confess(error: Exception, doing: str = "") -> None:
    """Ask for a report of an error that no user can cause; FLOWSIM_DEBUG=1 shows where it was."""
    if os.environ.get("FLOWSIM_DEBUG") == "1":
        import traceback

        tell("".join(traceback.format_exception(error)).rstrip())
    tell(
        f"flowsim made a mistake of its own{doing} ({type(error).__name__}: {error}). Please "
        f"report it with the command and the scenario; FLOWSIM_DEBUG=1 shows where it was."
    )
