"""Named scenarios are found, and what is not found is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsim.scenario import catalog
from flowsim.scenario.catalog import CatalogError


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "saddle.toml").write_text('title = "A σ"\n[network]\nwidths = [1]\n', "utf-8")
    (folder / "digits.toml").write_text('summary = """\n[x\n"""\ntitle = "B"\n[flow]\n', "utf-8")
    monkeypatch.setattr(catalog, "folder", lambda: folder)
    return folder


def test_the_folder_beside_the_package_or_in_it_is_found(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "flowsim"
    package.mkdir()
    monkeypatch.setattr(catalog, "__file__", str(package / "scenario" / "catalog.py"))
    assert catalog.folder() == tmp_path / "scenarios"
    (package / "scenarios").mkdir()
    assert catalog.folder() == package / "scenarios"


def test_names_and_titles(shelf: Path) -> None:
    assert catalog.names() == ["digits", "saddle"]
    assert catalog.titles() == {"digits": "B", "saddle": "A σ"}


def test_a_name_or_a_file_is_resolved(shelf: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saddle").mkdir()
    own = tmp_path / "own.toml"
    own.write_text("")
    assert catalog.resolve("saddle") == shelf / "saddle.toml"
    assert catalog.resolve(own) == own
    assert catalog.resolve("own.toml") == Path("own.toml")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sadle", "did you mean saddle"),
        ("qqqq", "`flowsim list` shows all"),
        ("own.toml", "There is no file 'own.toml'"),
        ("../saddle", "There is no file"),
        ("", "no scenario called ''"),
        ("a\x1b[31m\n", r"called 'a\x1b[31m\n'"),
        ("y" * 5000, "Cannot read"),
        ("run", "write 'run/scenario.toml'"),
        (".", "is a folder"),
        ("/dev/zero", "There is no file"),
        ("a\0b", "no scenario"),
    ],
)
def test_what_is_not_there_is_said(
    shelf: Path, tmp_path: Path, monkeypatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "scenario.toml").write_text("")
    with pytest.raises(CatalogError) as caught:
        catalog.resolve(name)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
