"""Finding every mistake of a scenario at once: in each table, between them, in every variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flowsim.scenario.overrides import misplaced
from flowsim.scenario.spec.errors import Mistake, Path, ScenarioError, dotted, found
from flowsim.scenario.spec.scenario import ITEMS, SECTIONS, Scenario
from flowsim.scenario.validate.partial import View, known, validated
from flowsim.scenario.validate.rules import Rules, broken
from flowsim.scenario.variants import alone, with_set

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim

MOST_ITEMS = 1000
_EMPTY: dict[str, Any] = {}


@dataclass(frozen=True)
class Examined:
    """The values of a scenario as models, and everything that is wrong with them.

    Where there are mistakes some values are stand-ins.
    """

    values: Mapping[str, Any]
    mistakes: list[Mistake]


def examine(data: Mapping[str, Any], rules: Rules) -> Examined:
    """Validate the data of a scenario, as read from a file or as models, and find all mistakes."""
    memory = _Memory(rules)
    base, mistakes = _examine_alone(alone(data), memory)
    variants, wrong_variants = _items("variant", data.get("variant", ()))
    claims, wrong_claims = _items("claims", data.get("claims", ()))
    runs, wrong_runs = _examine_variants(variants, alone(data), mistakes, memory)
    mistakes += wrong_variants + wrong_claims + wrong_runs
    if not variants:
        runs = {"": base}
    elif len(runs) < len(variants):
        runs = {}
    if rules.of_claims is not None:
        for i, claim in enumerate(claims):
            wrong = rules.of_claims(cast("Claim", claim), runs)
            mistakes += _below(("claims", i), wrong)
    values = dict(base.instance) | {
        "variant": tuple(variant.instance for variant in variants),
        "claims": tuple(claim.instance for claim in claims),
    }
    return Examined(values, mistakes)


class _Memory:
    """Tables that were validated before: variants share most of theirs with the base."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._seen: dict[tuple[str, int], tuple[object, View, list[Mistake]]] = {}

    def validated(self, name: str, table: object) -> tuple[View, list[Mistake]]:
        place = (name, id(table))
        if place not in self._seen:
            view, wrong = validated(SECTIONS[name], table, name)
            self._seen[place] = table, view, _below((name,), wrong)
        return self._seen[place][1:]


def _below(prefix: Path, mistakes: list[Mistake]) -> list[Mistake]:
    return [Mistake(prefix + mistake.path, mistake.text) for mistake in mistakes]


def _examine_alone(data: Mapping[str, Any], memory: _Memory) -> tuple[View, list[Mistake]]:
    """Examine a scenario without variants and claims."""
    sections: dict[str, View] = {}
    mistakes: list[Mistake] = []
    for name in SECTIONS:
        table = data.get(name)
        if table is None and Scenario.model_fields[name].is_required():
            table = _EMPTY
        if table is not None:
            sections[name], wrong = memory.validated(name, table)
            mistakes += [_with_table(mistake) for mistake in wrong] if table is _EMPTY else wrong
    tables = {name: view.instance for name, view in sections.items()}
    head, wrong = validated(Scenario, {**data, **tables}, "")
    whole = View(head.instance, head.unknown, sections)
    return whole, mistakes + wrong + broken(whole, memory.rules.of_scenarios)


def _with_table(mistake: Mistake) -> Mistake:
    """Say that a key is to be written in a table that is missing with it."""
    header = f"write [{mistake.path[0]}] and below it "
    return Mistake(mistake.path, mistake.text.replace("write ", header, 1))


def _items(name: str, entries: object) -> tuple[list[View], list[Mistake]]:
    """Validate the entries of an array of tables each by itself."""
    if not isinstance(entries, list | tuple):
        text = f"is {found(entries)}, but an array of tables is wanted; write [[{name}]]"
        return [], [Mistake((name,), text)]
    if len(entries) > MOST_ITEMS:
        text = f"has {len(entries)} entries; write at most {MOST_ITEMS}"
        return [], [Mistake((name,), text)]
    views, mistakes = [], []
    for i, entry in enumerate(entries):
        view, wrong = validated(ITEMS[name], entry, name)
        views.append(view)
        mistakes += _below((name, i), wrong)
    return views, mistakes


def _examine_variants(
    variants: list[View], base: Mapping[str, Any], known_mistakes: list[Mistake], memory: _Memory
) -> tuple[dict[str, Any], list[Mistake]]:
    """Examine each variant as a scenario; the mistakes of the base are not told again."""
    runs: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    told = set(known_mistakes)
    for i, variant in enumerate(variants):
        here: Path = ("variant", i)
        name = variant.name if known(variant, "name") else f"number {i + 1}"
        if name.lower() in (taken.lower() for taken in runs):
            text = f'is "{name}", which another variant is called too; write another name'
            mistakes.append(Mistake((*here, "name"), text))
        if not known(variant, "set"):
            continue
        changes, wrong = _changes(variant.set, here)
        mistakes += wrong
        try:
            data = with_set(base, changes)
        except ScenarioError as error:
            mistakes.append(Mistake((*here, "set"), str(error)))
            continue
        run, found_wrong = _examine_alone(data, memory)
        if known(variant, "name"):
            runs[name] = run
        new = [mistake for mistake in found_wrong if mistake not in told]
        mistakes += [_in_variant(mistake, name, here, changes) for mistake in new]
    return runs, mistakes


def _changes(changes: Mapping[str, Any], here: Path) -> tuple[dict[str, Any], list[Mistake]]:
    """Split what a variant sets into the known keys, and what is wrong with the others."""
    complaints = {key: misplaced(key, in_variant=True) for key in changes}
    mistakes = [Mistake((*here, "set", key), text) for key, text in complaints.items() if text]
    return {key: value for key, value in changes.items() if not complaints[key]}, mistakes


def _in_variant(mistake: Mistake, variant: str, here: Path, changes: Mapping[str, Any]) -> Mistake:
    """Place a mistake of a variant where the variant sets the key, else at the variant."""
    place = dotted(mistake.path)
    for key, value in changes.items():
        if f"{place}.".startswith(f"{key}.") or f"{key}.".startswith(f"{place}."):
            hint = (
                f" (a table replaces the whole [{key}]; "
                f'write set = {{ "{key}.KEY" = … }} to replace single keys)'
                if isinstance(value, Mapping) and mistake.text.startswith("is missing")
                else ""
            )
            text = mistake.text if key == place else f"{place}: {mistake.text}{hint}"
            return Mistake((*here, "set", key), text)
    return Mistake(here, f"in variant {variant}, {place}: {mistake.text}")
