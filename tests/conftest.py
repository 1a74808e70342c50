"""What every test runs under: strict JAX, shapes checked at run time, figures without a screen."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import pytest

NUMERICAL_ROOMS = ("problem", "dynamics", "solvers", "theory", "experiment.loss_plane")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--typecheck",
        choices=("on", "off"),
        default="off",
        help="check every annotation of the numerical rooms, array shapes included; "
        "it slows the tests threefold (default: off)",
    )


def pytest_configure(config: pytest.Config) -> None:
    mpl.use("Agg")
    if config.getoption("--typecheck") == "on":
        # before the first import of flowsim, which is at collection
        from jaxtyping import install_import_hook

        install_import_hook([f"flowsim.{room}" for room in NUMERICAL_ROOMS], "beartype.beartype")
    import jax

    # diffrax passes under both, so what raises is ours
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(autouse=True, scope="module")
def programs_freed() -> Iterator[None]:
    """Free what a file has compiled: a process may hold some 65 000 pieces of memory, not more."""
    yield
    import jax

    jax.clear_caches()
