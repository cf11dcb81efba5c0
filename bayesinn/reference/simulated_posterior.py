"""Draws that represent a posterior reached by simulations alone, and their cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.memory import check_draws
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.simulation.simulator import Arrays


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedPosterior:
    """Equally weighted draws from an approximate posterior, without a likelihood.

    Attributes
    ----------
    parameters : dict of name to array (n, *event); draws of chains one after another
    simulations : int, number of all simulations, including a pilot
    seconds : float, time that it took
    effective_size : float
        Number of independent draws that are as precise: that of weights, or of chains the smallest
        over all parameters.
    tolerances : array (populations,)
        Largest distance between data and accepted simulations; empty for chains.
    acceptance : float, accepted share of the last population's proposals, or of all steps of chains
    r_hat : float, the largest over all parameters; NaN without chains
    """

    parameters: Arrays
    simulations: int
    seconds: float
    effective_size: float
    tolerances: np.ndarray
    acceptance: float
    r_hat: float = np.nan

    def draws(self, n: int, seed: int) -> Arrays:
        """Return draws (n, *event), by resampling; none is repeated if there are enough."""
        count = count_rows(self.parameters)
        check_draws(n, {name: value.shape[1:] for name, value in self.parameters.items()})
        rows = seeds.generator(seed, "simulated posterior").choice(count, n, replace=n > count)
        return take(self.parameters, rows)

    def __repr__(self) -> str:
        lines = [
            f"SimulatedPosterior of {count_rows(self.parameters):,} draws",
            f"  simulations:    {self.simulations:,} in {self.seconds:.1f} s",
            f"  effective size: {self.effective_size:,.0f}",
            f"  accepted:       {100 * self.acceptance:.1f} %",
        ]
        if len(self.tolerances):
            lines.append(f"  tolerance:      {self.tolerances[-1]:.3g}")
        if np.isfinite(self.r_hat):
            lines.append(f"  R-hat:          {self.r_hat:.3f}")
        return "\n".join(lines)
