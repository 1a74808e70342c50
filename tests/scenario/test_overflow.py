"""Values at which the loss at the start overflows are refused with their file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario_texts import REGRESSION, SQUARED, spoilt

import flowsim
from flowsim.cli import main
from flowsim.scenario.spec.errors import ScenarioError

PAST = "at which the loss at the start is past the range of float64; write"
TARGETED = spoilt("[3, 2, 1]", "[1e200]")


def line_of(text: str, key: str) -> int:
    """Return the line of the first key called so."""
    return next(i for i, line in enumerate(text.splitlines(), 1) if line.startswith(f"{key} ="))


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        (spoilt("scale = 1e-3", "scale = 1e200"), "init.scale", "is 1e+200, but must be at most"),
        (
            spoilt("scale = 1e-3", "scale = 1e-3\nnoise = 1e200"),
            "init.noise",
            "is 1e+200, but must be at most",
        ),
        (TARGETED, "loss.target", "holds "),
        (
            REGRESSION.replace("[[1, 2,", "[[1e200, 2,", 1),
            "data.inputs",
            f"holds 1e+200, {PAST} smaller numbers",
        ),
        (
            REGRESSION.replace('"regression"', '"regression"\np = 1200'),
            "loss.p",
            f"is 1200, {PAST} a smaller one, or smaller data",
        ),
    ],
)
def test_what_overflows_is_named_by_file_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, key: str, found: str
) -> None:
    path = tmp_path / "large.toml"
    path.write_text(text)
    assert main(["run", str(path), "-o", str(tmp_path / "out"), "--no-figures"]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    line = line_of(text, key.partition(".")[2])
    assert message.startswith(f"{path}:{line}: {key}: {found}")
    assert not (tmp_path / "out").exists()


def test_overrides_and_variants_are_named_where_they_set_the_value(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_text(SQUARED)
    with pytest.raises(ScenarioError, match=r"^override loss.target: holds 6e\+199, at which"):
        flowsim.run(path, {"loss.target": {"spectrum": [1e200]}})
    variant = '[[variant]]\nname = "v"\nset = { "loss.target" = { spectrum = [1e200] } }\n'
    path.write_text(SQUARED + variant)
    line = line_of(SQUARED + variant, "set")
    with pytest.raises(ScenarioError, match=rf"large.toml:{line}: variant\[0\].set.loss.target: "):
        flowsim.run(path)


def test_what_needs_too_much_memory_is_named_by_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    text = spoilt("horizon = 6.0", "horizon = 6.0\nsamples = 1000000000000")
    path.write_text(text)
    line = line_of(text, "samples")
    with pytest.raises(ScenarioError, match=rf"large.toml:{line}: flow.samples: needs about "):
        flowsim.run(path)
