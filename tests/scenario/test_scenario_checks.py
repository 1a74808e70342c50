"""What the sections of a scenario must fit together, and the options that would do nothing."""

from __future__ import annotations

import pytest
from scenario_texts import REGRESSION, marked, spoilt, the_mistake, told

TARGET = "target = { spectrum = [3, 2, 1] }"
ONES = "[[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]"


def completion(observed: str) -> str:
    text = spoilt('"squared"', '"completion"')
    return spoilt(TARGET, f"{TARGET}\nobserved = {observed} #!", text)


SQUARED_CASES = [
    (TARGET, "target = [[1, 2], [3, 4]] #!", "loss.target: is 2 × 2, but network.widths make W 3"),
    (TARGET, "target = { spectrum = [4, 3, 2, 1] } #!", "loss.target: gives 4, but a 3 × 4 matrix"),
    (TARGET, "target = { rank = 4, norm = 1 } #!", "loss.target.rank: is 4, but a 3 × 4 matrix ha"),
    (TARGET, f"{TARGET}\np = 2 #!", 'loss.p: is not used by kind = "squared", only by "regression'),
    (TARGET, f"{TARGET}\nobserved = {ONES} #!", 'loss.observed: is not used by kind = "squared"'),
    (TARGET, f"{TARGET}\nmeasurements = 3 #!", 'loss.measurements: is not used by kind = "squar'),
    ("[descent]", "[data] #!\ndataset = 'iris'\n[descent]", 'data: is not used by loss.kind = "sq'),
    ("scale = 1e-3", "scale = 1e-3\nimbalance = 1 #!", 'init.imbalance: is not used by kind = "b'),
    ("scale = 1e-3", "scale = 1e-3\nlayers = [[[1]]] #!", 'init.layers: is not used by kind = "b'),
    ('"balanced"\nscale', '"xavier"\nscale = 1 #!\n#', 'init.scale: is not used by kind = "xavi'),
    ("horizon = 6.0", "horizon = 6.0\nfirst_time = 0.1 #!", "flow.first_time: is not used by spa"),
    (
        "horizon = 6.0",
        'horizon = 6.0\nspacing = "log"\nfirst_time = 6 #!',
        "flow.first_time: is 6.0, but the horizon is 6.0; write an earlier time",
    ),
    ("horizon = 6.0", "horizon = 1e-300 #!", "flow.horizon: is 1e-300, too small for saved time"),
    (
        "horizon = 6.0",
        'horizon = 1\nspacing = "log"\nfirst_time = 0.999999999999\nsamples = 9999 #!',
        "flow.samples: is 9999, too many for saved times to differ",
    ),
    ("[0.4, 0.1]", "[1e-20] #!", "descent.step_sizes: holds 1e-20, of which more than 2^53"),
    (
        "horizon = 6.0",
        'horizon = 6.0\nspaces = ["end_to_end"]\n[output]\nlayers = true #!',
        'output.layers: is not used without "layers" in flow.spaces',
    ),
    (
        "horizon = 6.0",
        'horizon = 6.0\nspaces = ["end_to_end"]\n[output]\nmeasures = ["sharpness"] #!',
        "output.measures: names sharpness, which needs the layer flow; leave it out, or add",
    ),
    ('"squared"', '"linear"\np = 2 #!', 'loss.p: is not used by kind = "linear"'),
    (
        "[4, 6, 5, 3]",
        '[4, 2, 3]\n[output]\nmeasures = ["explicit_loss"] #!',
        "output.measures: names explicit_loss, but it requires that W has full rank, 3, which a "
        "layer of width 2 prevents",
    ),
    (
        "[4, 6, 5, 3]",
        '[13, 6, 5]\n[output]\nmeasures = ["explicit_loss"] #!',
        "output.measures: names explicit_loss, but the Jacobian of its end-to-end field has 65²",
    ),
    (
        "[descent]",
        '[output]\nmeasures = ["minimum_nuclear_norm"] #!\n[descent]',
        'output.measures: names minimum_nuclear_norm, but a loss of kind "squared" does not',
    ),
    ("[descent]", "[output]\nplane = [[0, 0], [3, 0]] #!\n[descent]", "output.plane: names entry"),
    ("[descent]", "[output]\nplane = [[0, 1], [0, 1]] #!\n[descent]", "output.plane: names one en"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "start"), SQUARED_CASES)
def test_what_does_not_fit_is_told_at_its_key(old: str, new: str, start: str) -> None:
    assert the_mistake(spoilt(old, new)).startswith(start)


@pytest.mark.parametrize(
    ("observed", "start"),
    [
        ("{ count = 13 }", "loss.observed.count: is 13, but W has 12 entries; write no more"),
        ("{ fraction = 0.01 }", "loss.observed.fraction: is 0.01 of 12 entries, which is none"),
        ("{ fraction = 1.5 }", "loss.observed.fraction: is 1.5, but must be at most 1"),
        ("{ count = 0 }", "loss.observed.count: is 0, but must be at least 1"),
        ("[[1, 0], [0, 1]]", "loss.observed: is 2 × 2, but network.widths make W 3 × 4"),
        (ONES.replace("1", "0"), "loss.observed: observes nothing"),
        (ONES.replace("[[1", "[[2"), "loss.observed: row 1, column 1 is 2.0; write 1 where"),
    ],
)
def test_what_is_observed_must_fit(observed: str, start: str) -> None:
    assert the_mistake(completion(observed)).startswith(start)


@pytest.mark.parametrize("observed", [ONES, "{ count = 12 }", "{ fraction = 0.3 }"])
def test_what_is_observed_may_be_given_in_three_ways(observed: str) -> None:
    assert told(completion(observed)) == ()


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("completion", "loss.observed"),
        ("sensing", "loss.measurements"),
        ("regression", "data"),
        ("logistic", "data"),
        ("cross_entropy", "data"),
    ],
)
def test_what_a_loss_needs_is_asked_for(kind: str, key: str) -> None:
    mistakes = told(spoilt('"squared"', f'"{kind}"'))
    assert any(f": {key}: is missing, and " in mistake for mistake in mistakes)


def test_a_loss_with_a_target_asks_for_it() -> None:
    text = spoilt("[loss]", "[loss] #!")
    mistake = the_mistake(text.replace(TARGET, ""))
    assert mistake == (
        'loss.target: is missing, and kind = "squared" needs it; '
        "write target = [[1.0, 0.0], [0.0, 1.0]]"
    )


REGRESSION_CASES = [
    ("[[1, 2, 3], [0, 1, 0]]", "[[1, 2, 3]] #!", "data.inputs: is 1 × 3, but network.widths begin"),
    ("[[1, -1, 1]]", "[[1, -1]] #!", "data.targets: has 2 columns and data.inputs 3; wri"),
    ("[[1, -1, 1]]", "[[1, 0, 1], [0, 0, 1]] #!", "data.targets: is 2 × 3, but network.widths end"),
    ('kind = "regression"', 'kind = "regression"\np = 0.5 #!', "loss.p: is 0.5, but must be at"),
    ('kind = "regression"', f'kind = "regression"\n{TARGET} #!', "loss.target: is not used by"),
    ("[data]", "[data]\nsamples = 4 #!", "data.samples: is 4, but there are 3; write no more"),
    ("[data]", "[data]\nheld_out = 0.9 #!", "data.held_out: is 0.9 of 3 samples, which leaves"),
    ("[data]", "[data]\nheld_out = 0.1 #!", "data.held_out: is 0.1 of 3 samples, which is none; "),
    ("[data]", "[data]\nheld_out = 1 #!", "data.held_out: is 1, but must be below 1"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "start"), REGRESSION_CASES)
def test_what_does_not_fit_data_is_told(old: str, new: str, start: str) -> None:
    assert the_mistake(spoilt(old, new, REGRESSION)).startswith(start)


def test_data_come_from_one_source() -> None:
    both = told(spoilt("[data]", '[data]\ndataset = "iris"', REGRESSION))
    assert sum("is not used beside dataset" in mistake for mistake in both) == 2
    only_inputs = spoilt("[data]", "[data] #!", REGRESSION).replace("targets = [[1, -1, 1]]", "")
    assert (
        the_mistake(only_inputs) == "data.targets: is missing; write inputs and targets, or dataset"
    )
    nothing = only_inputs.replace("inputs = [[1, 2, 3], [0, 1, 0]]", "")
    assert the_mistake(nothing).startswith("data: holds no samples; write inputs and targets, or")


def with_loss(kind: str, targets: str, outputs: int) -> str:
    text = spoilt('"regression"', f'"{kind}"', REGRESSION)
    text = spoilt("[2, 3, 1]", f"[2, 3, {outputs}]", text)
    return spoilt("[[1, -1, 1]]", f"{targets} #!", text)


@pytest.mark.parametrize(
    ("kind", "targets", "outputs", "start"),
    [
        ("logistic", "[[1, 0, 1]]", 1, 'data.targets: holds 0.0, but loss.kind = "logistic" needs'),
        ("logistic", "[[1], [1]]", 1, 'data.targets: has 2 rows, but loss.kind = "logistic" takes'),
        ("cross_entropy", "[[0, 1, 2]]", 2, "data.targets: holds 2.0, but with 2 outputs the cla"),
        ("cross_entropy", "[[0, 0.5, 1]]", 2, "data.targets: holds 0.5, but with 2 outputs"),
        ("cross_entropy", "[[0, -1, 1]]", 2, "data.targets: holds -1.0, but with 2 outputs"),
    ],
)
def test_labels_must_be_what_the_loss_takes(
    kind: str, targets: str, outputs: int, start: str
) -> None:
    text = with_loss(kind, targets, outputs)
    place = f"s.toml:{marked(text)}: "
    assert any(mistake.startswith(place + start) for mistake in told(text))


def test_labels_that_fit_are_taken() -> None:
    assert told(with_loss("logistic", "[[1, -1, -1]]", 1)) == ()
    assert told(with_loss("cross_entropy", "[[0, 2, 1]]", 3)) == ()


@pytest.mark.parametrize(
    ("kind", "outputs", "reason"),
    [
        ("logistic", 2, 'end with 2, but loss.kind = "logistic" needs one output; write d_N = 1'),
        ("cross_entropy", 1, "end with 1, but loss.kind"),
    ],
)
def test_outputs_must_be_what_the_loss_takes(kind: str, outputs: int, reason: str) -> None:
    targets = "[[1, -1, 1]]" if kind == "logistic" else "[[0, 0, 0]]"
    mistakes = told(with_loss(kind, targets, outputs))
    assert mistakes == (mistakes[0],)
    assert f"network.widths: {reason}" in mistakes[0]


def on_dataset(name: str, kind: str, inputs: int, outputs: int) -> str:
    text = spoilt('"regression"', f'"{kind}"', REGRESSION)
    text = spoilt("[2, 3, 1]", f"[{inputs}, 30, {outputs}]", text)
    begin, end = text.index("inputs ="), text.index("[init]")
    return f'{text[:begin]}dataset = "{name}"\n\n{text[end:]}'


FITTING = [
    ("digits", "cross_entropy", 64, 10),
    ("digits", "regression", 64, 10),
    ("diabetes", "regression", 10, 1),
    ("iris", "cross_entropy", 4, 3),
    ("iris", "regression", 4, 3),
    ("wine", "cross_entropy", 13, 3),
    ("breast_cancer", "logistic", 30, 1),
    ("breast_cancer", "cross_entropy", 30, 2),
    ("linnerud", "regression", 3, 3),
]


@pytest.mark.parametrize(("name", "kind", "inputs", "outputs"), FITTING)
def test_bundled_data_fit_their_widths_only(
    name: str, kind: str, inputs: int, outputs: int
) -> None:
    assert told(on_dataset(name, kind, inputs, outputs)) == ()
    assert "begin with" in "\n".join(told(on_dataset(name, kind, inputs + 1, outputs)))
    assert "end with" in "\n".join(told(on_dataset(name, kind, inputs, outputs + 1)))


@pytest.mark.parametrize(
    ("name", "kind", "outputs"),
    [("diabetes", "cross_entropy", 2), ("iris", "logistic", 1), ("linnerud", "logistic", 1)],
)
def test_bundled_data_of_another_kind_are_refused(name: str, kind: str, outputs: int) -> None:
    inputs = {"diabetes": 10, "iris": 4, "linnerud": 3}[name]
    (mistake,) = told(on_dataset(name, kind, inputs, outputs))
    assert "data.dataset: has " in mistake
    assert "breast_cancer" in mistake


def test_bundled_data_have_the_shapes_that_the_table_says() -> None:
    from sklearn import datasets

    from flowsim.scenario.build.shapes import BUNDLED

    for name, about in BUNDLED.items():
        bunch = getattr(datasets, f"load_{name}")()
        assert bunch.data.shape == (about.samples, about.inputs)
        if about.classes:
            assert len(set(bunch.target.tolist())) == about.classes
        else:
            assert bunch.target.reshape(about.samples, -1).shape[1] == about.outputs


def starting(widths: str, init: str) -> str:
    text = spoilt("[4, 6, 5, 3]", widths)
    text = spoilt(TARGET, "target = { identity = 1 }", text)
    return spoilt('kind = "balanced"\nscale = 1e-3', init, text)


@pytest.mark.parametrize(
    ("widths", "layers", "start"),
    [
        ("[2, 1]", "[[[1, 2]], [[1]]]", "init.layers: holds 2 matrices, but network.widths make 1"),
        (
            "[2, 1]",
            "[[[1], [2]]]",
            "init.layers: has W_1 of 2 × 1, but network.widths make it 1 × ",
        ),
        ("[2, 3, 1]", "[[[1, 2]], [[1]]]", None),
        ("[1, 1, 1]", "[[[1e-200]], [[1e-200]]]", "init.layers: are so small that their product"),
        ("[1, 1]", "[[[true]]]", "init.layers: matrix 1: row 1, column 1 is true"),
        ("[1, 1]", "[[1]]", "init.layers: matrix 1: row 1 is 1, but an array of rows"),
    ],
)
def test_explicit_layers_must_fit(widths: str, layers: str, start: str | None) -> None:
    text = starting(widths, f'kind = "explicit"\nlayers = {layers} #!')
    if start is None:
        assert len(told(text)) == 2
    else:
        assert the_mistake(text).startswith(start)


def test_explicit_layers_that_fit_are_taken() -> None:
    assert told(starting("[2, 1, 1]", 'kind = "explicit"\nlayers = [[[1, 2]], [[0]]]')) == ()


@pytest.mark.parametrize(
    ("widths", "imbalance", "fits"),
    [
        ("[4, 3, 3]", 1, True),
        ("[4, 2, 2, 3]", -1, True),
        ("[4, 6, 8]", 1, True),
        ("[4, 6, 8]", 0, True),
        ("[8, 6, 4]", -1, True),
        ("[4, 6, 8]", -1, False),
        ("[8, 6, 4]", 1, False),
        ("[4, 9, 8]", 1, False),
        ("[4, 3, 2, 3]", 1, False),
        ("[4, 3]", 1, False),
    ],
)
def test_lambda_balanced_starts_need_widths_that_allow_them(
    widths: str, imbalance: int, fits: bool
) -> None:
    init = f'kind = "lambda_balanced"\nscale = 1\nimbalance = {imbalance}'
    mistakes = told(starting(widths, init))
    assert (mistakes == ()) == fits
    assert fits or "init." in mistakes[0]


@pytest.mark.parametrize(
    ("widths", "fits"), [("[4, 3, 3]", True), ("[4, 2, 3]", False), ("[4, 3]", True)]
)
def test_identity_starts_need_hidden_widths_no_narrower_than_w(widths: str, fits: bool) -> None:
    mistakes = told(starting(widths, 'kind = "identity"\nscale = 1'))
    assert (mistakes == ()) == fits


def test_a_linear_loss_has_no_modes_and_nothing_that_minimizes_it() -> None:
    linear = spoilt('"squared"', '"linear"')
    assert told(linear) == ()
    text = spoilt("horizon = 6.0", 'horizon = 6.0\nspaces = ["modes"] #!', linear)
    assert the_mistake(text).startswith(
        'flow.spaces: names "modes", which are those of a quadratic'
    )
    text = f'{linear}[[claims]]\nquantity = "descent.distance_to_target"\nbelow = 1\n'
    (mistake,) = told(text)
    assert 'a loss of kind "linear" has no target' in mistake
    assert told(spoilt('"balanced"', '"aligned"', linear)) == ()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.1]", "0.1]\nmomentum = 0.9", "it does not support momentum; remove descent.momentum"),
        (
            "0.1]",
            '0.1]\nrule = "adagrad"',
            "it requires gradient descent; write descent.rule =",
        ),
        ("0.1]", '0.1]\nprecision = "float32"', "it is computed in float64; write descent.precis"),
        ("6.0", "6.0\nweight_decay = 0.1", "it does not support weight decay; remove flow.weight"),
        ("[4, 6, 5, 3]", "[4, 3]", "one layer has no balancedness; write more network.widths"),
        (
            "[descent]\nstep_sizes = [0.4, 0.1]",
            "",
            "there is no descent; write [descent] with step",
        ),
    ],
)
def test_a_drift_budget_is_that_of_plain_descent_on_two_layers_or_more(old, new, reason) -> None:
    text = spoilt(old, new) + '[output]\nmeasures = ["drift_budget"]\n'
    (mistake,) = told(text)
    assert f"output.measures: names drift_budget, but {reason}" in mistake


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.1]", "0.1]\nmomentum = 0.9", "it does not support momentum; remove descent.momentum"),
        ("[descent]\nstep_sizes = [0.4, 0.1]", "", "there is no descent; write [descent] with"),
    ],
)
def test_descent_is_tracked_only_where_it_is_plain(old, new, reason) -> None:
    measured = '[output]\nmeasures = ["tracking_bound"]\n'
    (mistake,) = told(spoilt(old, new) + measured)
    assert f"output.measures: names tracking_bound, but {reason}" in mistake
    decaying = spoilt("6.0", "6.0\nweight_decay = 0.1", spoilt("[4, 6, 5, 3]", "[4, 3]"))
    assert told(decaying + measured) == ()


def test_on_a_line_no_explicit_loss_is_asked_for() -> None:
    text = REGRESSION.replace("[2, 3, 1]", "[1, 3, 1]").replace(
        "[[1, 2, 3], [0, 1, 0]]", "[[1, 2, 3]]"
    )
    (mistake,) = told(text + '[output]\nmeasures = ["explicit_loss"]\n')
    assert "W is a single number, and on a line every field is a gradient" in mistake


def test_aligned_starts_need_singular_vectors() -> None:
    aligned = spoilt('kind = "xavier"', 'kind = "aligned" #!\nscale = 1', REGRESSION)
    assert told(aligned) == ()
    for loss in ('kind = "regression"\np = 4', 'kind = "logistic"'):
        text = spoilt('kind = "regression"', loss, aligned)
        assert the_mistake(text).startswith('init.kind: "aligned" takes the singular vectors of a')


@pytest.mark.parametrize(
    ("kind", "key"),
    [("balanced", "scale"), ("lambda_balanced", "imbalance"), ("explicit", "layers")],
)
def test_what_a_start_needs_is_asked_for(kind: str, key: str) -> None:
    mistakes = told(starting("[4, 3, 3]", f'kind = "{kind}"'))
    assert any(f"init.{key}: is missing, and kind" in mistake for mistake in mistakes)


@pytest.mark.parametrize(
    "lines",
    [
        "stop_at_loss = -3",
        'stop = "converged"',
        "stop = { loss = -3, distance = 1e-300, effective_rank = 1 }",
        'spacing = "log"',
        'spacing = "log"\nfirst_time = 1e-3\nsamples = 2',
        "samples = 2",
        f"rtol = {100 * 2.0**-52!r}",
        'spaces = ["end_to_end"]\nmethod = "kvaerno5"',
        "weight_decay = 0",
        "max_steps = 1",
        "atol = 1e-300",
    ],
)
def test_options_at_their_limits_are_taken(lines: str) -> None:
    assert told(spoilt("horizon = 6.0", f"horizon = 6\n{lines}")) == ()


def test_a_step_larger_than_the_horizon_is_taken() -> None:
    assert told(spoilt("[0.4, 0.1]", "[100, 6]\nmomentum = 0.0")) == ()


def test_a_mistake_in_one_section_does_not_hide_those_between_the_others() -> None:
    text = spoilt("horizon = 6.0", "horizon = -1\nxyzzy = 1")
    text = spoilt(TARGET, "target = [[1, 2]]\nforeign = 1", text)
    text = spoilt("scale = 1e-3", "scale = true\nimbalance = 1", text)
    keys = [mistake.split(": ")[1] for mistake in told(text)]
    assert keys == [
        "loss.target", "loss.foreign", "init.scale", "init.imbalance", "flow.horizon", "flow.xyzzy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "6.0",
            "6.0\nweight_decay = 0.1",
            "it does not support weight decay; remove flow.weight_decay",
        ),
        ("0.1]", "0.1]\nmomentum = 0.9", "it does not support momentum; remove descent.momentum"),
        ("[4, 6, 5, 3]", "[4, 40, 3]", "the Hessian over the layers has 280² entries; write netw"),
        ("[descent]\nstep_sizes = [0.4, 0.1]", "", "there is no descent; write [descent] with"),
    ],
)
def test_flows_that_describe_descent_are_of_small_plain_ones(old, new, reason) -> None:
    (mistake,) = told(spoilt(old, new) + '[output]\nmeasures = ["descriptions"]\n')
    assert f"output.measures: names descriptions, but {reason}" in mistake
