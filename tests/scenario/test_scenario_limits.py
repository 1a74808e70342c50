"""Pathological files are answered fast and with sentences; large arrays of numbers are read."""

from __future__ import annotations

import re
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_texts import SQUARED, spoilt, the_mistake, told

from flowsim.experiment.plan.reading import from_toml, read
from flowsim.scenario import reading
from flowsim.scenario.catalog import CatalogError
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.toml import layout
from flowsim.scenario.toml.large import parse
from flowsim.scenario.toml.layout import scan

MIB = 2**20

PATHOLOGICAL = {
    "dotted key": "a." * 100_000 + "b = 1",
    "dotted header": "[" + "a." * 100_000 + "b]",
    "dotted key in a table": "x = { " + "a." * 100_000 + "b = 1 }",
    "many keys": "\n".join(f"a{i} = 1" for i in range(300_000)),
    "many headers": "\n".join(f"[a{i}]" for i in range(300_000)),
    "many array headers": "[[variant]]\n" * 300_000,
    "arrays in arrays": "a = " + "[" * 100_000 + "]" * 100_000,
    "arrays in arrays, open": "a = " + "[" * 100_000,
    "tables in tables": "a = " + "{a = " * 100_000,
    "tables in arrays in tables": "a = " + "[{a = " * 100_000,
    "many tables": "a = [" + "{}," * 300_000 + "]",
    "many small arrays": "a = [" + "[[[1]]]," * 300_000 + "]",
    "many strings": "a = [" + '"a",' * 300_000 + "]",
    "many comments": "a = [" + "1, # one\n" * 300_000 + "]",
    "one long string": "a = '" + "x" * MIB + "'",
    "one long text": 'a = """' + '"" \n' * MIB + '"""',
    "escapes": 'a = "' + '\\"' * MIB + '"',
    "digits": f"a = {'9' * MIB}",
    "digits in an array": f"a = [{'9' * 10_000}]",
    "open brackets": "[" * 4 * MIB,
    "open quotes": '"' * 4 * MIB,
    "carriage returns": "\r" * 4 * MIB,
    "zeros": "\0" * 4 * MIB,
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_pathological_texts_are_answered_fast_and_shortly(name: str) -> None:
    start = time.perf_counter()
    mistakes = told(PATHOLOGICAL[name])
    assert time.perf_counter() - start < 3
    assert len(mistakes) == 1
    assert len(mistakes[0]) < 400
    assert mistakes[0].startswith("s.toml:")


def test_files_that_are_too_large_are_refused_unread(tmp_path) -> None:
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * (17 * MIB))
    with pytest.raises(ScenarioError, match="is larger than 16 MiB; write large arrays to"):
        read(path)
    assert "is larger than 16 MiB" in told("#" * (17 * MIB))[0]


def test_devices_that_never_end_are_refused() -> None:
    with pytest.raises(CatalogError, match="There is no file '/dev/zero'"):
        read("/dev/zero")
    with pytest.raises(ScenarioError, match="is larger than 16 MiB"):
        reading.read("/dev/zero")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00t", b"title = 'ok'\n\x80", bytes(range(256))])
def test_binary_files_are_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=r"binary.toml:\d+: is not a text in UTF-8 \(byte 0x"):
        read(path)


def test_unknown_keys_by_the_thousand_are_told_in_good_time() -> None:
    lines = [f"unknown_{i} = 1" for i in range(15_000)]
    start = time.perf_counter()
    mistakes = told(SQUARED + "\n[output]\n" + "\n".join(lines))
    assert time.perf_counter() - start < 5
    assert len(mistakes) == 200
    assert "so are 14800 further keys" in "\n".join(mistakes)


def test_arrays_of_what_are_no_tables_are_told_once() -> None:
    assert "has 5000 entries; write at most 1000" in told(f"claims = {[1] * 5000}\n{SQUARED}")[0]
    text = spoilt("seed = 3", f"sources = {[1] * 5000} #!")
    assert the_mistake(text).startswith("sources: item 1 is 1")


def wide(rows: str) -> str:
    text = spoilt("[4, 6, 5, 3]", "[500, 2, 2000]")
    return spoilt("{ spectrum = [3, 2, 1] }", f"{rows} #!", text)


@pytest.mark.slow
def test_large_inline_arrays_are_read_in_good_time() -> None:
    row = "[" + ", ".join(f"{i}.25" for i in range(500)) + "],\n"
    text = wide("[\n" + row * 2000 + "]")
    assert len(text) > 6 * MIB
    start = time.perf_counter()
    scenario = from_toml(text)
    assert time.perf_counter() - start < 6
    assert scenario.loss.target[1999][499] == 499.25
    bad = text[::-1].replace("52.994", "eurt", 1)[::-1]
    assert told(bad)[0].startswith("s.toml:9: loss.target: row 2000, column 500 is true")


def test_nesting_of_arrays_is_the_schema_s_matter_up_to_a_depth() -> None:
    deep = spoilt("{ spectrum = [3, 2, 1] }", "[" * 60 + "1" + "]" * 60 + " #!")
    assert the_mistake(deep).startswith("loss.target: row 1, column 1 is an array")


numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["+1", "1_000", "0x1F", "inf", "-nan", "1e5", "1E-3", "-0", "true", "1979-05-27"]
    ),
)
spaces = st.sampled_from(["", " ", "\n", "\t", " # a [comment\n", ",", "\n,"])
rows = st.lists(st.tuples(spaces, numbers), max_size=4).map(
    lambda row: "[" + ",".join(space + number for space, number in row) + "]"
)


@pytest.fixture(scope="module")
def every_array_large():
    """Treat every array as a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "LARGE_ARRAY", 1)
        yield


@given(parts=st.lists(st.tuples(rows, spaces), min_size=1, max_size=4), depth=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_arrays_are_read_as_toml_reads_them(every_array_large, parts, depth: int) -> None:
    body = "".join(f"{row}{space}," for row, space in parts)
    array = "[" * depth + body + "]" * depth
    text = f"before = 1\n[t]\nx = [{{ y = {array} }}, {{ z = {array} }}]\nafter = 2\n"
    outcomes = []
    for reader in (tomllib.loads, lambda text: parse(scan(text))):
        try:
            outcomes.append(repr(reader(text)))
        except tomllib.TOMLDecodeError as error:
            outcomes.append(re.sub(", column.*|At .*", "", str(error)))
    assert outcomes[0] == outcomes[1]


keys = st.sampled_from(["a", "b", "name", '"q.u"', "'l i'", '"e\\u0041"', "1", "-"])
scalars = st.sampled_from(
    ["1", "-2.5e3", '"s # [x]"', "'l = {'", '"""m\n"t" \\""" ""]"""', "'''m\n'[a]'\n'''", "true",
     "07:32:00", "1979-05-27T07:32:00Z", '""', "''", '"\\""']
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda x: "[" + ", ".join(x) + "]"),
        st.lists(inner, max_size=3).map(lambda x: "[ # c ]\n" + ",\n".join(x) + "\n]"),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda x: "{" + ", ".join(f"{k} = {v}" for k, v in x.items()) + "}"
        ),
    ),
    max_leaves=6,
)
statements = st.one_of(
    st.tuples(st.lists(keys, min_size=1, max_size=3), values).map(
        lambda x: f"{' . '.join(x[0])} = {x[1]} # end"
    ),
    st.lists(keys, min_size=1, max_size=3).map(lambda x: f" [ {'.'.join(x)} ]"),
    st.lists(keys, min_size=1, max_size=2).map(lambda x: f"[[{'.'.join(x)}]] # t"),
    st.sampled_from(["", "# c", "\t"]),
)


def leaves(data, path=()):
    """Yield the paths of all keys of parsed data."""
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    for part, value in entries:
        if isinstance(data, dict):
            yield (*path, part)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, part))


@given(st.lists(statements, max_size=8))
@settings(max_examples=300, deadline=None)
def test_every_key_of_every_text_is_found(lines: list[str]) -> None:
    text, data = "", {}
    for line in lines:
        try:
            data = tomllib.loads(text + line + "\n")
        except tomllib.TOMLDecodeError:
            continue
        text += line + "\n"
    found = scan(text)
    for path in leaves(data):
        assert path in found.places
        begin = found.places[path]
        assert text[begin : begin + 1].strip()


@given(st.text(st.sampled_from("ab.=[]{}\"'#,\n\\1 "), max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_upsets_the_scan(text: str) -> None:
    scan(text)
