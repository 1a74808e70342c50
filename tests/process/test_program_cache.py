"""Compiled programs on disk: in a private folder of bounded size, unless JAX has one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flowsim.process import program_cache
from flowsim.process.program_cache import keep_programs, program_folder, trim


class Config(SimpleNamespace):
    """JAX's configuration, as far as it concerns the cache."""

    def update(self, name: str, value: Any) -> None:
        assert hasattr(self, name)
        setattr(self, name, value)


@pytest.fixture
def config(tmp_path: Path, monkeypatch) -> Iterator[Config]:
    """Stand in for a JAX that nothing has configured, and name a cache folder."""
    config = Config(
        jax_compilation_cache_dir=None,
        jax_enable_compilation_cache=True,
        jax_persistent_cache_min_compile_time_secs=1.0,
    )
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
    monkeypatch.setenv("FLOWSIM_CACHE", str(tmp_path / "deep" / "cache"))
    keep_programs.cache_clear()
    yield config
    keep_programs.cache_clear()


def test_programs_are_stored_in_a_private_folder(tmp_path: Path, config: Config) -> None:
    keep_programs()
    folder = tmp_path / "deep" / "cache" / "jax"
    assert config.jax_compilation_cache_dir == str(folder)
    assert config.jax_persistent_cache_min_compile_time_secs == 0.0
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_compilation_cache_dir", "of the user"),
        ("jax_enable_compilation_cache", False),
    ],
)
def test_settings_of_the_user_stay(tmp_path: Path, config: Config, name: str, value: Any) -> None:
    setattr(config, name, value)
    before = dict(vars(config))
    keep_programs()
    assert vars(config) == before
    assert list(tmp_path.iterdir()) == []


def test_a_least_compile_time_of_the_user_stays(config: Config) -> None:
    config.jax_persistent_cache_min_compile_time_secs = 5.0
    keep_programs()
    assert config.jax_compilation_cache_dir is not None
    assert config.jax_persistent_cache_min_compile_time_secs == 5.0


@pytest.mark.parametrize("what", ["an empty variable", "a file", "open to others"])
def test_without_a_usable_folder_there_is_no_cache(
    tmp_path: Path, config: Config, monkeypatch, what: str
) -> None:
    if what == "an empty variable":
        monkeypatch.setenv("FLOWSIM_CACHE", "")
    elif what == "a file":
        (tmp_path / "deep").write_text("")
    else:
        (tmp_path / "deep" / "cache" / "jax").mkdir(parents=True)
        (tmp_path / "deep" / "cache" / "jax").chmod(0o777)
    keep_programs()
    assert config.jax_compilation_cache_dir is None
    with pytest.raises(OSError):
        program_folder()


def test_the_default_folder_is_the_users_own(monkeypatch) -> None:
    monkeypatch.delenv("FLOWSIM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/somebody/cache")
    assert program_cache._chosen() == Path("/home/somebody/cache/flowsim")


def test_the_oldest_programs_are_removed(tmp_path: Path) -> None:
    for age, name in enumerate(["c", "b", "a"]):
        (tmp_path / f"{name}-cache").write_bytes(b"x" * 10)
        os.utime(tmp_path / f"{name}-cache", (1000 - age, 1000 - age))
    (tmp_path / "lost-cache").symlink_to(tmp_path / "removed by another process")
    trim(tmp_path, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-cache", "c-cache", "lost-cache"]


COUNTED = """
from jax import monitoring
counts = {}
def count(event, **_):
    name = event.rpartition("/")[2]
    counts[name] = counts.get(name, 0) + 1
monitoring.register_event_listener(count)
import jax.numpy as jnp
jnp.ones(3) + 1  # compiled before flowsim chooses a folder
import flowsim
problem = flowsim.Problem(flowsim.losses.Squared(jnp.eye(2)), [0.5 * jnp.eye(2)] * 2, 1.0)
flowsim.solve(problem)
flowsim.descend(problem, [0.1], [0.0, 1.0])
print(counts.get("cache_hits", 0), counts.get("cache_misses", 0))
"""


@pytest.mark.slow
def test_a_second_process_of_python_compiles_nothing(tmp_path: Path) -> None:
    def counts(**variables: str) -> list[int]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "EQX_"))}
        done = subprocess.run(
            [sys.executable, "-c", COUNTED],
            env={**inherited, "FLOWSIM_CACHE": str(tmp_path), **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(word) for word in done.stdout.split()]

    hits, misses = counts()
    assert hits == 0
    assert misses > 5
    assert counts() == [misses, 0]
    assert counts(FLOWSIM_CACHE="") == [0, 0]
    stored = set((tmp_path / "jax").iterdir())
    own = tmp_path / "own"
    assert counts(JAX_COMPILATION_CACHE_DIR=str(own))[0] == 0  # by JAX, if it took a second
    assert set((tmp_path / "jax").iterdir()) == stored
