"""The command line: parse, call, print. No numerics."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from flowsim.cli import signals, terminal
from flowsim.cli.errors import CommandError, report_internal_error
from flowsim.process.environment import quiet


def entry() -> NoReturn:
    """Run the command that the process was started with, and exit with its code.

    The process exits without destroying the objects of JAX and Matplotlib, which would take 0.4 s:
    all files are closed by then, and temporary files have no name.
    """
    signals.ignore()  # outside `main`: a signal that is sent twice may arrive again after it
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done, 1 a claim failed, 2 bad input or usage, 3 the simulation could not be finished,
    130 after SIGINT, 143 after SIGTERM.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # searching for plugins takes 15 ms
    gc.set_threshold(400_000)  # scanning the many permanent objects of imports takes 0.2 s
    terminal.prepare()
    try:
        with signals.handled(), quiet:
            code = _run(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 2
    if failure := terminal.output_failure():
        terminal.print_message(failure)
        code = code or 2
    return code


def _run(arguments: Sequence[str] | None) -> int:
    import click

    from flowsim.cli.group import flowsim
    from flowsim.process.environment import SettingError

    try:
        command = ["flowsim", *(sys.argv[1:] if arguments is None else arguments)]
        return int(
            flowsim.main(command[1:], prog_name="flowsim", standalone_mode=False, obj=command) or 0
        )
    except (CommandError, SettingError) as error:
        terminal.print_message(str(error))
        return error.exit_code if isinstance(error, CommandError) else 2
    except click.ClickException as error:
        usage = (
            f"{error.ctx.get_usage()}\n\n"
            if isinstance(error, click.UsageError) and error.ctx
            else ""
        )
        terminal.print_message(f"{usage}Error: {error.format_message()}")
        return error.exit_code
    except MemoryError:
        terminal.print_message(
            "Not enough memory; no result is kept. Reduce network.widths, flow.samples or "
            "descent.step_sizes."
        )
        return 3
    except Exception as error:
        report_internal_error(error)
        return 3
