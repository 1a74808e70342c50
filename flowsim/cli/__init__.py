"""The command line: parse, call, print. No numerics."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from flowsim.cli import mistakes, signals, terminal


def entry() -> NoReturn:
    """Answer the command that the process was started with, and end it.

    It ends without taking JAX and matplotlib apart object by object, which takes 0.4 s: files are
    closed by then, and what is temporary has no name.
    """
    signals.ignore()  # but within `main`: the same signal sent twice may come after it
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one command and return the exit code.

    0 done, 1 a claim failed, 2 bad input or usage, 3 the simulation could not be finished,
    130 after SIGINT, 143 after SIGTERM.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # looking for them takes 15 ms
    gc.set_threshold(400_000)  # imports make much that lives on; looking through it takes 0.2 s
    terminal.prepare()
    try:
        with signals.handled():
            code = _answer(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 2
    if complaint := terminal.unheard():
        terminal.tell(complaint)
        code = code or 2
    return code


def _answer(arguments: Sequence[str] | None) -> int:
    import click

    from flowsim.cli.group import flowsim
    from flowsim.cli.refusal import Refusal

    try:
        return int(flowsim.main(arguments, prog_name="flowsim", standalone_mode=False) or 0)
    except Refusal as refusal:
        terminal.tell(str(refusal))
        return refusal.exit_code
    except click.ClickException as error:
        usage = (
            f"{error.ctx.get_usage()}\n\n"
            if isinstance(error, click.UsageError) and error.ctx
            else ""
        )
        terminal.tell(f"{usage}Error: {error.format_message()}")
        return error.exit_code
    except MemoryError:
        terminal.tell("The memory of this machine does not suffice for this.")
        return 3
    except Exception as error:
        mistakes.confess(error)
        return 3
