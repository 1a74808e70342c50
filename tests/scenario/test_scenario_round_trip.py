"""Every valid scenario survives being written and read; no spoilt file raises anything else."""

from __future__ import annotations

import random
import string

from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_texts import REGRESSION, SQUARED

from flowsim.experiment.plan.footprint import footprint
from flowsim.experiment.plan.reading import from_toml, json_schema
from flowsim.scenario.digest import digest
from flowsim.scenario.overrides import variants
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.toml.writing import dumps
from flowsim.scenario.toml.writing import format_toml as as_toml

numbers = st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9)
positive = st.floats(1e-6, 1e6)
lines = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
titles = lines.filter(lambda text: len(text.splitlines()) == 1 and bool(text.strip()))
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)


def matrices(rows: int, columns: int) -> st.SearchStrategy[list[list[float]]]:
    row = st.lists(numbers, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


@st.composite
def losses(draw, widths: list[int]) -> dict:
    """Draw `[loss]`, and `[data]` where it needs that."""
    rows, columns = widths[-1], widths[0]
    modes = min(rows, columns)
    kind = draw(st.sampled_from(["linear", "squared", "completion", "sensing", "regression"]))
    if kind == "regression":
        samples = draw(st.integers(1, 4))
        data = {
            "inputs": draw(matrices(columns, samples)),
            "targets": draw(matrices(rows, samples)),
            "standardize": draw(st.booleans()),
        }
        p = draw(st.fixed_dictionaries({}, optional={"p": st.floats(1, 9) | st.integers(1, 9)}))
        return {"loss": {"kind": kind, **p}, "data": data}
    loss = {
        "kind": kind,
        "target": draw(
            st.one_of(
                matrices(rows, columns),
                st.lists(positive, min_size=1, max_size=modes).map(lambda s: {"spectrum": s}),
                st.builds(lambda r, x: {"rank": r, "norm": x}, st.integers(1, modes), positive),
                numbers.map(lambda c: {"identity": c}),
            )
        ),
    }
    if kind == "completion":
        count = st.integers(1, rows * columns).map(lambda n: {"count": n})
        ones = st.just([[1] * columns] * rows)
        loss["observed"] = draw(count | ones | st.just({"fraction": 1}))
    if kind == "sensing":
        loss["measurements"] = draw(st.integers(1, 10**6))
    return {"loss": loss}


@st.composite
def inits(draw, widths: list[int]) -> dict:
    kind = draw(st.sampled_from(["explicit", "balanced", "gaussian", "xavier", "orthogonal"]))
    if kind == "explicit":
        shapes = zip(widths[1:], widths[:-1], strict=True)
        layers = [[[draw(st.integers(1, 9))] * columns] * rows for rows, columns in shapes]
        return {"kind": kind, "layers": layers}
    return {"kind": kind} if kind == "xavier" else {"kind": kind, "scale": draw(positive)}


flows = st.fixed_dictionaries(
    {"horizon": positive},
    optional={
        "samples": st.integers(2, 10**4),
        "spacing": st.sampled_from(["linear", "log"]),
        "spaces": st.permutations(["layers", "end_to_end"]),
        "method": st.sampled_from(["auto", "tsit5", "rock4", "kvaerno5", "rodas5p"]),
        "rtol": st.floats(1e-13, 0.1),
        "atol": positive,
        "max_steps": st.integers(1, 10**9),
        "stop": st.just("converged")
        | st.fixed_dictionaries({"loss": numbers}, optional={"gradient_norm": positive}),
        "stop_at_loss": numbers,
        "weight_decay": positive,
    },
)
descents = (
    st.fixed_dictionaries(
        {"step_sizes": st.lists(positive, min_size=1, max_size=4, unique=True)},
        optional={
            "momentum": st.floats(0, 0.99),
            "precision": st.sampled_from(["float64", "float32"]),
        },
    )
    | st.fixed_dictionaries(
        {
            "step_sizes": st.lists(positive, min_size=1, max_size=4, unique=True),
            "rule": st.sampled_from(
                ["gradient", "midpoint", "heun", "rk4", "adagrad", "adadelta", "normalized"]
            ),
        }
    )
    | st.fixed_dictionaries(
        {
            "step_sizes": st.lists(positive, min_size=1, max_size=4, unique=True),
            "rule": st.just("nesterov"),
            "momentum": st.floats(0, 0.99, exclude_min=True) | st.just("increasing"),
        }
    )
    | st.fixed_dictionaries(
        {
            "step_sizes": st.lists(positive, min_size=1, max_size=4, unique=True),
            "rule": st.just("sam"),
        },
        optional={"rho": st.floats(0, 10)},
    )
)


@st.composite
def scenarios(draw) -> dict:
    """Draw the data of a valid scenario."""
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    data = {
        "title": draw(titles),
        "summary": draw(lines),
        "sources": draw(st.lists(lines, max_size=2)),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "network": {"widths": widths},
        **draw(losses(widths)),
        "init": draw(inits(widths)),
        "flow": draw(flows),
        "output": {"end_to_end": draw(st.sampled_from(["all", "last", 1, 10]))},
    }
    if draw(st.booleans()):
        data["descent"] = draw(descents)
    comparison = draw(
        st.sampled_from([{"below": 1}, {"equals": 2.5, "within": 1}, {"above_quantity": None}])
    )
    quantity = "end_to_end.singular_values"
    chosen = draw(st.lists(names, max_size=2, unique_by=str.lower))
    if chosen:
        settings_of = st.fixed_dictionaries({}, optional={"flow.rtol": st.floats(1e-9, 0.1)})
        data["variant"] = [{"name": name, "set": draw(settings_of)} for name in chosen]
        quantity = f"{chosen[0]}/{quantity}"
    filled = {key: quantity if value is None else value for key, value in comparison.items()}
    data["claims"] = [{"quantity": quantity, "at": {"mode": 0}, **filled}]
    return data


def written(data: dict) -> str:
    """Write data as TOML, in inline tables throughout."""
    return "\n".join(f"{key} = {as_toml(value)}" for key, value in data.items())


@given(scenarios())
@settings(max_examples=120, deadline=None)
def test_a_scenario_is_the_same_after_it_is_written_and_read(data: dict) -> None:
    scenario = from_toml(written(data))
    text = dumps(scenario)
    again = from_toml(text)
    assert again == scenario
    assert digest(again) == digest(scenario)
    assert dumps(again) == text
    assert variants(again) == variants(scenario)
    assert Scenario(**data) == scenario
    assert repr(again).replace("\n", "").isprintable()
    assert footprint(scenario).total > 0


@given(scenarios(), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_digest_tells_scenarios_apart(data: dict, seed: int) -> None:
    one = from_toml(written(data))
    other = from_toml(written(data), overrides={"seed": seed})
    assert (digest(one) == digest(other)) == (one == other)


def test_a_digest_is_that_of_the_resolved_scenario() -> None:
    plain = from_toml(SQUARED)
    spelt_out = from_toml(SQUARED.replace("horizon = 6.0", "horizon = 6\nrtol = 1e-8"))
    assert plain == spelt_out
    assert digest(plain) == digest(spelt_out)
    assert len(digest(plain)) == 64


def test_a_digest_changes_with_the_version(monkeypatch) -> None:
    before = digest(from_toml(SQUARED))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "999.0")
    assert digest(from_toml(SQUARED)) != before


EXTRAS = """
[output]
end_to_end = "last"
plane = [[0, 0], [1, 1]]

[[variant]]
name = "depth-2"
set = { "network.widths" = [4, 6, 3], "init.scale" = 1.0 }

[[claims]]
quantity = "depth-2/descent.loss"
reduce = "last"
at = { step_size = 0.1 }
below = 1e-6
"""
TEXTS = [SQUARED + EXTRAS, REGRESSION]
WORDS = [
    "true", "nan", "-inf", "0", "-1", "1e999", "1e-400", "9" * 60, '"x"', "[]", "[[]]", "{}",
    "[{}]", "1979-05-27", "{ file = 'x.npy' }", "{ rank = 1, norm = nan }", '"\\u0000"',
    "[[1], [1, 2]]",
    "[true]", "[['a']]", '"layers.loss"', "'''\n'''", "{ a.b.c = 1 }", "[0.1, 0.1]", "\x00", "\\",
]  # fmt: skip
KEYS = [
    "flow", "flow.rtol", "set", "loss.target", "observed", "variant", "claims", "at", '""',
    "dataset", "layers", "measurements", "kind", "p", "first_time", "scale", "end_to_end",
]  # fmt: skip


def spoil(text: str, chance: random.Random) -> str:
    """Spoil a text in one of the ways in which files go wrong."""
    lines = text.splitlines()
    i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
    way = chance.randrange(8)
    if way == 0:
        del lines[i]
    elif way == 1:
        lines[i], lines[j] = lines[j], lines[i]
    elif way in (2, 3) and "=" in lines[i]:
        lines[i] = f"{lines[i].partition('=')[0]}= {chance.choice(WORDS)}"
    elif way == 4:
        lines.insert(i, f"{chance.choice(KEYS)} = {chance.choice(WORDS)}")
    elif way == 5:
        at = chance.randrange(len(lines[i]) + 1)
        lines[i] = lines[i][:at] + chance.choice(string.printable) + lines[i][at + 1 :]
    elif way == 6:
        lines[i] = lines[i].replace(chance.choice("=[]{}\"'.,0123456789"), chance.choice("-.[x9"))
    else:
        lines.insert(
            i, chance.choice(["[flow]", "[[flow]]", "[data]", "[x.y]", "[variant]", "[[", ""])
        )
    return "\n".join(lines)


@given(st.sampled_from(TEXTS), st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_a_spoilt_file_is_a_scenario_or_a_list_of_sentences(text, times, chance) -> None:
    for _ in range(times):
        text = spoil(text, chance)
    judge(text)


def judge(text: str) -> None:
    try:
        scenario = from_toml(text, "s.toml")
    except ScenarioError as error:
        assert error.mistakes
        for mistake in error.mistakes:
            assert mistake.startswith("s.toml:")
            assert mistake.isprintable()
            assert int(mistake.split(":")[1]) <= text.count("\n") + 1
    else:
        assert from_toml(dumps(scenario)) == scenario


words = st.sampled_from([*WORDS[:-2], *"0123", '"squared"', '"all"', "[4, 3]", "[[1, 2], [3, 4]]"])
tables = list(json_schema()["$defs"])
fields = sorted({key for name in tables for key in json_schema()["$defs"][name]["properties"]})
sections = ["network", "loss", "data", "init", "flow", "descent", "output"]


@given(
    st.dictionaries(
        st.sampled_from(sections),
        st.dictionaries(st.sampled_from(fields), words, max_size=6),
    )
)
@settings(max_examples=150, deadline=None)
def test_tables_of_known_keys_with_any_values_are_judged(content) -> None:
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in table.items())])
        for name, table in content.items()
    ]
    judge("\n".join(blocks))


@given(st.text(max_size=200) | st.text(st.sampled_from("ab.=[]{}\"'#,\n\\1 "), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_at_all_is_judged(text: str) -> None:
    judge(text)
