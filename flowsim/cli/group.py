"""The commands by name, with their modules, each imported when its command is called."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from flowsim.cli import completion

_COMMANDS = {
    "list": "scenarios",
    "show": "scenarios",
    "run": "run",
    "plot": "plot",
    "compare": "compare",
    "verify": "verify",
    "doctor": "doctor",
    "schema": "scenarios",
}

completion.install()


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"flowsim.cli.{_COMMANDS[cmd_name]}")
        return cast(click.Command, getattr(module, f"{cmd_name}_command"))


def _version(context: click.Context, _parameter: click.Parameter, show: bool) -> None:
    if show:
        from flowsim import __version__
        from flowsim.cli.terminal import print_answer

        print_answer(f"flowsim {__version__}")
        context.exit()


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def flowsim() -> None:
    """See how deep linear networks learn.

    Simulate gradient flow, its end-to-end flow and gradient descent from one initialization.
    `flowsim list` lists the named scenarios; `flowsim run NAME` simulates one.
    """
