"""What is saved over time goes to disk by pieces: same numbers, and memory as predicted."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import problems
import pytest

from flowsim.experiment import run as experiment
from flowsim.experiment.plan.reading import from_toml
from flowsim.results import archive
from flowsim.solvers import storage
from flowsim.solvers.solve import solve
from flowsim.solvers.storage import Series, Store, in_batches

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((7, 3, 4))

SCENARIO = """
title = "Everything that is computed of matrices over time"
[network]
widths = [4, 5, 4]
[loss]
kind = "squared"
target = { spectrum = [3.0, 2.0, 1.0, 0.5] }
[init]
kind = "aligned"
scale = 0.1
[flow]
horizon = 3.0
samples = 24
rtol = 1e-5
[descent]
step_sizes = [0.9, 0.05]
[output]
layers = true
end_to_end = SAVED
[[claims]]
quantity = "layers.end_to_end"
reduce = "last"
at = { output = 0, input = 0 }
above = -9.0
"""


@pytest.fixture(params=["memory", "file"])
def where(request, monkeypatch) -> str:
    """Let stores lie in memory or in files."""
    if request.param == "file":
        monkeypatch.setattr(storage, "IN_MEMORY", 0)
    return request.param


def stored(*parts: slice) -> Store:
    store = Store(len(ROWS), ROWS.shape[1:])
    for part in parts:
        store.append(ROWS[part])
    return store


@pytest.mark.usefixtures("where")
class TestStore:
    def test_rows_come_back_in_any_order(self) -> None:
        store = stored(slice(0, 3), slice(3, 3), slice(3, 7))
        for rows in ([0, 1, 2, 3, 4, 5, 6], [2, 3], [5, 0, 1, 2, 2], [], [[6, 5], [4, 5]]):
            wanted = ROWS[np.array(rows, dtype=int)]
            np.testing.assert_array_equal(store.read(np.array(rows, dtype=int)), wanted)

    def test_a_row_that_is_not_there_is_nan(self) -> None:
        found = Series(stored(slice(0, 7)), np.array([[0, -1], [1, 2]]))
        assert np.isnan(found[0, 1]).all()
        np.testing.assert_array_equal(found.whole()[[0, 1, 1], [0, 0, 1]], ROWS[:3])
        assert found.shape == (2, 2, 3, 4)

    def test_keys_are_those_of_arrays(self) -> None:
        found = Series.of(ROWS)
        for key in (0, -1, slice(1, 3), [3, 1], np.arange(7) % 2 == 0):
            np.testing.assert_array_equal(found[key], ROWS[key])
            np.testing.assert_array_equal(np.asarray(found.take(key)), ROWS[key])
        assert np.array(found, copy=True) is not found.whole()

    def test_some_entries_of_every_row(self) -> None:
        found = Series.of(ROWS).take([4, 0])
        wanted = ROWS.reshape(7, 12)[[4, 0], 3:8]
        np.testing.assert_array_equal(found.entries(slice(3, 8)), wanted)

    @pytest.mark.parametrize("size", [1, 2 * 96, 1 << 20])
    def test_functions_are_applied_by_pieces(self, size: int, monkeypatch) -> None:
        monkeypatch.setattr(storage, "BATCH_BYTES", size)
        rows = np.array([[0, 1, 2], [4, 5, 6]])
        norms = in_batches(lambda W: np.linalg.norm(W, axis=(1, 2)), Series(stored(slice(7)), rows))
        np.testing.assert_array_equal(norms, np.linalg.norm(ROWS[rows], axis=(2, 3)))
        numbers, matrices = Series.of(np.arange(7.0)), Series.of(ROWS)
        scaled = in_batches(lambda t, W: t[:, None, None] * W, numbers, matrices)
        np.testing.assert_array_equal(scaled, np.arange(7.0)[:, None, None] * ROWS)


class TestScratch:
    def test_files_have_no_name_and_lie_where_tmpdir_says(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(storage, "IN_MEMORY", 0)
        store = stored(slice(0, 7))
        assert storage.temporary_folder() == str(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert Series(store, np.array([3]))[0].sum() == ROWS[3].sum()

    def test_a_full_disk_is_told_with_what_to_do(self, monkeypatch) -> None:
        monkeypatch.setattr(storage, "IN_MEMORY", 0)
        store = stored()
        with Path("/dev/full").open("r+b", buffering=0) as full:
            store._file = full
            with pytest.raises(storage.StorageError, match=r"No space left.*TMPDIR name another"):
                store.append(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("saved", ['"all"', '"last"'])
def test_files_change_no_bit_of_a_run(saved: str, tmp_path, monkeypatch) -> None:
    scenario = from_toml(SCENARIO.replace("SAVED", saved))
    held = experiment.run(scenario)
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    streamed = experiment.run(scenario)
    assert list(held.paths()) == list(streamed.paths())
    for path in held.paths():
        np.testing.assert_array_equal(held[path], streamed[path], err_msg=path)
    assert held.summary["claims"][0]["value"] == streamed.summary["claims"][0]["value"]
    archive.write(held, tmp_path / "held")
    archive.write(streamed, tmp_path / "streamed")
    files = [(tmp_path / name / "run.nc").read_bytes() for name in ("held", "streamed")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_no_more_than_pieces_of_what_is_saved_is_in_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    monkeypatch.setattr(storage, "BATCH_BYTES", 1 << 18)
    text = SCENARIO.replace("[4, 5, 4]", "[64, 64]").replace("SAVED", '"all"')
    text = text.replace("samples = 24", "samples = 400").replace("layers = true", "layers = false")
    scenario = from_toml(text.replace("[3.0, 2.0, 1.0, 0.5]", str([1.0] * 64)))
    experiment.run(scenario)  # what compiling takes is left out
    tracemalloc.start()
    try:
        archive.write(experiment.run(scenario), tmp_path / "run")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    matrices = (tmp_path / "run" / "run.nc").stat().st_size
    assert matrices > 5 * 400 * 64 * 64 * 8
    print(peak, matrices)
    assert peak < 0.4 * matrices


def test_saved_matrices_are_plain_arrays() -> None:
    found = solve(problems.aligned(2).problem, rtol=1e-5, times=np.linspace(0, 1, 5))
    assert type(found.end_to_end) is np.ndarray
    assert np.shares_memory(found.end_to_end, found.end_to_end)
    kept = solve(
        problems.aligned(2).problem, rtol=1e-5, times=np.linspace(0, 1, 5), keep_layers=True
    )
    assert kept.layers is not None
    np.testing.assert_allclose(kept.layers[1] @ kept.layers[0], kept.end_to_end, rtol=1e-14)


MEASURING = """
import sys
import numpy as np
import flowsim, h5netcdf, h5py, jax, matplotlib.backends.backend_agg
from flowsim import figures, solve
from flowsim.scenario.build.problem import build_problem
from flowsim.cli import main
from flowsim.experiment.plan.footprint import footprint
from flowsim.experiment.plan.reading import read
for picture in figures.FIGURES.values():
    picture._module()

def peak():
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])

jax.devices()
libraries = peak()
scenario = read("run.toml")
assert main(["run", "run.toml", "-o", sys.argv[1]]) == 0
taken = peak() - libraries
problem = build_problem(scenario)
solve(problem, times=np.linspace(0, 1, 50), method="tsit5", rtol=1e-9)
before = peak()
found = solve(problem, times=np.linspace(0, 400, 50), method="tsit5", rtol=1e-9)
print(footprint(scenario).total, taken, peak() - before, found.statistics.accepted)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells peak memory there")
@pytest.mark.slow
def test_a_run_takes_the_memory_that_was_predicted_however_many_its_steps(tmp_path) -> None:
    text = SCENARIO.replace("[4, 5, 4]", "[96, 96, 96]").replace("SAVED", '"all"')
    text = text.replace("samples = 24", "samples = 300\nspaces = ['layers']")
    text = text.replace("layers = true", "layers = false").replace("[0.9, 0.05]", "[0.05]")
    text = text.replace("{ spectrum = [3.0, 2.0, 1.0, 0.5] }", "{ rank = 5, norm = 5.0 }")
    (tmp_path / "run.toml").write_text(text.replace("aligned", "balanced"), encoding="utf-8")
    # the first process compiles and stores the programs, which takes memory of its own
    for name in ("compiling", "compiled"):
        done = subprocess.run(
            [sys.executable, "-c", MEASURING, name],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
    predicted, taken, more, steps = map(int, done.stdout.splitlines()[-1].split())
    print(predicted, taken, more, steps)
    assert taken < 1.3 * predicted
    assert predicted < 1.7 * taken
    assert steps > 500
    assert more < 0.1 * predicted
