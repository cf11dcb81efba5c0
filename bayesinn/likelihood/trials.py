"""For how many trials a learned likelihood holds: errors of single trials add up."""

from __future__ import annotations

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.warning import warn
from bayesinn.likelihood.score import Score
from bayesinn.simulation.simulator import Simulator

# Of the posterior's sd: errors that shift posteriors by less are hard to see.
_MOST_SHIFT = 0.2
# Parameters, and trials simulated of each.
_SETS = 50
_TRIALS = 2_000
_COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)


class TrialErrors:
    """How far errors of a likelihood shift posteriors of several trials, measured by simulation.

    The gradient of the log likelihood, the score, has a mean of zero over data of its parameters.
    That of a learned likelihood has a bias. It shifts the posterior of n trials by n times the
    bias, divided by the precision, which is n times the covariance of the score, and that of the
    prior. In units of the posterior's sd, the shift grows as the root of n.

    Attributes
    ----------
    most_trials : int
        Number of trials up to which the shift, a root mean square over the prior, is below 0.2 sd;
        200 where it is for all that can be measured, 0 where it is for none.
    """

    def __init__(self, score: Score, simulator: Simulator, seed: int = 0) -> None:
        self.score = score
        self._name = simulator.name
        rows = simulator.sample(_SETS, seed)
        vectors = score.parameters.to_vector({name: rows[name] for name in simulator.prior.names})
        inputs = [*simulator.prior.names, *simulator.context_names]
        moments = []
        for number, vector in enumerate(np.asarray(score.parameters.within_reach(vectors[0]))):
            each = {name: np.repeat(rows[name][number : number + 1], _TRIALS, 0) for name in inputs}
            context = {name: each[name] for name in simulator.context_names}
            parameters = {name: each[name] for name in simulator.prior.names}
            own = seeds.integer_seed(seed, "trials", number)
            data = simulator.simulate(parameters, own, context or None)
            encoded = score.encode({**data, **context})
            slopes = score.slopes(np.repeat(vector[None], _TRIALS, 0), encoded).astype(np.float64)
            slopes = slopes[np.isfinite(slopes).all(axis=1)]
            if len(slopes) > 1:
                moments.append((slopes.mean(axis=0), np.atleast_2d(np.cov(slopes.T)), len(slopes)))
        self._moments = moments
        reached = [count for count in _COUNTS if self.shift(count)[0] <= _MOST_SHIFT]
        self.most_trials = max(reached, default=0)

    def shift(self, trials: int) -> tuple[float, float]:
        """Return the shift of posteriors of so many trials, in sds, and the smallest one seen."""
        squares = []
        noise = []
        for mean, covariance, count in self._moments:
            # Parameter vectors are standardised: the prior's precision is one.
            precision = trials * covariance + np.eye(len(mean))
            seen = trials**2 * mean @ np.linalg.solve(precision, mean)
            chance = trials**2 * np.trace(np.linalg.solve(precision, covariance)) / count
            squares.append((seen - chance) / len(mean))
            noise.append(chance / len(mean) * np.sqrt(2.0 / len(mean)))
        least = 3.0 * np.sqrt(np.sum(np.square(noise))) / len(noise)
        return float(np.sqrt(max(np.mean(squares), 0.0))), float(np.sqrt(least))

    def warn(self, trials: int) -> None:
        """Warn if errors of so many trials shift posteriors."""
        shift, least = self.shift(trials)
        if shift > np.hypot(_MOST_SHIFT, least):
            warn(
                f"The learned likelihood of {self._name!r} holds for up to {self.most_trials:,} "
                f"trials: errors add up, and those of {trials:,} shift posteriors by {shift:.2g} "
                "of their sd. Train longer, or with more simulations."
            )
