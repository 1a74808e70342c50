"""Seeds by purpose: each draws one thing, and leaves the other draws as they were."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scenario_texts import SQUARED, spoilt, the_mistake

from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario import overrides
from flowsim.scenario.build.problem import build_problem, held_out, noise_keys, training
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.toml.writing import dumps

COMPLETION = SQUARED.replace('"squared"', '"completion"\nobserved = { fraction = 0.5 }').replace(
    "scale = 1e-3", "scale = 1e-3\nnoise = 1e-4"
) + "batch = 2\n"  # fmt: skip
SENSING = SQUARED.replace('"squared"', '"sensing"\nmeasurements = 5')
BUNDLED = """title = "On a data set"
[network]
widths = [10, 1]
[loss]
kind = "regression"
[data]
dataset = "diabetes"
samples = 40
held_out = 0.25
[init]
kind = "gaussian"
scale = 0.1
[flow]
horizon = 1
"""


def drawn(scenario: Scenario) -> dict[str, np.ndarray]:
    """Return what each purpose draws, as one array each."""
    loss, samples = training(scenario)
    found = {"init": np.concatenate([np.ravel(W) for W in build_problem(scenario).layers])}
    of_loss = [getattr(loss, name) for name in ("Phi", "observed", "A") if hasattr(loss, name)]
    if of_loss:
        found["loss"] = np.concatenate([np.ravel(a) for a in of_loss])
    if samples is not None:
        kept_out = held_out(scenario).value(np.zeros(scenario.network.shape))
        found["data"] = np.append(samples.X.ravel(), kept_out)
    if scenario.descent is not None and scenario.descent.noisy:
        found["descent"] = np.concatenate(
            [np.ravel(jax.random.key_data(noise_keys(scenario, name, 2))) for name in NOISE]
        )
    return found


NOISE = ("noise", "brownian motion")


@pytest.mark.parametrize("text", [COMPLETION, SENSING, BUNDLED], ids=["mask", "sensing", "data"])
def test_a_seed_of_a_table_draws_its_own_and_nothing_else(text: str) -> None:
    """Its draws are those of that seed of the scenario, bitwise; the others stay."""
    usual, other = (drawn(from_toml(text, overrides={"seed": seed})) for seed in (3, 7))
    for purpose in usual:
        found = drawn(from_toml(text, overrides={"seed": 3, f"{purpose}.seed": 7}))
        for name, array in found.items():
            assert not np.array_equal(usual[name], other[name])
            np.testing.assert_array_equal(array, other[name] if name == purpose else usual[name])


def test_the_seed_of_the_scenario_draws_the_rest() -> None:
    """Twenty starts meet one target: with loss.seed the seed of the scenario changes the others."""
    first, second = (
        drawn(from_toml(COMPLETION, overrides={"seed": seed, "loss.seed": 5})) for seed in (0, 1)
    )
    np.testing.assert_array_equal(first["loss"], second["loss"])
    assert not np.array_equal(first["init"], second["init"])
    assert not np.array_equal(first["descent"], second["descent"])


def test_twenty_starts_meet_one_target() -> None:
    variants = "".join(
        f'\n[[variant]]\nname = "start-{k}"\nset = {{ "init.seed" = {k} }}\n' for k in range(20)
    )
    found = [drawn(run) for run in overrides.variants(from_toml(SQUARED + variants)).values()]
    assert len({each["loss"].tobytes() for each in found}) == 1
    assert len({each["init"].tobytes() for each in found}) == 20


def test_a_seed_is_written_and_shown() -> None:
    seeds = {"init.seed": 1, "loss.seed": 2, "descent.seed": 4}
    scenario = from_toml(COMPLETION, overrides=seeds)
    assert from_toml(dumps(scenario)) == scenario
    for row in ("balanced, scale 0.001, noise 0.0001, seed 1", "seed 2", "seed 4"):
        assert row in str(scenario)
    assert "seed 6" in str(from_toml(BUNDLED, overrides={"data.seed": 6}))
    assert "seed =" not in dumps(from_toml(COMPLETION)).replace("\nseed = 3", "")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scale = 1e-3", "scale = 1e-3\nseed = -1 #!", "init.seed: is -1, but must be at least 0"),
        ("scale = 1e-3", "scale = 1e-3\nseed = 0.5 #!", "init.seed: is 0.5, but an integer is"),
        ("scale = 1e-3", "scale = 1e-3\nseed = true #!", "init.seed: is true, but an integer is"),
        (
            '"squared"',
            '"squared"\nseed = 9223372036854775808 #!',
            "loss.seed: is 9223372036854775808",
        ),
        (
            "{ spectrum = [3, 2, 1] }",
            "{ identity = 1.0 }\nseed = 1 #!",
            "loss.seed: is not used, as neither the target nor the observed entries are drawn",
        ),
        (
            '"balanced"',
            '"aligned"\nseed = 1 #!',
            "init.seed: is not used, as no layers are drawn at random; remove it, or write",
        ),
        (
            "[0.4, 0.1]",
            "[0.4, 0.1]\nseed = 1 #!",
            "descent.seed: is not used, as descent has no noise; remove it, or write batch",
        ),
        (
            "horizon = 6.0",
            "horizon = 6.0\nseed = 1 #!",
            "flow.seed: unknown key here; did you mean",
        ),
    ],
)
def test_a_seed_that_does_not_fit_is_refused(old: str, new: str, says: str) -> None:
    assert the_mistake(spoilt(old, new)).startswith(says)


def test_samples_that_are_all_used_are_not_drawn() -> None:
    text = BUNDLED.replace("samples = 40\nheld_out = 0.25", "seed = 1 #!")
    assert the_mistake(text).startswith("data.seed: is not used, as no samples are chosen at")


def test_a_loss_on_data_draws_nothing_itself() -> None:
    text = BUNDLED.replace('"regression"', '"regression"\nseed = 1 #!')
    assert the_mistake(text).startswith('loss.seed: is not used by kind = "regression", only by')
