"""Random mutations of scenario files and of stored runs: an answer, and never a crash."""

from __future__ import annotations

import functools
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

import flowsim
from flowsim.experiment.plan.footprint import refuse_if_impossible
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.results import archive
from flowsim.scenario import catalog
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.solvers.storage import StorageError
from promises import draws, stored
from promises.part import Part, Record, Verdict, generator

SECONDS = 300
"""Time after which a case counts as hanging: a stiff one may compile several methods."""

RESULTS = 4
"""One case in so many mutates a stored run, the others a scenario file."""

SMALL = {"flow.samples": 4, "flow.max_steps": 2000, "flow.horizon": 0.5, "output.measures": []}
"""Values that make a simulation short."""

VALUES = (
    "nan", "inf", "-inf", "-1", "0", "1", "1.5", "1e308", "1e-320", "true", '""', '"x"', "[]", "{}",
    "[[]]", "[[1, 2], [3]]", "[nan]", "9" * 30, "9223372036854775807", "1979-05-27",
    '"../../etc/passwd"', '"\\u0000"', '{ file = "nothing.npy" }', '{ file = "." }', "[1, [2, 3]]",
    '[true, "a"]', "1_000", "0x7f", "''", '"""\n"""', "[{}]", '{ rank = -1, norm = 0 }', "-0.0",
    '"layers"', '["layers", "layers"]', '"end_to_end"', "2", "3.0", "1e-17", "1e29", "[1, 1]",
)  # fmt: skip
"""Values of every type, and at the edge of every range."""

LINE = re.compile(r"^(\s*[\w.\"-]+\s*=\s*)(.*)$")


class HangError(Exception):
    """A case took too long."""


@functools.cache
def bundled() -> tuple[tuple[str, Path], ...]:
    """Return the text and folder of every named scenario."""
    paths = [catalog.resolve(entry) for entry in catalog.names()]
    return tuple((path.read_text("utf-8"), path.parent) for path in paths)


@functools.cache
def small(seed: int, kind: str) -> str:
    """Return a small scenario with one kind of loss."""
    numbers = (i for i in range(1000))
    shapes = (draws.shape(generator("fuzz", seed, 2, i)) for i in numbers)
    shape = next(s for s in shapes if s.kind == kind and s.depth == 2)
    return draws.scenario(shape, generator("fuzz", seed, 3)).text


def case(seed: int, k: int) -> Record:
    """Return what became of one mutated file."""
    rng = generator("fuzz", seed, k)
    with _limited(SECONDS):
        return _result(rng) if k % RESULTS == 0 else _scenario(rng, seed, k)


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _scenario(rng: np.random.Generator, seed: int, k: int) -> Record:
    """Return whether a mutated scenario was rejected, accepted or simulated, and false results."""
    own = k % 2 == 0
    text, base = (small(seed, str(rng.choice(draws.KINDS))), Path.cwd()) if own else _any(rng)
    for _ in range(int(rng.integers(1, 4))):
        text = MUTATIONS[int(rng.integers(len(MUTATIONS)))](text, rng)
    try:
        scenario = from_toml(text, "fuzz.toml", base)
        refuse_if_impossible(scenario)
    except ScenarioError as error:
        return {"outcome": "rejected", "wrong": [m for m in error.mistakes if not m.strip()]}
    if not own:
        return {"outcome": "accepted", "wrong": []}
    return _simulated(text, base)


def _any(rng: np.random.Generator) -> tuple[str, Path]:
    texts = bundled()
    return texts[int(rng.integers(len(texts)))]


def _simulated(text: str, base: Path) -> Record:
    """Return the false results of a short simulation."""
    try:
        scenario = from_toml(text, "fuzz.toml", base, SMALL)
        refuse_if_impossible(scenario)
        found = run(scenario)
    except (ScenarioError, StorageError):
        return {"outcome": "rejected", "wrong": []}
    wrong = []
    for name, one in {"": found, **found.variants}.items():
        for space, outcome in one.summary.get("outcome", {}).items():
            values = one.groups.get(space, {})
            done = outcome == "completed" and space != "descent"
            finite = all(
                np.isfinite(values[v].values).all() for v in ("loss", "end_to_end") if done
            )
            if done and not finite:
                wrong.append(f"{name}/{space} is completed, but not finite")
    return {"outcome": "simulated", "wrong": wrong}


def _value(text: str, rng: np.random.Generator) -> str:
    """Return a text with the value of one line replaced."""
    return _with_line(text, rng, lambda line: LINE.sub(rf"\g<1>{_chosen(rng)}", line))


def _chosen(rng: np.random.Generator) -> str:
    # a backslash would begin a group in the replacement
    return VALUES[int(rng.integers(len(VALUES)))].replace("\\", r"\\")


def _key(text: str, rng: np.random.Generator) -> str:
    """Return a text with a letter of one key replaced."""
    at = int(rng.integers(1, 6))
    letter = "abcxyz_.-=[] \"'#"[int(rng.integers(16))]
    return _with_line(text, rng, lambda line: line[:at] + letter + line[at + 1 :])


def _delete(text: str, rng: np.random.Generator) -> str:
    """Return a text without one line."""
    return _with_line(text, rng, lambda _: "")


def _repeat(text: str, rng: np.random.Generator) -> str:
    """Return a text with one line twice."""
    return _with_line(text, rng, lambda line: f"{line}\n{line}")


def _exchange(text: str, rng: np.random.Generator) -> str:
    """Return a text with two lines exchanged."""
    lines = text.split("\n")
    i, j = rng.integers(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def _table(text: str, rng: np.random.Generator) -> str:
    """Return a text with another table at its end."""
    names = (
        "[descent]",
        "[output]",
        "[[variant]]",
        "[[claims]]",
        "[data]",
        "[flow]",
        "[x]",
        "[[x]]",
    )
    keys = ("step_sizes", "measures", "name", "quantity", "inputs", "method", "momentum", "plane")
    name, key = names[int(rng.integers(len(names)))], keys[int(rng.integers(len(keys)))]
    return f"{text}\n{name}\n{key} = {VALUES[int(rng.integers(len(VALUES)))]}\n"


def _characters(text: str, rng: np.random.Generator) -> str:
    """Return a text with some characters replaced by any others."""
    characters = list(text)
    for at in rng.integers(len(characters), size=int(rng.integers(1, 8))) if characters else ():
        characters[int(at)] = chr(int(rng.choice([int(rng.integers(128)), 0x3C3, 0x1F600])))
    return "".join(characters)


def _cut(text: str, rng: np.random.Generator) -> str:
    """Return the beginning of a text."""
    return text[: int(rng.integers(len(text) + 1))]


def _with_line(text: str, rng: np.random.Generator, change: Callable[[str], str]) -> str:
    lines = text.split("\n")
    at = int(rng.integers(len(lines)))
    lines[at] = change(lines[at])
    return "\n".join(lines)


MUTATIONS = (_value, _value, _value, _value, _key, _delete, _repeat, _exchange, _table, _characters,
             _cut)  # fmt: skip


@functools.cache
def _stored_copy() -> Path:
    path = stored.scenario().with_name("fuzzed")
    shutil.copytree(stored.folder("new"), path)
    return path


def _result(rng: np.random.Generator) -> Record:
    """Return whether a run with mutated files is refused by every reader."""
    folder = _stored_copy()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".png"]
    chosen = rng.choice(len(files), size=int(rng.integers(1, 4)), replace=False)
    before = {files[i]: files[i].read_bytes() for i in chosen}
    try:
        for path, content in before.items():
            path.write_bytes(_mutated(content, rng))
        changed = any(_differs(path.read_bytes(), content) for path, content in before.items())
        accepted = [read.__name__ for read in READERS if _accepts(read, folder)]
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    return {"outcome": "refused", "wrong": accepted if changed else []}


def _differs(content: bytes, before: bytes) -> bool:
    """Return whether bytes differ, or, where both are JSON, their values."""
    try:
        return bool(json.loads(content) != json.loads(before))
    except ValueError:
        return content != before


READERS = (archive.read, archive.summaries, flowsim.load)


def _accepts(read: Callable[[Path], object], folder: Path) -> bool:
    try:
        read(folder)
    except archive.ArchiveError:
        return False
    return True


def _mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with some replaced; of JSON, at times a text that is JSON again."""
    if content.startswith(b"{") and rng.integers(2):
        return json.dumps(_json_mutated(json.loads(content), rng)).encode()
    data = np.frombuffer(content, np.uint8).copy()
    at = rng.integers(data.size, size=int(rng.integers(1, 20)))
    data[at] = rng.integers(0, 256, at.size, dtype=np.uint8)
    return data.tobytes()


def _json_mutated(value: object, rng: np.random.Generator) -> object:
    """Return a JSON value with one of its parts replaced by a value of any type."""
    if isinstance(value, dict) and value and rng.integers(6):
        key = list(value)[int(rng.integers(len(value)))]
        return {**value, key: _json_mutated(value[key], rng)}
    others: list[object] = [None, True, -1, 1e308, "", "x", [], {}, "../..", [1], {"body": 1}]
    return others[int(rng.integers(len(others)))]


def judge(records: Sequence[Record]) -> Verdict:
    """Return the number of each outcome, and of false ones."""
    outcomes = [record["outcome"] for record in records]
    wrong = [record for record in records if record["wrong"]]
    line = ", ".join(f"{outcomes.count(name)} {name}" for name in sorted(set(outcomes)))
    return Verdict(f"{line}, wrong {len(wrong)}" + "".join(f"; {r}" for r in wrong[:3]), not wrong)


PART = Part(
    "Any scenario file is accepted or rejected with a message, any changed run is refused.",
    10_000,
    case,
    judge,
)
