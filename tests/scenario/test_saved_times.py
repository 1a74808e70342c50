"""Saved times as a file gives them: `flow.times`, or horizon, samples and spacing."""

from __future__ import annotations

import numpy as np
import pytest
from scenario_texts import SQUARED, spoilt, the_mistake, told

from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.pictures.kit.reading import has_log_times
from flowsim.results.run import Run
from flowsim.scenario import overrides
from flowsim.scenario.build.problem import saved_times
from flowsim.scenario.toml.writing import dumps

TIMES = [0.0, 0.5, 0.75, 2.0]
GIVEN = spoilt("horizon = 6.0", "times = [0, 0.5, 0.75, 2]")


def test_they_are_the_times_of_the_flows_and_the_iterates() -> None:
    """One layer on ½‖W - Φ‖²_F: W = Φ + e^-t (W_0 - Φ) at exactly these times."""
    changes = {"network.widths": [4, 3], "init.scale": 0.5, "descent.step_sizes": [0.25]}
    found = run(from_toml(GIVEN, overrides=changes), "given")
    np.testing.assert_array_equal(found["layers.time"], TIMES)
    np.testing.assert_array_equal(found["descent.iteration"], [[0, 2, 3, 8]])
    W = found["layers.end_to_end"]
    target = found["layers.end_to_end"][0] + (W[1] - W[0]) / (1 - np.exp(-TIMES[1]))
    decayed = np.exp(-np.array(TIMES))[:, None, None]
    np.testing.assert_allclose(W, target + decayed * (W[0] - target), atol=1e-7)


def test_the_last_one_is_the_horizon_and_the_rest_is_not_written() -> None:
    scenario = from_toml(GIVEN)
    assert (scenario.flow.horizon, scenario.flow.samples) == (2.0, 4)
    assert "to time 2, 4 given times" in str(scenario)
    written = dumps(scenario)
    assert "times = [0.0, 0.5, 0.75, 2.0]" in written
    assert not any(f"\n{key} = " in written for key in ("horizon", "samples", "spacing"))
    assert from_toml(written) == scenario


def test_the_later_of_two_ways_replaces_the_other() -> None:
    text = SQUARED.replace("horizon = 6.0", 'horizon = 6.0\nsamples = 30\nspacing = "log"')
    given = from_toml(text, overrides={"flow.times": TIMES}).flow
    assert given.times == tuple(TIMES)
    np.testing.assert_array_equal(
        saved_times(from_toml(text, overrides={"flow.times": TIMES})), TIMES
    )
    equal = from_toml(GIVEN, overrides={"flow.horizon": 3.0, "flow.samples": 4})
    assert equal.flow.times is None
    np.testing.assert_allclose(saved_times(equal), [0, 1, 2, 3], rtol=1e-15)


def test_variants_may_have_times_of_their_own() -> None:
    text = GIVEN + "\n".join(
        f'\n[[variant]]\nname = "{name}"\nset = {{ {setting} }}'
        for name, setting in (("given", '"flow.times" = [0, 1]'), ("equal", '"flow.horizon" = 3.0'))
    )
    found = {name: run.flow for name, run in overrides.variants(from_toml(text)).items()}
    assert found["given"].times == (0.0, 1.0)
    assert (found["given"].horizon, found["given"].samples) == (1.0, 2)
    assert (found["equal"].times, found["equal"].horizon) == (None, 3.0)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ("3", "is 3, but an array of numbers such as"),
        ("[]", "is empty, but an array of numbers"),
        ("[0]", "must be two or more times, of which the first is 0"),
        ("[0.1, 1]", "must be two or more times, of which the first is 0"),
        ("[-1, 0]", "must be two or more times, of which the first is 0"),
        ("[0, 2, 1]", "holds 1.0 after 2.0; write times that increase"),
        ("[0, 1, 1]", "holds 1.0 after 1.0; write times that increase"),
        ("[0, 1, 1.0000000000000002]", "holds 1.0000000000000002 after 1.0; write times that inc"),
        ("[0, 1e-300]", "ends at 1e-300, too small for times to differ"),
        ("[0, nan]", "entry 2 is nan"),
        ('[0, "1"]', 'entry 2 is "1"'),
        ("[0, true]", "entry 2 is true"),
    ],
)
def test_times_that_no_flow_can_have_are_the_only_mistake(times: str, says: str) -> None:
    mistake = the_mistake(spoilt("horizon = 6.0", f"times = {times} #!"))
    assert mistake.startswith(f"flow.times: {says}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("horizon = 6.0 #!", "flow.horizon: is 6.0, but flow.times are given; remove one"),
        ("samples = 5 #!", "flow.samples: is 5, but flow.times are given; remove one"),
        ('spacing = "log" #!', 'flow.spacing: is "log", but flow.times are given; remove one'),
        ("first_time = 0.1 #!", "flow.first_time: is not used with flow.times; remove it"),
    ],
)
def test_two_ways_at_once_are_refused(line: str, says: str) -> None:
    assert the_mistake(spoilt("horizon = 6.0", f"times = [0, 1]\n{line}")) == says


def test_what_agrees_with_the_times_is_no_mistake() -> None:
    assert not told(spoilt("horizon = 6.0", "times = [0, 1]\nhorizon = 1\nsamples = 2"))


@pytest.mark.parametrize(
    ("times", "log"), [([0, 1e-3, 1e-2, 0.1, 1], True), ([0, 0.25, 0.5, 1], False), ([0, 1], False)]
)
def test_times_that_are_dense_near_0_are_drawn_on_a_log_axis(times: list, log: bool) -> None:
    scenario = from_toml(SQUARED, overrides={"flow.times": times})
    assert has_log_times([Run("given", scenario, {}, {}, {}, None)]) == log
