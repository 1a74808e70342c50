"""What every test runs under: strict JAX, programs that compile fast, figures without a screen."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import matplotlib as mpl
import pytest

NUMERICAL_ROOMS = ("problem", "dynamics", "solvers", "theory", "experiment.loss_plane")

# Compiling takes far longer than the small programs of the tests then run. Without these steps
# of XLA's it takes a third of the time; results differ by rounding.
FAST_COMPILATION = {
    "xla_cpu_use_fusion_emitters": "false",
    "xla_backend_optimization_level": "1",
    "xla_cpu_parallel_codegen_split_count": "1",
}

MANY_MAPS = 8_000
"""Memory maps beyond which compiled programs are freed: with them come some 2 GB of memory.

Linux grants a process some 65 000 maps.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--typecheck",
        choices=("on", "off"),
        default="off",
        help="check every annotation of the numerical rooms, array shapes included; "
        "it slows the tests threefold (default: off)",
    )
    parser.addoption(
        "--compile",
        choices=("fast", "optimized"),
        default="fast",
        help="compile programs fast, or optimized as outside the tests (default: fast)",
    )


def pytest_configure(config: pytest.Config) -> None:
    mpl.use("Agg")
    hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("tests")
    if not hasattr(config, "workerinput"):  # workers and subprocesses inherit the environment
        set_compilation(config)
    if config.getoption("--typecheck") == "on":
        # before the first import of flowsim, which is at collection
        from jaxtyping import install_import_hook

        install_import_hook([f"flowsim.{room}" for room in NUMERICAL_ROOMS], "beartype.beartype")
    import jax

    from flowsim.process.program_cache import keep_programs

    keep_programs()  # also those that tests compile before the first simulation
    # diffrax passes under both, so what raises is ours
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files, but for that of the scenarios: there, whole scenarios."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if Path(file).name != "test_scenarios.py":
                return file
            return f"{file}[{test.partition('[')[2]}"

    return Scheduling(config, log)


def set_compilation(config: pytest.Config) -> None:
    """Choose how XLA compiles, and keep what it compiled for every process of the tests."""
    if config.getoption("--compile") == "fast":
        chosen = [f"--{name}={value}" for name, value in known_flags().items()]
        os.environ["XLA_FLAGS"] = " ".join([*chosen, os.environ.get("XLA_FLAGS", "")])
    os.environ.setdefault("FLOWSIM_CACHE", str(config.rootpath / "build" / "programs"))
    os.environ.setdefault("EQX_ON_ERROR", "nan")


def known_flags() -> dict[str, str]:
    """Return the flags that this version of XLA has; any other would end the process."""
    spec = find_spec("jaxlib")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    known = {}
    for library in folder.glob("libjax_common.*"):
        with (
            library.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as xla,
        ):
            known |= {k: v for k, v in FAST_COMPILATION.items() if xla.find(k.encode()) >= 0}
    return known


@pytest.fixture(autouse=True, scope="module")
def programs_freed() -> Iterator[None]:
    """Free compiled programs before they take too much memory."""
    yield
    from flowsim.solvers.programs import free_programs, memory_maps

    if memory_maps() > MANY_MAPS:
        free_programs()
