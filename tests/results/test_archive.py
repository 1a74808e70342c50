"""Runs on the disk: what is read is what was written, and nothing is ever half there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import made_runs
import numpy as np
import pytest

from flowsim.experiment.plan.reading import from_toml
from flowsim.results import archive
from flowsim.results.archive import ArchiveError, manifest, netcdf, places
from flowsim.results.run import Run, Variable
from flowsim.scenario.digest import digest

HERE = Path(__file__).parents[1]


def same(a: Run, b: Run) -> None:
    assert (a.name, a.scenario, list(a.variants)) == (b.name, b.scenario, list(b.variants))
    assert list(a.paths()) == list(b.paths())
    for path in a.paths():
        one, two = a.variable(path), b.variable(path)
        assert one.dims == two.dims
        assert one.values.dtype.kind == two.values.dtype.kind
        assert one.values.shape == two.values.shape
        np.testing.assert_array_equal(one.values, two.values)
        assert dict(one.attributes) == dict(two.attributes)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "flowsim-" in path.name]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    archive.write(made_runs.plain(), tmp_path / "run", draw=made_runs.touch_figures)
    return tmp_path / "run"


@pytest.mark.parametrize("made", [made_runs.plain, made_runs.with_variants])
def test_a_run_is_read_as_it_was_written(made, tmp_path: Path) -> None:
    run = made()
    archive.write(run, tmp_path / "a" / "b")
    read = archive.read(tmp_path / "a" / "b")
    same(run, read)
    assert read.directory == tmp_path / "a" / "b"
    assert leftovers(tmp_path / "a") == []


def test_a_single_number_is_kept_as_one(tmp_path: Path) -> None:
    number = Variable((), np.array(0.25), {"long_name": "margin"})
    netcdf.write(tmp_path / "one.nc", {"measured": {"margin": number}}, {})
    found = netcdf.read(tmp_path / "one.nc")["measured"]["margin"]
    assert (found.dims, found.values.shape, float(found.values)) == ((), (), 0.25)


def test_a_summary_is_strict_json_with_null_for_what_is_not_finite(written: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    told = json.loads((written / "summary.json").read_text("utf-8"), parse_constant=refuse)
    assert told["final_loss"] == {"layers": 0.1, "descent": {"0.4": None, "0.1": 1 / 3}}
    assert told["steps"]["layers"]["accepted"] == 7
    assert archive.summaries(written) == (told, {})


def test_xarray_reads_the_file_alone(written: Path) -> None:
    import xarray

    with xarray.open_datatree(written / "run.nc", engine="h5netcdf") as tree:
        layers, descent = tree["layers"], tree["descent"]
        assert set(layers.coords) == {"time"}
        assert set(descent.coords) == {"step_size"}
        assert layers["loss"].dtype == np.float64
        assert layers["loss"].attrs["long_name"] == "loss ½‖W − Φ‖²"
        assert layers["imbalance"].shape == (5, 0)
        assert descent["iteration"].dtype == np.int64
        assert descent["outcome"].values.tolist() == ["diverged", "completed"]
        assert float(descent["loss"].sel(step_size=0.4)[1]) == np.inf
        assert tree.attrs["title"] == "A made-up σ run"


def test_load_gives_a_tree_with_a_branch_a_variant(tmp_path: Path) -> None:
    archive.write(made_runs.with_variants(), tmp_path / "run")
    tree = archive.load(tmp_path / "run")
    assert list(tree.children) == ["slow", "fast"]
    assert tree["slow/layers/loss"].values.tolist() == [4.0, 3.5, 3.0, 2.5, 2.0]
    assert json.loads(tree.attrs["summary"])["outcome"]["fast"]["layers"] == "completed"
    assert "title" in tree["fast"].attrs["scenario"]
    archive.write(made_runs.plain(), tmp_path / "run", force=True)
    assert tree["slow/layers/loss"].values[0] == 4.0
    assert set(archive.load(tmp_path / "run").children) == {"layers", "descent"}


def test_what_is_loaded_is_held_in_memory(tmp_path: Path) -> None:
    run = made_runs.plain()
    groups = made_runs.groups()
    groups["end_to_end"] = groups["layers"]
    groups["layers"] = {**groups["layers"], "end_to_end": groups["layers"]["loss"]}
    archive.write(Run("made", run.scenario, groups, run.summary), tmp_path / "run")
    tree = archive.load(tmp_path / "run")
    (tmp_path / "run" / "run.nc").unlink()
    for node in tree.subtree:
        for variable in node.variables.values():
            assert isinstance(variable.values, np.ndarray)
    assert tree["layers/end_to_end"].values[0] == 2.0


def test_every_variant_is_a_complete_run(tmp_path: Path) -> None:
    archive.write(made_runs.with_variants(), tmp_path / "run", draw=made_runs.touch_figures)
    inner = tmp_path / "run" / "variants" / "slow"
    assert (inner / "figures" / "loss.png").read_bytes() == b"a picture of slow"
    assert archive.read(inner)["layers.loss"][0] == 4.0
    assert not (tmp_path / "run" / "run.nc").exists()
    assert (tmp_path / "run" / "figures" / "loss.png").exists()


def test_data_files_are_copied_and_running_the_copy_gives_the_same_run(tmp_path: Path) -> None:
    np.save(tmp_path / "phi.npy", np.eye(2))
    text = made_runs.TOML.replace("[[1.0, 0.0], [0.0, 2.0]]", '{ file = "phi.npy" }')
    scenario = from_toml(text, base=tmp_path)
    archive.write(made_runs.run_of(scenario), tmp_path / "run")
    (tmp_path / "phi.npy").unlink()
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "data" / "phi.npy"), np.eye(2))
    assert digest(archive.read(tmp_path / "run").scenario) == archive.find(tmp_path / "run").digest


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_flipped_bit_anywhere_but_in_figures_is_refused(written: Path) -> None:
    random = np.random.default_rng(0)
    for path in files_of(written):
        whole = path.read_bytes()
        for place in random.integers(0, len(whole), 12):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << int(random.integers(8))
            path.write_bytes(flipped)
            if path.parent.name == "figures":
                archive.read(written)
                assert archive.figures(written) == []
                continue
            with pytest.raises(ArchiveError):
                archive.read(written)
            with pytest.raises(ArchiveError):
                archive.load(written)
        path.write_bytes(whole)
    archive.read(written)


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_or_missing_file_is_refused(written: Path, kept: int) -> None:
    for path in files_of(written):
        if path.parent.name == "figures":
            continue
        whole = path.read_bytes()
        path.write_bytes(whole[:kept])
        with pytest.raises(ArchiveError):
            archive.read(written)
        path.unlink()
        with pytest.raises(ArchiveError):
            archive.summaries(written)
        path.write_bytes(whole)
    archive.read(written)


def test_a_variant_of_another_run_is_refused(tmp_path: Path) -> None:
    archive.write(made_runs.with_variants(), tmp_path / "run")
    variants = tmp_path / "run" / "variants"
    (variants / "fast").rename(tmp_path / "away")
    archive.write(archive.read(variants / "slow"), variants / "fast")
    with pytest.raises(ArchiveError, match="'fast' belongs to another"):
        archive.read(tmp_path / "run")


@pytest.mark.parametrize("what", ["missing", "empty", "file", "foreign"])
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, what: str) -> None:
    place = tmp_path / "x"
    if what in ("empty", "foreign"):
        place.mkdir()
    if what == "foreign":
        (place / "manifest.json").write_text("[1]")
    if what == "file":
        place.write_text("")
    with pytest.raises(ArchiveError, match=r"no run at|not a run of flowsim:"):
        archive.read(place)
    assert not archive.is_run(place)


def test_a_foreign_folder_is_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(ArchiveError, match="not a run of flowsim, so nothing in it is"):
            archive.write(made_runs.plain(), precious, force=force)
        with pytest.raises(ArchiveError, match="is a file"):
            archive.write(made_runs.plain(), precious / "thesis.tex", force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]
    assert (precious / "thesis.tex").read_text() == "years of work"


def test_a_run_is_replaced_only_by_force_and_never_with_foreign_files(written: Path) -> None:
    with pytest.raises(ArchiveError, match="--force"):
        archive.write(made_runs.plain(), written)
    (written / "figures" / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveError, match=r"'figures/notes\.txt'"):
        archive.write(made_runs.plain(), written, force=True)
    (written / "figures" / "notes.txt").unlink()
    (written / "figures" / "linked").symlink_to("/")
    with pytest.raises(ArchiveError, match="figures/linked"):
        archive.write(made_runs.plain(), written, force=True)
    (written / "figures" / "linked").unlink()
    archive.write(made_runs.with_variants(), written, force=True)
    assert list(archive.read(written).variants) == ["slow", "fast"]
    archive.write(made_runs.plain(), written, force=True)
    assert not (written / "variants").exists()
    assert leftovers(written.parent) == []


def test_a_listing_that_leads_outside_is_not_believed(written: Path) -> None:
    victim = written.parent / "victim"
    victim.write_text("")
    content = json.loads((written / manifest.NAME).read_text())
    content["body"]["files"]["../victim"] = {"size": 0, "sha256": ""}
    (written / manifest.NAME).write_text(json.dumps(content))
    with pytest.raises(ArchiveError):
        archive.write(made_runs.plain(), written, force=True)
    assert victim.exists()


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    archive.write(made_runs.plain(), tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    same(archive.read(tmp_path / "run"), made_runs.plain())


def test_the_working_folder_is_filled_in_place(tmp_path: Path, monkeypatch) -> None:
    place = tmp_path / "run"
    place.mkdir()
    monkeypatch.chdir(place)
    before = place.stat().st_ino
    archive.write(made_runs.plain(), ".", draw=made_runs.touch_figures)
    archive.write(made_runs.with_variants(), ".", force=True)
    archive.write(made_runs.plain(), ".", force=True)
    assert place.stat().st_ino == before
    same(archive.read("."), made_runs.plain())
    assert sorted(path.name for path in place.iterdir()) == [
        "manifest.json", "run.nc", "scenario.toml", "summary.json",
    ]  # fmt: skip


def test_nothing_is_left_when_drawing_fails(tmp_path: Path) -> None:
    def fail(_run: Run, _folder: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        archive.write(made_runs.plain(), tmp_path / "run", draw=fail)
    assert list(tmp_path.iterdir()) == []


def test_figures_are_added_and_the_run_stays_valid(written: Path) -> None:
    run = archive.read(written)

    def draw(_run: Run, folder: Path) -> None:
        (folder / "loss.svg").write_text("<svg/>")
        (folder / "loss.png").write_text("newer")

    paths = archive.add_figures(run, draw)
    assert [path.name for path in paths] == ["loss.png", "loss.svg"]
    assert archive.figures(written) == paths
    assert paths[0].read_text() == "newer"
    same(archive.read(written), run)
    assert leftovers(written.parent) == []
    with pytest.raises(ArchiveError, match="is not on disk"):
        archive.add_figures(made_runs.plain(), draw)


def test_figures_of_variants_are_added_in_their_folders(tmp_path: Path) -> None:
    archive.write(made_runs.with_variants(), tmp_path / "run")
    archive.add_figures(archive.read(tmp_path / "run"), made_runs.touch_figures)
    inner = tmp_path / "run" / "variants" / "fast"
    assert (inner / "figures" / "loss.png").read_bytes() == b"a picture of fast"
    archive.read(tmp_path / "run")


def start(body: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process that says "ready" when it has come so far."""
    code = f"import sys; sys.path.insert(0, {str(HERE)!r})\n" + textwrap.dedent(body)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


WRITING = """
    import time, made_runs
    from flowsim.results import archive
    def draw(run, folder):
        made_runs.touch_figures(run, folder)
        print("ready", flush=True)
        time.sleep(60)
    archive.write(made_runs.plain(), sys.argv[1], draw=draw, force=True)
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_killed_writer_leaves_nothing_readable(tmp_path: Path, before: bool) -> None:
    place = tmp_path / "run"
    if before:
        archive.write(made_runs.with_variants(), place)
    process = start(WRITING, place)
    with pytest.raises(ArchiveError, match=f"process {process.pid}"):
        archive.write(made_runs.plain(), place, force=True)
    process.kill()
    process.wait()
    assert len(leftovers(tmp_path)) == 2
    if before:
        assert list(archive.read(place).variants) == ["slow", "fast"]
    else:
        with pytest.raises(ArchiveError, match="no run at"):
            archive.read(place)
    archive.write(made_runs.plain(), tmp_path / "other")
    assert leftovers(tmp_path) == []


def test_a_writer_killed_while_filling_in_place_leaves_an_unfinished_run(
    tmp_path: Path, monkeypatch
) -> None:
    body = """
        import os, time, made_runs
        from pathlib import Path
        from flowsim.results import archive
        os.chdir(sys.argv[1])
        rename = Path.rename
        def slow(path, target):
            if path.name == "run.nc":
                print("ready", flush=True)
                time.sleep(60)
            return rename(path, target)
        Path.rename = slow
        archive.write(made_runs.plain(), ".")
    """
    process = start(body, tmp_path)
    process.kill()
    process.wait()
    with pytest.raises(ArchiveError, match="not finished"):
        archive.read(tmp_path)
    monkeypatch.chdir(tmp_path)
    archive.write(made_runs.plain(), ".", force=True)
    same(archive.read(tmp_path), made_runs.plain())
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("operation", ["rename", "fsync"])
def test_a_run_stays_or_is_replaced_where_the_disk_fails_at_the_end(
    written: Path, monkeypatch, operation: str, lasting: bool
) -> None:
    made = made_runs.plain()
    new = replace(made, name="another")
    failures = []

    def fails_beside(path: object) -> bool:
        """Return whether the run's own name is concerned, at the first time or from then on."""
        if lasting and failures:
            return True
        if str(path) != str(written if operation == "rename" else written.parent) or failures:
            return False
        failures.append(path)
        return True

    true_rename, true_sync = Path.rename, manifest.sync_folder

    def rename(self: Path, target: Path) -> Path:
        if (operation == "rename" or failures) and fails_beside(target):
            raise OSError(errno.EIO, "Input/output error")
        return true_rename(self, target)

    def sync(folder: Path) -> None:
        if operation == "fsync" and fails_beside(folder):
            raise OSError(errno.EIO, "Input/output error")
        true_sync(folder)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        patched.setattr(manifest, "sync_folder", sync)
        try:
            archive.write(new, written, force=True)
            expected = "another"
        except ArchiveError as error:
            assert "No result is kept" in str(error)
            expected = made.name
    with archive.reserve(written, force=True):
        pass  # the next writer restores what it finds
    assert archive.read(written).name == expected
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_a_run_set_aside_by_a_killed_writer_is_put_back(written: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    written.rename(written.with_name(f".run.flowsim-old-{process.pid}-0123abcd"))
    archive.write(made_runs.plain(), written.parent / "other")
    same(archive.read(written), made_runs.plain())


def test_what_a_writer_killed_while_deleting_left_is_removed(tmp_path: Path) -> None:
    """Deleted file by file, manifests last: at every moment the next writer completes it."""
    archive.write(made_runs.with_variants(), tmp_path / "run")
    order: list[Path] = []
    unlink = Path.unlink

    def note(path: Path, **options: bool) -> None:
        order.append(path)
        unlink(path, **options)

    shutil.copytree(tmp_path / "run", tmp_path / "model")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "unlink", note)
        places._remove(tmp_path / "model")
    deleted = [path.relative_to(tmp_path / "model") for path in order]
    assert len(deleted) > 6
    for count in range(len(deleted) + 1):
        aside = tmp_path / ".run.flowsim-old-999999-00000000"
        shutil.copytree(tmp_path / "run", aside)
        for name in deleted[:count]:
            (aside / name).unlink()
        with archive.reserve(tmp_path / "run", force=True):
            assert not aside.exists()


def test_the_temporaries_of_a_living_writer_are_left_alone(tmp_path: Path) -> None:
    process = start(WRITING, tmp_path / "one")
    before = set(leftovers(tmp_path))
    archive.write(made_runs.plain(), tmp_path / "two")
    assert set(leftovers(tmp_path)) == before
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_abandoning_removes_what_is_being_written(tmp_path: Path) -> None:
    def draw(_run: Run, _folder: Path) -> None:
        assert len(leftovers(tmp_path)) == 2
        place.abandon()
        assert leftovers(tmp_path) == []

    with (
        pytest.raises(ArchiveError),
        archive.reserve(tmp_path / "run") as place,
    ):
        archive.fill(place, made_runs.plain(), draw)
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_held_while_it_is_reserved(tmp_path: Path) -> None:
    with (
        archive.reserve(tmp_path / "run"),
        pytest.raises(ArchiveError, match=f"process {os.getpid()}"),
        archive.reserve(tmp_path / "run"),
    ):
        pass
    with archive.reserve(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_many_writers_leave_one_whole_run(tmp_path: Path) -> None:
    body = """
        import made_runs
        from flowsim.results import archive
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(5):
            try:
                archive.write(made_runs.plain(), sys.argv[1], force=True)
            except archive.ArchiveError as error:
                assert "is being written by" in str(error), error
    """
    processes = [start(body, tmp_path / "run") for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    same(archive.read(tmp_path / "run"), made_runs.plain())
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("limit", [100, 3000, 20_000])
def test_a_full_disk_is_a_sentence_and_the_process_lives(tmp_path: Path, limit: int) -> None:
    body = """
        import resource, made_runs
        from flowsim.results import archive
        from flowsim.results import run as results
        run = made_runs.plain()
        run = results.Run(run.name, run.scenario, made_runs.groups(100_000), run.summary)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        print("ready", flush=True)
        try:
            archive.write(run, sys.argv[1])
        except archive.ArchiveError as error:
            print(error)
    """
    process = start(body, tmp_path / "run", limit)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert "larger than this system allows" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArchiveError, match="permission is denied"), archive.reserve(tmp_path / "x"):
        pass
    tmp_path.chmod(0o700)


def test_a_path_through_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file/run", "x" * 300):
        with pytest.raises(ArchiveError, match="Cannot write"), archive.reserve(tmp_path / name):
            pass


def test_file_systems_without_locks_are_written_to(tmp_path: Path, monkeypatch) -> None:
    import errno
    import fcntl

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    archive.write(made_runs.plain(), tmp_path / "run")
    same(archive.read(tmp_path / "run"), made_runs.plain())


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ""])
def test_a_variant_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    run = made_runs.plain()
    whole = Run("made", run.scenario, {}, run.summary, {name: run})
    with pytest.raises(ArchiveError, match="variant's name"):
        archive.write(whole, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_writing_imports_neither_xarray_nor_jax(tmp_path: Path) -> None:
    body = """
        import made_runs
        from flowsim.results import archive
        archive.write(made_runs.plain(), sys.argv[1])
        archive.read(sys.argv[1])
        print("ready")
        print({"xarray", "pandas", "jax", "matplotlib"} & set(sys.modules))
    """
    process = start(body, tmp_path / "run")
    assert process.communicate()[0] == "set()\n"


def test_runs_are_written_where_the_system_has_no_fcntl(tmp_path: Path) -> None:
    body = """
        sys.modules["fcntl"] = None
        import made_runs
        print("ready", flush=True)
        from flowsim.results import archive
        with archive.reserve(sys.argv[1]) as place:
            try:
                archive.write(made_runs.plain(), sys.argv[1])
            except archive.ArchiveError as error:
                print(error)
            archive.fill(place, made_runs.plain())
    """
    process = start(body, tmp_path / "run")
    out, _ = process.communicate()
    assert process.returncode == 0
    assert f"process {process.pid}" in out
    same(archive.read(tmp_path / "run"), made_runs.plain())
    assert leftovers(tmp_path) == []


def test_arrays_of_runs_cannot_be_overwritten(written: Path) -> None:
    for run in (made_runs.plain(), archive.read(written)):
        for path in run.paths():
            assert not run[path].flags.writeable
    assert archive.load(written)["layers"]["loss"].values.flags.writeable  # a copy of its own
