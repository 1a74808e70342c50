"""Claims: one comparison each, of variables that the run will have."""

from __future__ import annotations

import pytest
from scenario_texts import SQUARED, spoilt, told

VARIANTS = '\n[[variant]]\nname = "deep"\nset = {}\n[[variant]]\nname = "flat"\n'
VARIANTS += 'set = { "network.widths" = [4, 3], "flow.spaces" = ["end_to_end"] }\n'


def claiming(claim: str, text: str = SQUARED) -> list[str]:
    """Return what is wrong with a claim, without the place; its line is checked."""
    mistakes = told(f"{text}\n[[claims]]\n{claim}\n")
    first = text.count("\n") + 2
    lines = [int(mistake.split(":")[1]) for mistake in mistakes]
    assert all(first <= line <= first + claim.count("\n") + 1 for line in lines)
    return [mistake.partition(": ")[2] for mistake in mistakes]


@pytest.mark.parametrize(
    "quantity",
    [
        "layers.loss", "layers.imbalance", "end_to_end.singular_values", "descent.loss",
        "descent.distance_to_target", "comparison.end_to_end_vs_layers", "exact.loss",
        "comparison.descent_vs_flow", "comparison.layers_vs_exact", "plane.loss", "plane.descent",
        "layers.error_estimate", "descent.end_to_end", "plane.layers_time",
    ],
)  # fmt: skip
def test_variables_that_there_will_be_can_be_claimed(quantity: str) -> None:
    assert claiming(f'quantity = "{quantity}"\nbelow = 1') == []


@pytest.mark.parametrize(
    ("quantity", "start"),
    [
        ("layer.loss", 'claims[0].quantity: "layer.loss" names no group of a run; did you mean la'),
        ("loss", 'claims[0].quantity: "loss" names no group of a run; write one of layers'),
        ("", 'claims[0].quantity: "" names no group of a run'),
        ("layers.lost", 'claims[0].quantity: "layers.lost" names no variable of numbers of layers'),
        ("descent.outcome", 'claims[0].quantity: "descent.outcome" names no variable of numbers'),
        ("deep/layers.loss", 'claims[0].quantity: names variant "deep", but there are none'),
        ("layers.layer_1", 'claims[0].quantity: "layers.layer_1" will not exist: layers are not'),
        ("layers.saved_time", 'claims[0].quantity: "layers.saved_time" will not exist: W is saved'),
        (
            "sharpness.largest",
            'claims[0].quantity: "sharpness.largest" will not exist: that is not',
        ),
        ("layers.held_out_loss", 'claims[0].quantity: "layers.held_out_loss" will not exist: no '),
        (
            "explicit_loss.closed_form_apart",
            'claims[0].quantity: "explicit_loss.closed_form_apart" was renamed; write '
            "explicit_loss.closed_form_deviation",
        ),
    ],
)
def test_variables_that_there_will_not_be_are_told(quantity: str, start: str) -> None:
    (mistake,) = claiming(f'quantity = "{quantity}"\nbelow = 1')
    assert mistake.startswith(start)


def test_the_nearest_variable_is_named() -> None:
    (mistake,) = claiming('quantity = "layers.singular_value"\nbelow = 1')
    assert mistake.endswith("did you mean layers.singular_values")


def test_variables_need_the_sections_that_make_them() -> None:
    no_descent = SQUARED.replace("[descent]\nstep_sizes = [0.4, 0.1]\n", "")
    for quantity in ("descent.loss", "comparison.descent_vs_flow", "plane.descent"):
        (mistake,) = claiming(f'quantity = "{quantity}"\nbelow = 1', no_descent)
        assert mistake.endswith("there is no descent; write [descent] with step_sizes")
    reduced = spoilt("horizon = 6.0", 'horizon = 6.0\nspaces = ["end_to_end"]')
    for quantity in (
        "layers.loss",
        "comparison.end_to_end_vs_layers",
        "comparison.layers_vs_exact",
    ):
        (mistake,) = claiming(f'quantity = "{quantity}"\nbelow = 1', reduced)
        assert mistake.endswith("add layers to flow.spaces")
    one_layer = spoilt("[4, 6, 5, 3]", "[4, 3]")
    (mistake,) = claiming('quantity = "layers.imbalance"\nbelow = 1', one_layer)
    assert "has no pair of layers" in mistake
    measured = f'{SQUARED}\n[output]\nmeasures = ["sharpness"]\n'
    for name in ("largest", "smallest", "error"):
        assert claiming(f'quantity = "sharpness.{name}"\nbelow = 1', measured) == []
    wide = spoilt("[4, 6, 5, 3]", "[40, 6, 5, 3]") + '\n[output]\nmeasures = ["preconditioner"]\n'
    for at, end in (("left = 2, right = 31", ""), ("left = 3", "are 3"), ("right = 32", "are 32")):
        claim = f'quantity = "preconditioner.eigenvalues"\nbelow = 1\nat = {{ {at} }}'
        mistakes = claiming(claim, wide)
        assert len(mistakes) == bool(end)
        assert not end or f"there {end}, counted from 0" in mistakes[0]
    asked = f'{SQUARED}\n[output]\nmeasures = ["explicit_loss"]\n'
    for name, at in (
        ("conservative", ""),
        ("asymmetry", "point = 11"),
        ("circulation", "loop = 12"),
    ):
        text = f'quantity = "explicit_loss.{name}"\nbelow = 1\nat = {{ {at} }}'
        assert claiming(text, asked) == []
    text = 'quantity = "explicit_loss.asymmetry"\nbelow = 1\nat = { point = 12 }'
    (mistake,) = claiming(text, asked)
    assert "is 12, but there are 12, counted from 0" in mistake
    text = 'quantity = "explicit_loss.circulation"\nbelow = 1\nat = { point = 0 }'
    (mistake,) = claiming(text, asked)
    assert "is no dimension of explicit_loss.circulation" in mistake
    seen = spoilt('"squared"', '"completion"\nobserved = { count = 5 }')
    seen += '\n[output]\nmeasures = ["minimum_nuclear_norm", "norms"]\n'
    for quantity in ("norms.schatten_half", "minimum_nuclear_norm.lower_bound"):
        assert claiming(f'quantity = "{quantity}"\nbelow = 1', seen) == []
    layers = f"{SQUARED}\n[output]\nlayers = true\n"
    assert claiming('quantity = "layers.layer_3"\nbelow = 1', layers) == []
    (mistake,) = claiming('quantity = "layers.layer_4"\nbelow = 1', layers)
    assert "the network has 3 layers" in mistake


@pytest.mark.parametrize(
    ("comparison", "mistake"),
    [
        ("", "claims[0]: has no comparison; write one of below, above, equals,"),
        ("below = 1\nabove = 2", "claims[0].above: is a second comparison beside below"),
        ("equals = 1", "claims[0].within: is missing, and equals needs it; write within = 0.001"),
        (
            "below = 1\nwithin = 2",
            "claims[0].within: is not used without equals, trend or order; remove it",
        ),
        ('trend = "falling"', 'claims[0].trend: is "falling", which is not known'),
        ('below = 1\ntrend = "decreasing"', "claims[0].trend: is a second comparison"),
        (
            'trend = "decreasing"\nreduce = "last"',
            "claims[0].reduce: is not used by trend, which looks at every saved time; remove it",
        ),
        (
            'trend = "decreasing"\nat = { time = 1 }',
            "claims[0].at: picks one time, and a trend needs all; leave the time out",
        ),
        (
            "order = 1\nwithin = 0.1",
            "claims[0].order: is a power of the step size, but layers.loss has time; write another",
        ),
        ("equals = 1\nwithin = 0", "claims[0].within: is 0, but must be above 0"),
        ("below = nan", "claims[0].below: is nan, but must be finite"),
        ("below = true", "claims[0].below: is true, but a number is required"),
        (
            'below_quantity = "layers.los"',
            'claims[0].below_quantity: "layers.los" names no variabl',
        ),
        ('below = 1\nreduce = "median"', 'claims[0].reduce: is "median", which is not known'),
        ("below = 1\nabov = 1", "claims[0].abov: unknown key; did you mean claims.above"),
        (
            "below = 1\nat = { step_size = 0.3 }",
            "claims[0].at.step_size: is no dimension of layers",
        ),
        ("below = 1\nat = { mode = 0 }", "claims[0].at.mode: is no dimension of layers.loss"),
        (
            "below = 1\nat = { mod = 0 }",
            "claims[0].at.mod: unknown key; did you mean claims.at.mod",
        ),
        ("below = 1\nat = { mode = 0.5 }", "claims[0].at.mode: is 0.5, but an integer is required"),
        ("below = 1\nat = { mode = -1 }", "claims[0].at.mode: is -1, but must be at least 0"),
    ],
)
def test_a_claim_makes_one_comparison(comparison: str, mistake: str) -> None:
    (told_mistake,) = claiming(f'quantity = "layers.loss"\n{comparison}')
    assert told_mistake.startswith(mistake)


@pytest.mark.parametrize(
    ("quantity", "at", "reason"),
    [
        ("descent.loss", "step_size = 0.4, sample = 199", None),
        ("descent.loss", "step_size = 0.3", "is 0.3, but the step sizes are 0.4 or 0.1"),
        ("descent.loss", "sample = 200", "is 200, but there are 200, counted from 0"),
        ("layers.singular_values", "mode = 2", None),
        ("layers.singular_values", "mode = 3", "is 3, but there are 3, counted from 0"),
        ("layers.end_to_end", "output = 2, input = 3", None),
        ("layers.end_to_end", "output = 3", "is 3, but there are 3"),
        ("layers.loss", "time = 6.0", None),
        ("comparison.layers_vs_exact", "time = 0", None),
        ("layers.loss", "time = 6.5", "is 6.5, but the flow ends at 6.0; write no more"),
        ("layers.loss", "time = -1", "at.time: is -1, but must be at least 0"),
        ("descent.loss", "time = 1", "at.time: is no dimension of descent.loss"),
        ("layers.imbalance", "pair = 1", None),
        ("layers.imbalance", "pair = 2", "is 2, but there are 2"),
    ],
)
def test_at_picks_an_entry_that_there_is(quantity: str, at: str, reason: str | None) -> None:
    mistakes = claiming(f'quantity = "{quantity}"\nbelow = 1\nat = {{ {at} }}')
    assert len(mistakes) == (reason is not None)
    assert reason is None or reason in mistakes[0]


def test_a_trend_goes_along_time_and_an_order_over_step_sizes() -> None:
    assert claiming('quantity = "layers.loss"\ntrend = "decreasing"') == []
    assert claiming('quantity = "descent.loss"\ntrend = "increasing"\nwithin = 0.1') == []
    gap = 'quantity = "comparison.descent_vs_flow"\norder = 1\nwithin = 0.1'
    assert claiming(gap) == []
    (mistake,) = claiming(gap.replace("within = 0.1", ""))
    assert mistake == "claims[0].within: is missing, and order needs it; write within = 0.001"
    (mistake,) = claiming('quantity = "descent.step_size"\ntrend = "increasing"')
    assert "needs a time dimension, but descent.step_size has step_size" in mistake
    (mistake,) = claiming(f"{gap}\nat = {{ step_size = 0.4 }}")
    assert "picks one step size, and an order needs all; remove it" in mistake
    (mistake,) = claiming(gap, SQUARED.replace("[0.4, 0.1]", "[0.4]"))
    assert "fitted over step sizes, but there is one" in mistake


def test_at_must_fit_the_other_quantity_too() -> None:
    claim = 'quantity = "layers.singular_values"\nbelow_quantity = "layers.loss"\nat = { mode = 0 }'
    (mistake,) = claiming(claim)
    assert mistake.startswith("claims[0].at.mode: is no dimension of layers.loss")


def test_with_strides_w_has_its_own_times() -> None:
    text = f'{SQUARED}\n[output]\nend_to_end = "last"\n'
    assert claiming('quantity = "layers.saved_time"\nbelow = 1', text) == []
    (mistake,) = claiming('quantity = "descent.end_to_end"\nbelow = 1\nat = { sample = 0 }', text)
    assert "which has step_size, saved_sample, output or input" in mistake


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        ("deep/layers.loss", None),
        ("flat/end_to_end.loss", None),
        (
            "layers.loss",
            "names no variant, and with variants the base is not run; write deep/layers",
        ),
        ("dep/layers.loss", 'names an unknown variant "dep"; did you mean deep/layers.loss'),
        ("x/layers.loss", 'names an unknown variant "x"; there are deep or flat'),
        ("flat/layers.loss", '"flat/layers.loss" will not exist: the flow is not solved in that'),
        ("a/b/layers.loss", 'names an unknown variant "a/b"'),
    ],
)
def test_with_variants_a_claim_names_one(quantity: str, reason: str | None) -> None:
    mistakes = claiming(f'quantity = "{quantity}"\nbelow = 1', SQUARED + VARIANTS)
    assert len(mistakes) == (reason is not None)
    assert reason is None or reason in mistakes[0]


def test_claims_are_not_judged_by_variants_that_are_not_known() -> None:
    text = f"{SQUARED}{VARIANTS}[[variant]]\nset = {{}}\n"
    mistakes = told(f'{text}[[claims]]\nquantity = "new/layers.loss"\nbelow = 1\n')
    assert [mistake.split(": ")[1] for mistake in mistakes] == ["variant[2].name"]
