"""Scenario files: every mistake at once, each with its line, its key and what to write."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scenario_texts import REGRESSION, SQUARED, marked, spoilt, the_mistake, told

from flowsim.experiment.plan.reading import check, from_toml, read
from flowsim.scenario.catalog import CatalogError
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.scenario import Scenario

RTOL = 100 * 2.0**-52

WRONG_VALUES = [
    ("seed = 3", "seed = -1 #!", "seed: is -1, but must be at least 0"),
    ("seed = 3", "seed = 1.0 #!", "seed: is 1.0, but an integer is required"),
    ("seed = 3", "sources = [1] #!", "sources: item 1 is 1, but a string is required"),
    ("[4, 6, 5, 3]", "[4] #!", "network.widths: has 1 entries, but needs 2"),
    ("[4, 6, 5, 3]", "[4, true, 3] #!", "network.widths: item 2 is true, but an integer"),
    ("[4, 6, 5, 3]", "[4, 0, 3] #!", "network.widths: item 2 is 0, but must be at least 1"),
    ("[4, 6, 5, 3]", "[4, 6.0, 3] #!", "network.widths: item 2 is 6.0, but an integer"),
    ("[4, 6, 5, 3]", '"4-6-3" #!', 'network.widths: is "4-6-3", but an array is required'),
    ('"squared"', '"squarred" #!', 'loss.kind: is "squarred", which is not known; did you mean'),
    ("{ spectrum = [3, 2, 1] }", "3 #!", "loss.target: is 3, but an array of rows"),
    ("{ spectrum = [3, 2, 1] }", "[[1], [2, 3]] #!", "loss.target: row 2 is of length 2"),
    ("{ spectrum = [3, 2, 1] }", "[[1, nan]] #!", "loss.target: row 1, column 2 is nan"),
    ("{ spectrum = [3, 2, 1] }", "[[1, -inf]] #!", "loss.target: row 1, column 2 is -inf"),
    ("{ spectrum = [3, 2, 1] }", "[[1, true]] #!", "loss.target: row 1, column 2 is true"),
    ("{ spectrum = [3, 2, 1] }", '[["1"]] #!', 'loss.target: row 1, column 1 is "1"'),
    ("{ spectrum = [3, 2, 1] }", "[] #!", "loss.target: is empty"),
    ("{ spectrum = [3, 2, 1] }", "{ spectrum = [3, -2] } #!", "loss.target.spectrum: holds -2.0"),
    (
        "{ spectrum = [3, 2, 1] }",
        "{ spectra = [3] } #!",
        "loss.target: is a table of no known",
    ),
    ("{ spectrum = [3, 2, 1] }", "{ rank = 2 } #!", "loss.target.norm: is missing; write norm ="),
    ("{ spectrum = [3, 2, 1] }", "{ rank = 2, norms = 1, norm = 1 } #!", "loss.target.norms: unk"),
    ("scale = 1e-3", "scale = 1e-200 #!", "init.scale: is 1e-200, but must be at least 1e-150"),
    ("scale = 1e-3", 'scale = "1e-3" #!', 'init.scale: is "1e-3", but a number is required'),
    ("scale = 1e-3", "scale = true #!", "init.scale: is true, but a number is required"),
    ("horizon = 6.0", "horizon = 0 #!", "flow.horizon: is 0, but must be above 0"),
    ("horizon = 6.0", "horizon = inf #!", "flow.horizon: is inf, but must be finite"),
    ("horizon = 6.0", "horizon = 1e999 #!", "flow.horizon: is inf, but must be finite"),
    ("horizon = 6.0", "horizon = 1979-05-27 #!", "flow.horizon: is a date, but a number"),
    ("horizon = 6.0", "horizon = {} #!", "flow.horizon: is a table, but a number is required"),
    ("[0.4, 0.1]", "[] #!", "descent.step_sizes: is empty"),
    ("[0.4, 0.1]", "[0.4, 0.0] #!", "descent.step_sizes: holds 0.0; write step sizes above 0"),
    ("[0.4, 0.1]", "[1, 1.0] #!", "descent.step_sizes: holds a step size twice"),
    ("[0.4, 0.1]", "[0.4, nan] #!", "descent.step_sizes: entry 2 is nan"),
]

WRONG_LINES = [
    ("[flow]", "rtol = 1e-16", f"flow.rtol: is 1e-16, but must be at least {RTOL}"),
    ("[flow]", "rtol = 0.2", "flow.rtol: is 0.2, but must be at most 0.1"),
    ("[flow]", "atol = 0", "flow.atol: is 0, but must be above 0"),
    ("[flow]", "samples = 1", "flow.samples: is 1, but must be at least 2"),
    ("[flow]", "max_steps = 0", "flow.max_steps: is 0, but must be at least 1"),
    ("[flow]", "stop_at_loss = nan", "flow.stop_at_loss: is nan, but must be finite"),
    ("[flow]", 'stop = "rest"', 'flow.stop: is "rest", but "converged" or a table such as {'),
    ("[flow]", "stop = 1e-3", 'flow.stop: is 0.001, but "converged" or a table such as {'),
    ("[flow]", "stop = {}", "flow.stop: is empty; write { gradient_norm = 1e-6 }"),
    ("[flow]", "stop = { norm = 1 }", "flow.stop.norm: unknown key"),
    ("[flow]", "stop = { distance = 0 }", "flow.stop.distance: is 0, but must be above 0"),
    ("[flow]", "stop = { loss = nan }", "flow.stop.loss: is nan, but must be finite"),
    ("[flow]", "stop = { effective_rank = 0.9 }", "flow.stop.effective_rank: is 0.9, but must be"),
    ("[flow]", "stop = { held_out_loss = 1 }", "flow.stop.held_out_loss: does not exist, as no"),
    ("[flow]", "weight_decay = -1", "flow.weight_decay: is -1, but must be at least 0"),
    ("[flow]", "weight_decay = 1e308", "flow.weight_decay: is 1e+308, but must be at most 1e+140"),
    ("[flow]", "spaces = []", "flow.spaces: has 0 entries, but needs 1"),
    ("[flow]", 'spaces = ["layers", "layers"]', "flow.spaces: names layers twice"),
    (
        "[flow]",
        'spaces = ["weights"]',
        'flow.spaces: item 1 is "weights", which is not known; write ',
    ),
    (
        "[flow]",
        'method = "lsoda"',
        'flow.method: is "lsoda", which is not known; write one of auto',
    ),
    ("[flow]", 'spacing = "lin"', 'flow.spacing: is "lin", which is not known; did you mean "lin'),
    ("[descent]", "momentum = 1", "descent.momentum: is 1, but must be below 1"),
    ("[descent]", 'rule = "adam"', 'descent.rule: is "adam", which is not known; '),
    ("[descent]", 'precision = "float16"', 'descent.precision: is "float16", which is not known'),
    ("[flow]", "rtoll = 1", "flow.rtoll: unknown key; did you mean flow.rtol"),
    ("[flow]", "momentum = 0.9", "flow.momentum: unknown key here; did you mean descent.momentum"),
    ("[flow]", "xyzzy = 0.9", "flow.xyzzy: unknown key; known here are horizon, samples,"),
]

WRONG_ENDS = [
    ('[output]\nmeasures = ["sharp"] #!', 'output.measures: item 1 is "sharp", which is not'),
    (
        '[output]\nmeasures = ["sharpness", "sharpness"] #!',
        "output.measures: names sharpness twice; write each once",
    ),
    ("[output]\nlayers = 1 #!", "output.layers: is 1, but true or false is required"),
    ("[output]\nend_to_end = 0 #!", 'output.end_to_end: is 0; write "all", "last" or a stride'),
    ("[output]\nend_to_end = true #!", "output.end_to_end: is true; write"),
    (
        '[output]\nfigure = "los" #!',
        'output.figure: is "los", which is not known; did you mean "lo',
    ),
    ("[output]\nplane = [[0, 0], [1]] #!", "output.plane: item 2, 2 is missing; write plane ="),
    ("[output]\nplane = [[0, 0], [0, -1]] #!", "output.plane: item 2, 2 is -1, but must be at"),
    ("[outputs] #!", "outputs: unknown key; did you mean output"),
    ("[[flow.x]] #!", "flow.x: unknown key; known here are"),
]


@pytest.mark.parametrize(("old", "new", "start"), WRONG_VALUES)
def test_a_wrong_value_is_told_with_line_and_key(old: str, new: str, start: str) -> None:
    assert the_mistake(spoilt(old, new)).startswith(start)


@pytest.mark.parametrize(("header", "line", "start"), WRONG_LINES)
def test_a_wrong_option_is_told_with_line_and_key(header: str, line: str, start: str) -> None:
    assert the_mistake(spoilt(header, f"{header}\n{line} #!")).startswith(start)


@pytest.mark.parametrize(("end", "start"), WRONG_ENDS)
def test_a_wrong_table_is_told_with_line_and_key(end: str, start: str) -> None:
    assert the_mistake(f"{SQUARED}\n{end}\n").startswith(start)


@pytest.mark.parametrize(
    ("lost", "header", "start"),
    [
        ('title = "Spoilt in tests"\n', "", "title: is missing; write title ="),
        ("widths = [4, 6, 5, 3]\n", "[network]", "network.widths: is missing; write widths ="),
        ('kind = "squared"\n', "[loss]", "loss.kind: is missing; write kind ="),
        ('kind = "balanced"\n', "[init]", "init.kind: is missing; write kind ="),
        ("horizon = 6.0\n", "[flow]", "flow.horizon: is missing; write horizon ="),
        ("step_sizes = [0.4, 0.1]\n", "[descent]", "descent.step_sizes: is missing; write step"),
    ],
)
def test_a_missing_key_is_told_where_its_table_is(lost: str, header: str, start: str) -> None:
    text = spoilt(lost, "").replace(header, f"{header} #!", 1)
    assert the_mistake(text).startswith(start)


def test_a_missing_table_is_told_at_the_first_line() -> None:
    mistake = "s.toml:1: flow.horizon: is missing; write [flow] and below it horizon = 6.0"
    assert told(spoilt("[flow]\nhorizon = 6.0", "")) == (mistake,)
    assert len(told("")) == 5


def test_all_mistakes_are_told_at_once_across_sections_and_in_the_order_of_lines() -> None:
    text = """titel = "x"
[network]
widths = [4, 6, 3]
[loss]
kind = "squared"
p = 2
target = [[1, 2], [3, 4]]
[init]
kind = "explicit"
scale = 1
[flow]
horizon = -1
rtoll = 1e-8
first_time = 0.1
[output]
plane = [[0, 0], [9, 9]]
[[claims]]
quantity = "descent.loss"
below = "small"
"""
    mistakes = told(text)
    starts = [mistake.split(": ")[:2] for mistake in mistakes]
    assert starts == [
        ["s.toml:1", "title"],
        ["s.toml:1", "titel"],
        ["s.toml:6", "loss.p"],
        ["s.toml:7", "loss.target"],
        ["s.toml:8", "init.layers"],
        ["s.toml:10", "init.scale"],
        ["s.toml:12", "flow.horizon"],
        ["s.toml:13", "flow.rtoll"],
        ["s.toml:14", "flow.first_time"],
        ["s.toml:16", "output.plane"],
        ["s.toml:18", "claims[0].quantity"],
        ["s.toml:19", "claims[0].below"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "flow = { horizon = 6.0,\n  rtol = 1 } #!",
        "flow.horizon = 6.0\nflow.rtol = 1 #!",
        '[flow]\nhorizon = 6.0\n"rtol" = 1 #!',
        "[flow]\nhorizon = 6.0\n'rtol' = 1 #!",
        '[flow]\nhorizon = 6.0 # rtol = 1\nmethod = "auto" # [x]\nrtol = 1 #!',
    ],
)
def test_lines_are_right_however_a_key_is_written(text: str) -> None:
    text = text.replace("6.0,\n", "6.0, ")
    head, tail = text.splitlines(), SQUARED.replace("[flow]\nhorizon = 6.0\n", "")
    whole = "\n".join([*head, tail]) if not text.startswith("[") else f"{tail}\n{text}"
    assert the_mistake(whole).startswith("flow.rtol: is 1, but must be at most 0.1")


def test_lines_are_right_after_strings_and_arrays_of_many_lines() -> None:
    summary = '"""\n[flow]\nrtol = 3\nsays \\"""no\\""" \n"""'
    target = "[\n  # a [comment\n  [1, 0, 0, 0],\n  [0, 1, 0, 0], # ]\n  [0, 0, 1, 0],\n]"
    text = spoilt("seed = 3", f"summary = {summary}")
    text = spoilt("{ spectrum = [3, 2, 1] }", target, text)
    text = spoilt("horizon = 6.0", "horizon = -6 #!", text)
    assert the_mistake(text).startswith("flow.horizon")


def test_windows_files_are_read_with_the_same_lines() -> None:
    text = "\ufeff" + spoilt("horizon = 6.0", "horizon = -6 #!").replace("\n", "\r\n")
    assert the_mistake(text).startswith("flow.horizon: is -6")
    assert from_toml("\ufeff" + SQUARED.replace("\n", "\r\n")).seed == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("horizon = = 6.0 #!", "Invalid value"),
        ("horizon 6.0 #!", "Expected '='"),
        ('horizon = "6 #!', "Illegal character"),
        ("horizon = 6.0\nhorizon = 7.0 #!", "Cannot overwrite a value"),
        ("horizon = 6.0\n[flow] #!", "Cannot declare"),
        ("horizon = 1__0 #!", "Expected newline"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(line: str, reason: str) -> None:
    mistake = the_mistake(spoilt("horizon = 6.0", line))
    assert mistake.startswith(f"is no valid TOML: {reason}")
    assert "; write " in mistake


def test_control_characters_are_told_escaped() -> None:
    text = spoilt("horizon = 6.0", 'horizon = 6.0\n"\\u001b[31mred" = 1\nmethod = "\\u0007\\u202e"')
    for mistake in told(text):
        assert mistake.isprintable()
    assert "\\x1b[31mred: unknown key" in "\n".join(told(text))


def test_long_keys_and_values_are_told_short() -> None:
    text = spoilt("horizon = 6.0", f'horizon = 6.0\n{"k" * 5000} = 1\nmethod = "{"v" * 5000}"')
    assert max(map(len, told(text))) < 300


def test_variants_tell_their_mistakes_at_their_own_lines() -> None:
    text = f"""{SQUARED}
[[variant]]
name = "fine"
set = {{ "network.widths" = [4, 3], "init.scale" = 1 }}
[[variant]]
name = "narrow"
set = {{ "network.widths" = [2, 2], "flow.rtl" = 1, "flow.rtol" = 1 }}
[[variant]]
name = "fine"
set = {{ flow = {{ rtol = 1e-6 }}, claims = [] }}
[[variant]]
name = "a/b"
[[variant]]
name = "whole"
[variant.set]
"loss.kind" = "completion"
"""
    first = text[: text.index('name = "narrow"')].count("\n") + 1
    assert [mistake.split("; ")[0].removeprefix("s.toml:") for mistake in told(text)] == [
        f"{first - 1}: variant[1]: in variant narrow, loss.target: gives 3, but a 2 × 2 matrix "
        "has 2 singular values",
        f"{first + 1}: variant[1].set.flow.rtl: unknown key",
        f"{first + 1}: variant[1].set.flow.rtol: is 1, but must be at most 0.1",
        f'{first + 3}: variant[2].name: is "fine", which another variant is called too',
        f"{first + 4}: variant[2].set.claims: cannot be varied",
        f"{first + 4}: variant[2].set.flow: flow.horizon: is missing",
        f"{first + 5}: variant[3].set: is missing",
        f'{first + 6}: variant[3].name: is "a/b"',
        f'{first + 7}: variant[4]: in variant whole, loss.observed: is missing, and kind = "compl'
        'etion" needs it',
    ]


def test_the_mistakes_of_the_base_are_not_told_again_of_each_variant() -> None:
    text = spoilt("horizon = 6.0", "horizon = -6 #!")
    variants = [f'[[variant]]\nname = "v{i}"\nset = {{ "seed" = {i} }}\n' for i in range(3)]
    assert the_mistake(text + "\n".join(variants)).startswith("flow.horizon")


def test_variants_given_in_one_array_have_their_lines_too() -> None:
    text = """variant = [
  { name = "a, [b", set = { seed = 1 } },  #!
  { name = "c", set = { seed = 1 } },
]
"""
    assert the_mistake(text + SQUARED).startswith('variant[0].name: is "a, [b"')
    assert told(f"variant = 3\n{SQUARED}")[0].startswith("s.toml:1: variant: is 3, but an array of")
    assert told(f"{SQUARED}\n[variant]\n")[0].startswith("s.toml:21: variant: is a table, but an a")


def test_read_says_what_file_cannot_be_read(tmp_path) -> None:
    for path, reason in [
        (tmp_path / "none.toml", "There is no file"),
        (tmp_path, r"A scenario is a \.toml file, but .* is a folder"),
        ("a\0b.toml", "There is no file"),
    ]:
        with pytest.raises(CatalogError, match=reason):
            read(path)


def test_read_names_the_file_and_finds_data_beside_it(tmp_path) -> None:
    (tmp_path / "x.csv").write_text("1,2,3\n0,1,0\n", encoding="utf-8")
    path = tmp_path / "s.toml"
    text = spoilt("[[1, 2, 3], [0, 1, 0]]", '{ file = "x.csv" }', REGRESSION)
    path.write_text(text, encoding="utf-8")
    assert read(path).data.inputs.file == tmp_path / "x.csv"
    path.write_text(text.replace("x.csv", "y.csv"), encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        read(path)
    line = text[: text.index("inputs")].count("\n") + 1
    wanted = f"{path}:{line}: data.inputs: {tmp_path / 'y.csv'}: there is no such file"
    assert error.value.mistakes == (wanted,)


def test_overrides_replace_keys_and_are_named_where_they_are_wrong() -> None:
    ok = from_toml(SQUARED, overrides={"flow.rtol": 1e-6, "output.layers": True})
    assert ok.flow.rtol == 1e-6
    assert ok.output.layers
    wrong = {"flow.rtl": 1, "flow.rtol": 1, "output.plane": [[0, 0], [7, 0]], "seed.x": 1}
    mistakes = told(SQUARED, **wrong)
    assert [mistake.split("; ")[0] for mistake in mistakes] == [
        "override flow.rtl: unknown key",
        "override seed.x: unknown key",
        "override flow.rtol: is 1, but must be at most 0.1",
        "override output.plane: names entry [7, 0], but W is 3 × 4",
    ]
    assert mistakes[0].endswith("did you mean flow.rtol")


def test_an_override_in_a_table_that_is_not_there_makes_it() -> None:
    text = SQUARED.replace("[descent]\nstep_sizes = [0.4, 0.1]\n", "")
    sizes = {"descent.step_sizes": [0.5]}
    assert from_toml(text, overrides=sizes).descent.step_sizes == (0.5,)
    mistake = (
        "override descent.momentum: descent.step_sizes: is missing; write step_sizes = [0.4, 0.1]"
    )
    assert told(text, **{"descent.momentum": 0.5}) == (mistake,)


def test_a_scenario_made_in_python_is_validated_alike() -> None:
    scenario = from_toml(SQUARED)
    data = scenario.model_dump(exclude_none=True)
    assert Scenario(**data) == scenario
    data["network"] = {"widths": [4, 2]}
    with pytest.raises(ScenarioError, match=r"loss.target: gives 3, but a 2 × 4 matrix has 2"):
        check(Scenario(**data))
    with pytest.raises(ValueError, match="frozen"):
        scenario.title = "other"


def test_numpy_arrays_are_taken_in_python() -> None:
    import numpy as np

    data = from_toml(SQUARED).model_dump(exclude_none=True)
    data["loss"] = {"kind": "squared", "target": np.eye(3, 4)}
    assert Scenario(**data).loss.target[0] == (1.0, 0.0, 0.0, 0.0)


def test_a_scenario_introduces_itself() -> None:
    scenario = from_toml(SQUARED)
    assert repr(scenario) == str(scenario)
    for part in ("Spoilt in tests", "4 → 6 → 5 → 3, depth 3", "balanced, scale 0.001", "0.4, 0.1"):
        assert part in repr(scenario)
        assert part in scenario._repr_html_()
    assert "\x1b" not in repr(from_toml(spoilt("Spoilt", "\\u001b[1mSpoilt")))


def test_importing_scenarios_imports_neither_numpy_nor_jax() -> None:
    code = (
        "import sys; from flowsim.experiment.plan.footprint import footprint\n"
        "from flowsim.experiment.plan.reading import check, from_toml, json_schema\n"
        "from flowsim.scenario.digest import digest\n"
        "from flowsim.scenario.toml.writing import dumps\n"
        f"s = from_toml({SQUARED!r})\n"
        "repr(s); digest(s); footprint(s); json_schema(); dumps(s)\n"
        "assert not {'numpy', 'jax', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_marks_are_where_the_tests_think() -> None:
    assert marked("a\nb #!\n") == 2
