"""The chord iteration that solves the stages of diagonally implicit methods."""

from __future__ import annotations

from typing import Any

import diffrax
import optimistix


class Chord(diffrax.VeryChord):
    """A chord iteration that also ends where rounding keeps its increments from decreasing.

    Its increments, in units of the tolerance, end about at ε/rtol. There they neither vanish nor
    decrease, by which diffrax's iteration recognizes convergence: near rest most steps would be
    rejected by chance. Increments below `kappa`, 1 % of the tolerance, are as good.
    """

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: frozenset[object]
    ) -> tuple[Any, Any]:
        """Return whether the iteration ends, and with which result."""
        ends, result = super().terminate(fn, y, args, options, state, tags)
        # the first increment alone shows nothing about the next one
        within = (state.step >= 2) & (state.diffsize < self.kappa)
        successful = optimistix.RESULTS.successful
        return ends | within, optimistix.RESULTS.where(within, successful, result)


def kvaerno5() -> diffrax.Kvaerno5:
    """Return Kværnø's method with this iteration, whose tolerances `ImplicitMethod` sets."""
    return diffrax.Kvaerno5(root_finder=Chord(rtol=0.0, atol=0.0))
