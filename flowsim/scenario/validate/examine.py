"""Finding every mistake of a scenario at once: in each table, between them, in every variant.

A rule across tables takes a scenario and yields the mistakes that it finds. Some values of that
scenario may be invalid: a rule ends where it reads one of these, and the other rules still apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flowsim.scenario.build.files import UnusableFileError
from flowsim.scenario.overrides import apply_changes, key_problem, without_variants
from flowsim.scenario.spec.errors import Mistake, Path, ScenarioError, dotted, format_value
from flowsim.scenario.spec.scenario import ITEMS, SECTIONS, Head, Scenario
from flowsim.scenario.spec.table import InvalidValueError, Table
from flowsim.scenario.validate import descent, flow, loss, seeds
from flowsim.scenario.validate.tables import validated

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.scenario import Variant

MOST_ITEMS = 1000

Section = tuple[Mapping[str, Any], list[Mistake]]
"""A table by its name, without it where nothing of it is valid; and what is wrong with it."""


Rule = Callable[["Scenario"], Iterator[Mistake]]

RULES: tuple[Rule, ...] = (*loss.RULES, *flow.RULES, *descent.RULES, *seeds.RULES)

ClaimRule = Callable[["Claim", Mapping[str, "Scenario"]], list[Mistake]]


@dataclass(frozen=True)
class Rules:
    """What a scenario must obey beyond the type and range of each key.

    `of_scenarios` are rules across tables; `of_claims`, where given, judges one claim about what
    will be run. `experiment` adds rules that need the registries of diagnostics and figures.
    """

    of_scenarios: tuple[Rule, ...] = RULES
    of_claims: ClaimRule | None = None


def find_mistakes(data: Mapping[str, Any], rules: Rules) -> tuple[Mapping[str, Any], list[Mistake]]:
    """Return the valid values of a scenario, and everything that is wrong with the others.

    `data` are those of a file, or models.
    """
    sections = {name: _section(name, data) for name in SECTIONS}
    base, mistakes = _examine_alone(without_variants(data), sections, rules)
    variants, wrong_variants = _items("variant", data.get("variant", ()))
    claims, wrong_claims = _items("claims", data.get("claims", ()))
    runs, wrong_runs = _examine_variants(
        cast("list[Variant]", variants), without_variants(data), sections, mistakes, rules
    )
    mistakes += wrong_variants + wrong_claims + wrong_runs
    if not variants:
        runs = {"": base}
    # claims name variants, and cannot be checked while one has no valid name
    elif len(runs) < len(variants):
        runs = {}
    if rules.of_claims is not None:
        for i, claim in enumerate(claims):
            wrong = rules.of_claims(cast("Claim", claim), runs)
            mistakes += _below(("claims", i), wrong)
    items = {"variant": tuple(variants), "claims": tuple(claims)}
    return vars(base) | items, mistakes


def _below(prefix: Path, mistakes: list[Mistake]) -> list[Mistake]:
    return [Mistake(prefix + mistake.path, mistake.text) for mistake in mistakes]


def _section(name: str, data: Mapping[str, Any]) -> Section:
    """Validate one table, which is empty where it is required and missing."""
    table, field = data.get(name), Scenario.model_fields[name]
    if table is None and not field.is_required():
        return {name: field.get_default(call_default_factory=True)}, []
    value, wrong = validated(SECTIONS[name], {} if table is None else table, name)
    mistakes = _below((name,), wrong)
    if table is None:
        mistakes = [_with_table(mistake) for mistake in mistakes]
    return ({} if value is None else {name: value}), mistakes


def _examine_alone(
    data: Mapping[str, Any], sections: Mapping[str, Section], rules: Rules
) -> tuple[Scenario, list[Mistake]]:
    """Examine a scenario without variants and claims, of which the tables are validated."""
    above = {key: value for key, value in data.items() if key not in SECTIONS}
    head, mistakes = validated((Head,), above, "")
    values = dict(vars(head))
    for table, wrong in sections.values():
        values |= table
        mistakes = mistakes + wrong
    scenario = Scenario.partial(values | {"variant": (), "claims": ()})
    return scenario, mistakes + _apply(rules.of_scenarios, scenario)


def _apply(rules: tuple[Rule, ...], scenario: Scenario) -> list[Mistake]:
    """Return every mistake that the rules find in the valid part of a scenario."""
    mistakes: list[Mistake] = []
    for rule in rules:
        try:
            for mistake in rule(scenario):
                mistakes.append(mistake)
        except loss.MistakeError as error:
            mistakes.append(error.mistake)
        except (InvalidValueError, UnusableFileError):
            pass  # the value, or the file, is reported elsewhere
    return mistakes


def _with_table(mistake: Mistake) -> Mistake:
    """Return a mistake with the missing table added to its advice."""
    header = f"write [{mistake.path[0]}] and below it "
    return Mistake(mistake.path, mistake.text.replace("write ", header, 1))


def _items(name: str, entries: object) -> tuple[list[Table], list[Mistake]]:
    """Validate the entries of an array of tables one by one."""
    if not isinstance(entries, list | tuple):
        text = f"is {format_value(entries)}, but an array of tables is required; write [[{name}]]"
        return [], [Mistake((name,), text)]
    if len(entries) > MOST_ITEMS:
        text = f"has {len(entries)} entries; write at most {MOST_ITEMS}"
        return [], [Mistake((name,), text)]
    tables, mistakes = [], []
    for i, entry in enumerate(entries):
        table, wrong = validated((ITEMS[name],), entry, name)
        assert table is not None
        tables.append(table)
        mistakes += _below((name, i), wrong)
    return tables, mistakes


def _examine_variants(
    variants: list[Variant],
    base: Mapping[str, Any],
    sections: Mapping[str, Section],
    base_mistakes: list[Mistake],
    rules: Rules,
) -> tuple[dict[str, Scenario], list[Mistake]]:
    """Examine each variant as a scenario; the mistakes of the base are not reported again.

    Tables that a variant does not change are those of the base, and are not validated again.
    """
    runs: dict[str, Scenario] = {}
    mistakes: list[Mistake] = []
    # a mistake of the base recurs in every variant that does not replace its key
    reported = set(base_mistakes)
    for i, variant in enumerate(variants):
        here: Path = ("variant", i)
        name = variant.name if hasattr(variant, "name") else f"number {i + 1}"
        # variants become folders, and some file systems do not distinguish case
        if name.lower() in (other.lower() for other in runs):
            text = f'is "{name}", which another variant is called too; write another name'
            mistakes.append(Mistake((*here, "name"), text))
        if not hasattr(variant, "set"):
            continue
        changes, wrong = _changes(variant.set, here)
        mistakes += wrong
        try:
            data = apply_changes(base, changes)
        except ScenarioError as error:
            mistakes.append(Mistake((*here, "set"), str(error)))
            continue
        changed = {key.partition(".")[0] for key in changes}.intersection(SECTIONS)
        own = {section: _section(section, data) for section in changed}
        run, wrong = _examine_alone(data, {**sections, **own}, rules)
        if hasattr(variant, "name"):
            runs[name] = run
        new = [mistake for mistake in wrong if mistake not in reported]
        mistakes += [in_variant(mistake, name, here, changes) for mistake in new]
    return runs, mistakes


def _changes(changes: Mapping[str, Any], here: Path) -> tuple[dict[str, Any], list[Mistake]]:
    """Split what a variant sets into the known keys, and what is wrong with the others."""
    complaints = {key: key_problem(key, in_variant=True) for key in changes}
    mistakes = [Mistake((*here, "set", key), text) for key, text in complaints.items() if text]
    return {key: value for key, value in changes.items() if not complaints[key]}, mistakes


def single_keys(key: str, value: object, text: str) -> str:
    """Return the advice to replace single keys of a table where a new one lacks some, else ""."""
    if not (isinstance(value, Mapping) and text.startswith("is missing")):
        return ""
    return f' (a table replaces the whole [{key}]; write "{key}.KEY" to replace single keys)'


def in_variant(mistake: Mistake, variant: str, here: Path, changes: Mapping[str, Any]) -> Mistake:
    """Place a mistake of a variant where the variant sets the key, else at the variant."""
    place = dotted(mistake.path)
    for key, value in changes.items():
        if f"{place}.".startswith(f"{key}.") or f"{key}.".startswith(f"{place}."):
            hint = single_keys(key, value, mistake.text)
            text = mistake.text if key == place else f"{place}: {mistake.text}{hint}"
            return Mistake((*here, "set", key), text)
    return Mistake(here, f"in variant {variant}, {place}: {mistake.text}")
