"""The command line: answers, exit codes, signals, and streams that lead nowhere."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import made_runs
import numpy as np
import pytest

import flowsim
from flowsim.cli import main, progress, report, scenarios, signals, terminal
from flowsim.results import archive
from flowsim.results.run import Run, Variable
from flowsim.scenario import catalog
from flowsim.scenario.digest import digest

FAKE = [sys.executable, str(Path(__file__).parents[1] / "fake_flowsim.py")]
REAL = [sys.executable, "-m", "flowsim"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """Work in a folder of one's own with a scenario file, `small.toml`."""
    (tmp_path / "small.toml").write_text(made_runs.TOML + made_runs.CLAIM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def flow(*arguments: str, command=FAKE, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        check=False,
    )


def test_help_names_every_command() -> None:
    done = flow("--help", command=REAL)
    assert done.returncode == 0
    for name in ("list", "show", "run", "plot", "compare", "verify", "schema"):
        assert f"\n  {name}  " in done.stdout.replace("   ", "  ") or name in done.stdout
    assert flow("--version", command=REAL).stdout == f"flowsim {flowsim.__version__}\n"


HEAVY = {"numpy", "jax", "matplotlib", "xarray", "h5py", "scipy", "equinox", "sklearn", "tqdm"}


@pytest.mark.parametrize(
    "arguments", [["list"], ["--help"], ["run", "--help"], ["compare", "--help"], ["show"]]
)
def test_light_commands_import_nothing_heavy(here: Path, arguments: list[str]) -> None:
    arguments = [*arguments, "small.toml"] if arguments == ["show"] else arguments
    code = (
        "import sys; from flowsim.cli import main; code = main(sys.argv[1:]);"
        f"print(sorted({HEAVY} & set(sys.modules)), code, file=sys.stderr)"
    )
    done = flow(*arguments, command=[sys.executable, "-c", code])
    assert done.stderr == "[] 0\n"


def test_plot_does_not_import_jax(here: Path) -> None:
    archive.write(made_runs.plain(), "run")
    code = (
        "import sys; from flowsim.cli import main; code = main(sys.argv[1:]);"
        "print({'jax', 'diffrax', 'xarray'} & set(sys.modules), code)"
    )
    done = flow("plot", "run", "--figure", "loss", command=[sys.executable, "-c", code])
    assert done.stdout == "run/figures/loss.png\nset() 0\n"
    assert archive.figures("run") == [Path("run/figures/loss.png")]


def test_show_replaces_values_as_run_does(here: Path, capsys) -> None:
    settings = ["--set", "flow.horizon=3", "--set", "init.scale=0.5"]
    assert main(["show", "small.toml", *settings]) == 0
    shown = capsys.readouterr().out
    assert "to time 3, 5 linear times" in shown
    assert "balanced, scale 0.5" in shown
    assert main(["show", "small.toml", "--set", "flow.rtoll=1"]) == 2
    assert "--set flow.rtoll: unknown key; did you mean flow.rtol" in capsys.readouterr().err
    assert main(["show", "small.toml", "--set", "flow.rtol=1"]) == 2
    assert "--set flow.rtol: is 1, but must be at most 0.1" in capsys.readouterr().err


def test_list_shows_the_catalog() -> None:
    rows = json.loads(flow("list", "--json", command=REAL).stdout)
    assert rows == [{"name": n, "title": t} for n, t in catalog.titles().items()]
    lines = flow("list", command=REAL).stdout.splitlines()
    assert [line.split()[0] for line in lines] == catalog.names()


def test_schema_is_json(capsys) -> None:
    assert main(["schema"]) == 0
    assert "network" in json.loads(capsys.readouterr().out)["properties"]


def test_show_tells_what_will_be_done(here: Path, capsys) -> None:
    (here / "many.toml").write_text(made_runs.TOML + made_runs.VARIANTS, encoding="utf-8")
    assert main(["show", "small.toml"]) == 0
    shown = capsys.readouterr().out
    for word in ("A made-up σ run", "2 → 3 → 2", "memory", "layers.loss", "0.01"):
        assert word in shown, shown
    assert main(["show", "many.toml"]) == 0
    shown = capsys.readouterr().out
    assert "slow" in shown
    assert "fast" in shown


def test_a_run_is_written_told_and_then_reused(here: Path) -> None:
    done = flow("run", "small.toml")
    assert done.returncode == 0, done.stderr
    (folder,) = (here / "runs").iterdir()
    assert folder.name.startswith("small-")
    assert "simulating" in done.stderr
    assert "layers flow" in done.stderr
    assert "completed" in done.stdout
    assert "✓ last of layers.loss is below 1  (value 0.1)" in done.stdout
    assert f"runs/{folder.name}/" in done.stdout
    assert "not finite" in done.stdout
    assert digest(archive.read(folder).scenario)[:8] == folder.name[-8:]
    assert [path.name for path in archive.figures(folder)] == ["singular_values.png"]
    assert done.stdout.splitlines()[-1].startswith(
        f"picture  runs/{folder.name}/figures/singular_values.png; open it "
    )

    again = flow("run", "small.toml")
    assert again.returncode == 0
    assert "already" in again.stderr
    assert "simulating" not in again.stderr
    assert again.stdout == done.stdout

    assert "simulating" in flow("run", "small.toml", "--force").stderr
    assert "simulating" in flow("run", "small.toml", "--set", "flow.rtol=1e-6").stderr
    assert len(list((here / "runs").iterdir())) == 2


def test_figures_are_chosen_by_name(here: Path) -> None:
    done = flow("run", "small.toml", "-o", "run", "--figures", "loss,singular_values")
    assert done.returncode == 0
    assert {path.stem for path in archive.figures("run")} == {"loss", "singular_values"}
    assert "picture  run/figures/singular_values.png; open it" in done.stdout.splitlines()[-1]
    assert "`flowsim plot run` draws all" in done.stdout


def test_a_named_figure_that_cannot_be_drawn_is_noted(here: Path) -> None:
    done = flow("run", "small.toml", "-o", "run", "--figures", "margin")
    assert done.returncode == 0
    assert "The figure 'margin' was not drawn: the run has no numbers in margin." in done.stdout
    assert done.stdout.splitlines()[-1] == "figures  none; `flowsim plot run` draws all"


@pytest.mark.slow
def test_a_reused_run_gets_the_figures_asked_for(here: Path) -> None:
    flow("run", "small.toml", "--figures", "none")
    (folder,) = (here / "runs").iterdir()
    for asked, drawn in (("loss", {"loss"}), ("all", {"loss", "singular_values"})):
        again = flow("run", "small.toml", "--figures", asked)
        assert "already" in again.stderr
        assert {path.stem for path in archive.figures(folder)} >= drawn
    assert "draws all" not in again.stdout


def test_a_reused_run_keeps_its_exit_code_and_gets_missing_figures(here: Path) -> None:
    done = flow("run", "small.toml", "--no-figures", FAKE_EXIT="1")
    (folder,) = (here / "runs").iterdir()
    assert done.returncode == 1
    assert archive.figures(folder) == []
    assert "flowsim plot" in done.stdout
    again = flow("run", "small.toml")
    assert again.returncode == 1
    assert "simulating" not in again.stderr
    assert archive.figures(folder) != []


def test_a_damaged_run_is_simulated_again(here: Path) -> None:
    flow("run", "small.toml", "--no-figures")
    (folder,) = (here / "runs").iterdir()
    (folder / "run.nc").write_bytes(b"")
    again = flow("run", "small.toml", "--no-figures")
    assert again.returncode == 0
    assert "damaged" in again.stderr
    assert "simulating" in again.stderr
    archive.read(folder)


@pytest.mark.slow
def test_the_destination_is_checked_before_simulating(here: Path) -> None:
    (here / "thesis").mkdir()
    (here / "thesis" / "a.tex").write_text("")
    wrong = (["thesis"], ["thesis", "--force"], [""], ["missing/../b"], ["small.toml/../b"])
    for arguments in (["-o", *each] for each in wrong):
        done = flow("run", "small.toml", *arguments)
        assert done.returncode == 2
        assert "simulating" not in done.stderr
    assert flow("run", "small.toml", "-o", "run", "--no-figures").returncode == 0
    assert flow("run", "small.toml", "-o", "run", "--no-figures").returncode == 2
    assert flow("run", "small.toml", "-o", "run", "--no-figures", "--force").returncode == 0
    assert (here / "thesis" / "a.tex").exists()
    assert not any((here / name).exists() for name in ("missing", "b"))


def test_a_destination_above_a_link_is_that_of_the_system(here: Path) -> None:
    (here / "far" / "inner").mkdir(parents=True)
    (here / "link").symlink_to(here / "far" / "inner")
    done = flow("run", "small.toml", "-o", "link/../b", "--no-figures")
    assert done.returncode == 0, done.stderr
    assert "files    link/../b/" in done.stdout
    archive.read(here / "far" / "b")


def test_a_full_disk_after_simulating_is_exit_code_3(here: Path) -> None:
    done = flow("run", "small.toml", "-o", "run", "--no-figures", FAKE_LARGEST_FILE="600")
    assert done.returncode == 3
    assert "No result is kept" in done.stderr
    assert "larger than this system allows" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in here.iterdir() if "run" in path.name] == []


@pytest.mark.slow
def test_a_disk_too_full_for_figures_keeps_the_results(here: Path) -> None:
    assert flow("run", "small.toml", "-o", "whole").returncode == 0
    results = [path for path in (here / "whole").iterdir() if path.is_file()]
    largest = max(path.stat().st_size for path in results)
    pictures = max(path.stat().st_size for path in archive.figures("whole"))
    assert pictures > largest
    limit = str((largest + pictures) // 2)
    done = flow("run", "small.toml", "-o", "run", FAKE_LARGEST_FILE=limit)
    assert done.returncode == 0, done.stderr
    assert archive.figures("run") == []
    assert np.array_equal(archive.read("run")["layers.loss"], archive.read("whole")["layers.loss"])
    (note,) = archive.read("run").summary["notes"]
    assert note.startswith("No figure was drawn: the file would be larger than")
    assert note in done.stdout


@pytest.mark.slow
def test_a_backend_that_is_not_installed_does_not_prevent_figures(here: Path) -> None:
    """Notebooks set MPLBACKEND for the processes that they start."""
    # the one backend that Matplotlib looks for when it is imported
    backend = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = flow("run", "small.toml", "-o", "run", **backend)
    assert done.returncode == 0
    assert "rror" not in done.stderr
    names = [path.name for path in archive.figures("run")]
    assert names == ["singular_values.png"]
    plain = flow("run", "small.toml", "-o", "plain", MPLBACKEND="agg")
    assert plain.returncode == 0
    for name in names:
        ours, theirs = (here / place / "figures" / name for place in ("run", "plain"))
        assert ours.read_bytes() == theirs.read_bytes()


SMALL_DISK = """
import resource, sys
from flowsim.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_figure_that_the_disk_cannot_hold_is_exit_code_3(here: Path) -> None:
    archive.write(made_runs.plain(), "run")
    done = flow("plot", "run", "--figure", "loss", command=[sys.executable, "-c", SMALL_DISK])
    assert done.returncode == 3
    assert "Cannot write to 'run'" in done.stderr
    assert "Traceback" not in done.stderr
    assert archive.figures("run") == []
    assert archive.read("run")["layers.loss"].size


BROKEN = """
import sys
from flowsim.cli import main
from flowsim.pictures import loss
def draw(subject):
    raise ZeroDivisionError("no pen")
loss.draw = draw
sys.exit(main(sys.argv[1:]))
"""


def test_a_figure_that_fails_is_noted_and_the_others_are_drawn(here: Path) -> None:
    assert flow("run", "small.toml", "-o", "run", "--no-figures").returncode == 0
    done = flow("plot", "run", command=[sys.executable, "-c", BROKEN])
    assert done.returncode == 3
    assert "ZeroDivisionError: no pen" in done.stderr
    assert "Traceback" not in done.stderr
    drawn = {path.name for path in archive.figures("run")}
    assert "loss.png" not in drawn
    assert "singular_values.png" in drawn


BAD = [
    ["run"],
    ["run", "nothing-like-this"],
    ["run", "missing.toml"],
    ["run", "."],
    ["run", "small.toml", "--set", "flow.rtol"],
    ["run", "small.toml", "--set", "=1"],
    ["run", "small.toml", "--set", "flow.rtol=[1"],
    ["run", "small.toml", "--set", f"flow.rtol={'[' * 5000}"],
    ["run", "small.toml", "--set", "flow.rtol=1\nseed = 2"],
    ["run", "small.toml", "--set", "flow.rtl=1e-6"],
    ["run", "small.toml", "--set", "flow.rtol=fast"],
    ["run", "bad.toml"],
    ["run", "x" * 5000],
    ["show", "bad.toml"],
    ["show", "\x1b[31m"],
    ["run", "small.toml", "--figures", "plne"],
    ["run", "small.toml", "--figures", ""],
    ["run", "small.toml", "--figures", "loss", "--no-figures"],
    ["plot", "."],
    ["plot", "missing"],
    ["plot", "run", "--figure", "nope"],
    ["plot", "run", "--format", "gif"],
    ["frobnicate"],
    ["list", "--jsom"],
]


@pytest.mark.parametrize("arguments", BAD, ids=lambda a: " ".join(a)[:40].encode("unicode_escape"))
def test_bad_input_is_exit_code_2_and_no_traceback(here: Path, arguments, capsys) -> None:
    archive.write(made_runs.plain(), "run")
    (here / "bad.toml").write_text(made_runs.TOML.replace("horizon", "horzion"))
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    assert "internal error" not in told.err
    assert "\x1b" not in told.err
    assert len(told.err) > 10


def test_near_names_are_suggested(capsys) -> None:
    name = catalog.names()[0]
    assert main(["show", name[:-1]]) == 2
    assert name in capsys.readouterr().err


def test_every_mistake_of_a_file_is_told(here: Path, capsys) -> None:
    text = made_runs.TOML.replace("horizon = 1.0", 'horizon = -1\nrtol = "a"')
    (here / "bad.toml").write_text(text)
    assert main(["run", "bad.toml"]) == 2
    told = capsys.readouterr().err
    assert "bad.toml:12: flow.horizon: " in told
    assert "bad.toml:13: flow.rtol: " in told


def test_a_mistake_of_ours_asks_for_a_report(monkeypatch, capsys) -> None:
    def fail() -> None:
        raise KeyError("lost")

    monkeypatch.setattr(catalog, "titles", fail)
    assert main(["list"]) == 3
    told = capsys.readouterr().err
    assert "KeyError" in told
    assert "Traceback" not in told
    monkeypatch.setenv("FLOWSIM_DEBUG", "1")
    assert main(["list"]) == 3
    assert "Traceback" in capsys.readouterr().err


def begun(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the fake command line and return once it simulates."""
    process = subprocess.Popen(
        [*FAKE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "FAKE_SECONDS": "60", **environment},
    )
    assert process.stderr is not None
    while "simulating" not in process.stderr.readline():
        pass
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_reached(here: Path, number: int, code: int) -> None:
    process = begun("run", "small.toml")
    sent = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code
    assert time.monotonic() - sent < 2
    assert "Traceback" not in err
    assert "interrupted" in out
    assert "Interrupted" in err
    (folder,) = (here / "runs").iterdir()
    assert archive.read(folder).summary["outcome"]["layers"] == "interrupted"
    assert archive.read(folder).summary["exit_code"] == code
    again = flow("run", "small.toml", "--no-figures")
    assert again.returncode == 0
    assert "simulating" in again.stderr
    assert archive.read(folder).summary["exit_code"] == 0


def test_a_signal_while_starting_reports_that_nothing_was_reached(here: Path) -> None:
    command = [*FAKE, "run", "small.toml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stderr is not None
    assert process.stderr.readline() == "starting: 0%\n"
    time.sleep(0.2)  # else the signal may arrive within the write, which is then repeated
    process.send_signal(signal.SIGINT)
    err = process.stderr.read()
    assert process.wait() == 130
    assert err == "Interrupted before the simulation: nothing was reached or kept.\n"
    assert not (here / "runs").exists() or not list((here / "runs").iterdir())


def test_an_interrupted_run_reports_what_it_contains() -> None:
    run = made_runs.plain()
    flow = {**run.groups["layers"], "end_to_end": Variable(("time", "x"), np.zeros((5, 1)))}
    outcome = {"layers": "interrupted", "end_to_end": "interrupted", "sharpness": "interrupted"}

    def text(groups: dict, **more: str) -> str:
        made = Run("made", run.scenario, groups, {"outcome": {**outcome, **more}})
        return report.interruption(made, "run/")

    assert text({"layers": flow}) == (
        "Interrupted: run/ contains layers up to t = 1; not reached: end_to_end, sharpness."
    )
    assert text({"layers": flow, "sharpness": {}}, end_to_end="completed") == (
        "Interrupted: run/ contains layers up to t = 1, end_to_end, sharpness in part."
    )
    start = {**flow, "time": Variable(("time",), np.zeros(1))}
    assert text({"layers": start}) == (
        "Interrupted before the first step: nothing was reached, and run/ contains the "
        "initialization alone."
    )
    part = Run("a", run.scenario, {"layers": flow}, {"outcome": {"layers": "interrupted"}})
    whole = Run("whole", run.scenario, {}, {"outcome": {"a": {}, "b": "interrupted"}}, {"a": part})
    assert report.interruption(whole, "run/") == (
        "Interrupted: run/ contains a: layers up to t = 1; not reached: b."
    )


def test_a_signal_sent_twice_at_once_counts_as_one(here: Path) -> None:
    process = begun("run", "small.toml", "-o", "run")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    process.communicate()
    assert process.returncode == 143
    archive.read("run")


def test_a_second_signal_ends_at_once_and_leaves_nothing(here: Path) -> None:
    process = begun("run", "small.toml", "-o", "run", FAKE_BLOCK="60")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    time.sleep(1.3)
    assert process.poll() is None
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert time.monotonic() - sent < 1
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Stopped at once: nothing is kept." in err
    assert sorted(path.name for path in here.iterdir()) == ["cache", "small.toml"]


def test_a_signal_within_a_callback_is_not_lost() -> None:
    """Python ignores exceptions in callbacks of weak references, such as the exit of a signal."""
    code = """
import os, signal, time, weakref
from flowsim.cli import signals

class Held: ...

def callback(_):
    os.kill(os.getpid(), signal.SIGTERM)
    sum(range(1000))

held = Held()
with signals.handled():
    kept = weakref.ref(held, callback)
    del held
    time.sleep(30)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_imports_ends_the_process_after_them(number: int) -> None:
    before = signal.getsignal(number)
    done = []
    with pytest.raises(SystemExit) as stop, signals.postponed():
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        done.append("imported")
    assert stop.value.code == 128 + number
    assert done == ["imported"]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("delay", [0.1, 0.2, 0.3, 0.4])
def test_a_signal_at_any_time_ends_cleanly(here: Path, delay: float) -> None:
    process = subprocess.Popen(
        [*FAKE, "run", "small.toml", "-o", "run"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    time.sleep(delay)
    process.terminate()
    _, err = process.communicate()
    assert b"Traceback" not in err
    assert process.returncode in (0, 143, -signal.SIGTERM)
    assert [path.name for path in here.iterdir() if "flowsim-" in path.name] == []
    if (here / "run").exists():
        archive.read("run")


def test_two_runs_into_one_folder_do_not_both_simulate(here: Path) -> None:
    process = begun("run", "small.toml", "-o", "run")
    second = flow("run", "small.toml", "-o", "run")
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    process.kill()
    process.communicate()


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = command.replace("flowsim", f"{sys.executable} -m flowsim")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("flowsim schema | head -1", 0, ""),
        ("flowsim schema > /dev/full", 2, "Cannot write to standard output"),
        ("flowsim list >&-", 0, ""),
        ("flowsim --help > /dev/full", 2, "Cannot write to standard output"),
        ("flowsim show nothing 2>&-", 2, ""),
        ("flowsim show nothing 2> /dev/full", 2, ""),
        ("flowsim list <&- >&- 2>&-", 0, ""),
    ],
)
def test_streams_that_lead_nowhere(command: str, code: int, told: str) -> None:
    done = shell(command)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert told in done.stderr
    assert bool(told) == bool(done.stderr)


def test_a_terminal_without_the_signs_gets_words(here: Path) -> None:
    done = flow("run", "small.toml", "-o", "run", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "+ last of layers.loss" in done.stdout
    shown = flow("show", "small.toml", PYTHONIOENCODING="ascii", command=REAL)
    assert "A made-up sigma run" in shown.stdout


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("σ Φ ½ ² ‖W‖ é", "sigma Phi 1/2 2 ||W|| e"), ("✓✗…", "+x..."), ("漢", "?")],
)
def test_signs_are_spelled_in_ascii(text: str, spelled: str) -> None:
    terminal.prepare()
    assert text.encode("ascii", "flowsim").decode() == spelled


def test_control_characters_never_reach_a_terminal() -> None:
    assert terminal.printable("a\x1b[31m\nb\u202ec\r") == "a\\x1b[31m\nb\\u202ec\\r"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("a b/../c", "a-b-..-c"), ("..", "scenario"), ("σ\n", "scenario"), ("x", "x")],
)
def test_a_run_stays_in_the_folder_of_runs(name: str, slug: str) -> None:
    assert scenarios.default_directory(name, "0123456789") == Path("runs") / f"{slug}-01234567"


def test_progress_off_a_terminal_is_a_few_plain_lines() -> None:
    lines: list[str] = []
    now = 0.0
    tell = progress.Lines(lines.append, lambda: now)
    for step in range(1000):
        now = 0.025 * step
        tell("layers flow" if step < 900 else "descent", step / 1000)
    assert lines == ["layers flow: 0%", "layers flow: 40%", "layers flow: 80%", "descent: 90%"]


def test_the_clock_of_a_bar_runs_while_a_task_is_silent(monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", shown)
    with progress.displayed() as tell:
        tell("layers flow: compiling (first time only)", 0.0)
        before = shown.getvalue().count("compiling")
        deadline = time.monotonic() + 5
        while shown.getvalue().count("compiling") < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    after = shown.getvalue()
    time.sleep(0.05)
    assert shown.getvalue() == after


def test_progress_on_a_terminal_is_a_bar(here: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (0, 0))  # as of a terminal that does not know its size
    process = subprocess.Popen(
        [*FAKE, "run", "small.toml", "--no-figures"],
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "FAKE_SECONDS": "0.5"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass
    assert process.wait() == 0
    assert b"layers flow" in shown
    assert b"%" in shown
    assert b"left" in shown


def test_a_report_marks_claims_that_fail() -> None:
    summary = {
        "outcome": {"layers": "failed"},
        "final_loss": {"layers": None},
        "claims": [{"claim": "max of x is below 1", "value": None, "holds": False}],
        "notes": ["layers: blow-up near t = 1."],
    }
    text = "\n".join(report.table_lines("made", summary, {}))
    assert "  ✗ max of x is below 1  (value –)" in text
    assert "blow-up" in text
    assert "failed" in text


def test_a_report_shows_step_sizes_in_the_unit_of_the_scenario() -> None:
    size = repr(0.9 * 0.1234567890123)
    summary = {
        "outcome": {"descent": {size: "completed"}},
        "final_loss": {"descent": {size: 0.5}},
        "relative_step_sizes": {size: 0.9},
    }
    _, row = report.table_lines("made", summary, {})
    assert row.startswith("descent, step 0.9 · 2/λ_max  completed")
    (*_, row) = report.table_lines("made", {**summary, "relative_step_sizes": None}, {})
    assert row.startswith("descent, step 0.111111110111  completed")


def test_a_report_of_many_step_sizes_is_short() -> None:
    """Neighbours that ended alike share a row, with the range of what they came to."""
    sizes = [repr(0.1 * k) for k in range(1, 31)]
    summary = {
        "outcome": {
            "descent": {size: "diverged" if i > 28 else "completed" for i, size in enumerate(sizes)}
        },
        "final_loss": {
            "descent": {size: float("inf") if i > 28 else i + 1.0 for i, size in enumerate(sizes)}
        },
    }
    _, completed, diverged = report.table_lines("many", summary, {})
    assert completed.split("  ")[0] == "descent, 29 steps 0.1 to 2.9"
    assert "1 to 29" in completed
    assert diverged.split() == ["descent,", "step", "3", "diverged", "not", "finite"]
