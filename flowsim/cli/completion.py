"""Completion in the shell: names of scenarios and figures, keys of `--set` and their values.

Nothing here imports NumPy or JAX, so that a press of the tabulator is answered at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

FILES = CompletionItem("", type="file")
"""Lets the shell complete the names of files; for bash it must come first."""


FOLDERS = CompletionItem("", type="dir")
"""Lets the shell complete the names of folders."""


def folders(
    _context: click.Context, _option: click.Parameter, _incomplete: str
) -> list[CompletionItem]:
    """Return folders."""
    return [FOLDERS]


def scenarios(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the named scenarios, else files."""
    from flowsim.scenario import catalog

    names = [CompletionItem(name) for name in catalog.names() if name.startswith(incomplete)]
    return [FILES, *names]


def figures(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the figures, each with the question that it answers."""
    from flowsim.experiment.figure_registry import FIGURES

    return _items({name: figure.question for name, figure in FIGURES.items()}, incomplete)


def figure_lists(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return all, none or figures, and after a comma further figures."""
    from flowsim.experiment.figure_registry import FIGURES

    before, comma, _ = incomplete.rpartition(",")
    chosen = before.split(",")
    more = {f"{before}{comma}{name}": "" for name in FIGURES if name not in chosen}
    return _items(more if comma else {"all": "", "none": "", **more}, incomplete)


def spaces(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the formulations of the flow."""
    from flowsim.dynamics.registry import FLOWS

    return _items({name: flow.label for name, flow in FLOWS.items()}, incomplete)


def methods(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the integrators."""
    return _items(dict.fromkeys(_values("flow.method"), ""), incomplete)


def settings(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the keys of a scenario as `KEY=`, or after it the values that a key can have."""
    from flowsim.scenario.validate.keys import known_keys

    key, sign, _ = incomplete.partition("=")
    if sign:
        return _items({f"{key}={value}": "" for value in _values(key)}, incomplete)
    # tables are replaced by their keys
    keys = [key for key in known_keys() if "." in key or key in ("title", "summary", "seed")]
    return _items({f"{key}=": _description(key) for key in keys}, incomplete)


def _items(known: Mapping[str, str], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=text or None)
        for name, text in known.items()
        if name.startswith(incomplete)
    ]


def _fields(key: str) -> Iterator[Any]:
    """Yield the fields of a dotted key of two parts, one per kind of its table that has it."""
    from flowsim.scenario.spec.scenario import SECTIONS

    section, _, name = key.partition(".")
    for model in SECTIONS.get(section, ()):
        if name in model.model_fields:
            yield model.model_fields[name]


def _description(key: str) -> str:
    """Return what a key means, "" for keys within forms of values."""
    return next((str(field.description or "") for field in _fields(key)), "")


def _values(key: str) -> list[str]:
    """Return the words that a key can have, as of flow.method, or none."""
    from flowsim.experiment.figure_registry import FIGURES
    from flowsim.scenario.spec.table import FROM_PYTHON

    if key == "output.figure":
        return list(FIGURES)
    found = (word for field in _fields(key) for word in _words(field.annotation))
    return [word for word in dict.fromkeys(found) if word != FROM_PYTHON]


def _words(annotation: Any) -> Iterator[str]:
    """Yield the words of an annotation: of its literals, true and false for a boolean."""
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (value for value in get_args(annotation) if isinstance(value, str))
    elif get_origin(annotation) is not tuple:  # an array is no bare word
        for part in get_args(annotation):
            yield from _words(part)


class Bash(BashComplete):
    """Completion in bash, which splits `KEY=VALUE` at `=` into three words."""

    source_template = BashComplete.source_template.replace(
        "    return 0\n",
        "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
        "    return 0\n",
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one, joined again at `=`."""
        words, incomplete = super().get_completion_args()
        *words, incomplete = _joined([*words, incomplete])
        # of `--option=KEY=VALUE` click completes what follows the first sign
        self.signs = incomplete.count("=") - incomplete.startswith("-")
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return a completion as the script reads it, from the last sign on that is written."""
        value = item.value
        for _ in range(self.signs):
            value = value.partition("=")[2]
        return f"{item.type},{value}"


def _joined(words: Iterable[str]) -> list[str]:
    """Return words with those around a single `=` joined, as in `KEY=VALUE`."""
    found: list[str] = []
    after_sign = False
    for word in words:
        if found and (word == "=" or after_sign):
            found[-1] += word
        else:
            found.append(word)
        after_sign = word == "="
    return found


def install() -> None:
    """Let click complete in bash as `Bash` does."""
    add_completion_class(Bash)
