"""`import flowsim`: few names, imported when they are asked for."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import made_runs
import pytest

import flowsim
from flowsim.experiment.plan.reading import from_toml
from flowsim.results import archive
from flowsim.scenario import catalog


def test_importing_flowsim_imports_nothing_else() -> None:
    code = "import flowsim, sys; print([m for m in sys.modules if m.startswith('flowsim.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there_and_solve_stays_a_function() -> None:
    import flowsim.solvers.solve

    assert set(flowsim.__all__) <= set(dir(flowsim))
    for name in flowsim.__all__:
        assert getattr(flowsim, name) is not None
    assert flowsim.solve is flowsim.solvers.solve.solve
    assert flowsim.load is archive.load
    assert flowsim.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        _ = flowsim.slove


@pytest.fixture
def simulated(monkeypatch) -> list[str]:
    """Make simulations up, and note the names of those that are asked for."""
    from flowsim.experiment import run as experiment

    names: list[str] = []

    def run(scenario, name, *, monitor):
        names.append(name)
        monitor.named("layers flow").report(1.0)
        return made_runs.run_of(scenario, name)

    monkeypatch.setattr(experiment, "run", run)
    return names


def test_a_named_scenario_is_read() -> None:
    scenario = flowsim.read("saddle-to-saddle", {"flow.rtol": 1e-6})
    assert (scenario.flow.rtol, scenario.network.depth) == (1e-6, 3)
    with pytest.raises(catalog.CatalogError, match="did you mean saddle-to-saddle"):
        flowsim.read("saddle-to-sadle")


def test_a_scenario_a_file_and_a_name_are_run(tmp_path: Path, simulated, monkeypatch) -> None:
    path = tmp_path / "small.toml"
    path.write_text(made_runs.TOML, encoding="utf-8")
    told: list[str] = []
    run = flowsim.run(path, {"init.scale": 0.5}, progress=lambda label, _: told.append(label))
    assert run.scenario.init.scale == 0.5
    assert told == ["layers flow"]
    flowsim.run(run.scenario)
    monkeypatch.setattr(catalog, "folder", lambda: tmp_path)
    flowsim.run("small")
    assert simulated == ["small", "scenario", "small"]
    with pytest.raises(ValueError, match="takes no overrides"):
        flowsim.run(run.scenario, {"init.scale": 1.0})


def test_a_run_is_written_where_asked(tmp_path: Path, simulated) -> None:
    scenario = from_toml(made_runs.TOML)
    run = flowsim.run(scenario, directory=tmp_path / "run")
    assert run.directory == tmp_path / "run"
    assert archive.figures(tmp_path / "run") != []
    with pytest.raises(archive.ArchiveError, match="force=True"):
        flowsim.run(scenario, directory=tmp_path / "run")
    assert len(simulated) == 1


def test_a_run_is_not_lost_with_a_figure(tmp_path: Path, simulated, monkeypatch) -> None:
    def fail(_subject):
        raise ZeroDivisionError("no pen")

    monkeypatch.setattr("flowsim.pictures.loss.draw", fail)
    run = flowsim.run(from_toml(made_runs.TOML), figures="all", directory=tmp_path / "run")
    drawn = {path.name for path in archive.figures(tmp_path / "run")}
    assert "singular_values.png" in drawn
    assert "loss.png" not in drawn
    assert run.summary["notes"] == ["The figure 'loss' was not drawn (ZeroDivisionError: no pen)."]
    assert run["layers.loss"].size


def test_a_run_that_cannot_be_written_is_in_the_error(tmp_path, simulated, monkeypatch) -> None:
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("flowsim.results.archive.netcdf.write", full)
    with pytest.raises(
        archive.ArchiveError, match=r"No result is kept.*the disk is full"
    ) as caught:
        flowsim.run(from_toml(made_runs.TOML), directory=tmp_path / "run")
    assert caught.value.run is not None
    assert caught.value.run["layers.loss"].size
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "noted"), [(errno.EACCES, "The figure"), (errno.ENOSPC, "No fig")]
)
def test_a_run_is_not_lost_with_a_file_of_a_figure(
    tmp_path, simulated, monkeypatch, number: int, noted: str
) -> None:
    def fail(*_arguments):
        raise OSError(number, "cannot")

    monkeypatch.setattr("flowsim.pictures.kit.files.write", fail)
    run = flowsim.run(from_toml(made_runs.TOML), directory=tmp_path / "run")
    assert all(note.startswith(noted) for note in run.summary["notes"])
    assert run.summary["notes"]


def test_a_figure_is_drawn_of_a_run_or_its_directory(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    run = made_runs.plain()
    archive.write(run, tmp_path / "run")
    assert isinstance(flowsim.plot(run), Figure)
    assert isinstance(flowsim.plot(tmp_path / "run", "loss"), Figure)
    with pytest.raises(ValueError, match="no figure 'lost'"):
        flowsim.plot(run, "lost")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: flowsim.read(3), "path must be a path, a string or Path, but is 3."),
        (
            lambda: flowsim.run(None),
            "scenario must be a name, a path, a Scenario or Problem, but is None.",
        ),
        (lambda: flowsim.run("x", directory=3), "directory must be a path, a string or Path, but"),
        (lambda: flowsim.run("x", force="yes"), "force must be True or False, but is 'yes'."),
        (lambda: flowsim.run("x", progress=3), "progress must be a function, but is 3."),
        (
            lambda: flowsim.plot(3),
            "run must be a Run, its directory, trajectories, or a mapping from names to these, "
            "but is 3.",
        ),
        (lambda: flowsim.plot("x", 3), "name must be a name, but is 3."),
        (lambda: flowsim.load(None), "directory must be a path, a string or Path, but is None."),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        call()
