"""The local classifier two-sample test (L-C2ST): is the posterior right at this one observation?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import check_finite, check_fraction
from bayesinn.diagnostics.local_classifier import LatentFeatures, LocalClassifier, probabilities
from bayesinn.diagnostics.tested import Effect, Tested

_STREAM = 0x10CA1
_REFERENCE = 5_000


@dataclass(frozen=True, eq=False, repr=False)
class LocalC2STResult(Tested):
    """What a classifier, trained to tell latents of truths from latent draws, finds at each observation.

    Parameters
    ----------
    columns : names of the o observations
    statistic : array (o,), mean of (probability - 1/2)^2: between 0 (nothing to tell apart) and 1/4
    null : array (trials, o), the same for right posteriors
    p_value : array (o,)
    evaluation : array (m, d), the latents at which the classifier was asked
    probability : array (o, m)
        Of each of them to be the latent of a truth, at each observation: above 1/2, the posterior gives the place too
        little density. The inverse flow maps ``evaluation`` to the posterior draws concerned.
    simulations : int, the number n of data sets
    level : float
    """

    columns: tuple[str, ...]
    statistic: np.ndarray
    null: np.ndarray
    p_value: np.ndarray
    evaluation: np.ndarray
    probability: np.ndarray
    simulations: int
    level: float

    @property
    def effect(self) -> Effect:
        """Root mean square of the probabilities' distance from one half, at the worst observation."""
        return Effect(
            "classifier's distance from chance", 100.0 * float(self.statistic.max()) ** 0.5, "percentage points"
        )

    @property
    def family_p_value(self) -> float:
        """One p-value for all observations: of the largest statistic, each in units of its median."""
        everything = np.concatenate([self.statistic[None], self.null])
        scale = np.maximum(np.median(everything, axis=0), np.finfo(float).tiny)
        largest = np.max(everything / scale, axis=1)
        # The first one counts among those at least as large as itself.
        return float(np.mean(largest >= largest[0]))

    @property
    def passed_family_wise(self) -> bool:
        """All observations pass together: a right posterior fails with a probability of up to 1 - level."""
        return self.family_p_value > 1.0 - self.level

    def to_dataframe(self) -> pd.DataFrame:
        """One row an observation: the statistic, what right posteriors stay below, the p-value, whether it passes."""
        return pd.DataFrame(
            {
                "statistic": self.statistic,
                "critical": np.quantile(self.null, self.level, axis=0),
                "p_value": self.p_value,
                "inside": self.inside,
            },
            index=pd.Index(self.columns, name="column"),
        )

    def __repr__(self) -> str:
        table = self.to_dataframe().to_string(float_format="%.3g")
        return f"L-C2ST {self._verdict()}, {self.simulations} simulations, {len(self.null)} trials\n{table}"


def local_c2st(
    latent: np.ndarray,
    condition: np.ndarray,
    observed_condition: np.ndarray,
    *,
    seed: int,
    draw_latent: Callable[[int, int], np.ndarray] | None = None,
    names: Sequence[str] | None = None,
    trials: int = 200,
    evaluations: int = 1_000,
    level: float = 0.99,
) -> LocalC2STResult:
    """Test whether the posterior is right at given observations, without knowing the right one.

    Linhart, Gramfort & Rodrigues 2023, arXiv:2306.03580: if the posterior is right, a flow maps true parameters to its
    latent distribution whatever the data. A classifier learns, from simulations, to tell such latents from latent
    draws in sight of the data; at an observation, the further its probabilities are from 1/2, the more is wrong there.
    It is trained anew on latent draws in place of truths, ``trials`` times, which says how far they are by chance; no
    posterior draw is needed (the paper's L-C2ST-NF). For posteriors that are right everywhere, the p-value is exact
    for any classifier and any observation.

    The paper's classifier is a neural network; ours (:class:`bayesinn.diagnostics.local_classifier.LocalClassifier`)
    is a series of functions that takes milliseconds a trial instead of seconds. Of faults at a level of 95 %, from
    1000 simulations of 5 parameters with 32 summaries, it finds (the network in brackets, as sbi sets it up): one
    posterior mean off by half a standard deviation where a datum is large, 100 % (25 %); one posterior too narrow
    by 0.7 there, 97 % (5 %); one missing correlation of 0.25, 97 % (25 %, even of 0.4).

    What is wrong elsewhere can reach an observation, because the classifier learns from its neighbourhood: where the
    posterior was right, far from the first two faults, it failed in up to 15 % instead of 5 %.

    Parameters
    ----------
    latent : array (n, d)
        What the flow makes of the true parameters of n simulations, given their data; not those it was trained on.
    condition : array (n, c)
        What is known of each simulation's data: the summaries, or a few statistics. Only order within a column counts.
    observed_condition : array (o, c) or (c,)
        The same for one or several observations.
    seed : int
        Decides all random numbers.
    draw_latent : function of (count, seed) that returns an array (count, d), optional
        Independent draws of the flow's latent distribution; different seeds must give independent draws. Standard
        normal if left out.
    names : names of the observations, optional
        ``observation``, or ``observation[0]``, ``observation[1]``, ... if left out.
    trials : int
        The smallest possible p-value is 1 / (1 + trials).
    evaluations : int
        Number m of latents at which the classifier is asked.
    level : float
        Probability that one observation of a right posterior passes.

    Returns
    -------
    LocalC2STResult

    Raises
    ------
    InputError
        Shapes or values do not fit, or there are too few trials to fail at this level.

    Examples
    --------
    The posterior is right below 1, and too low above:

    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> data, latent = generator.normal(size=(2, 1000, 1))
    >>> latent[data > 1.0] += 1.0
    >>> result = local_c2st(latent, data, np.array([[-1.0], [2.0]]), seed=1, trials=99)
    >>> result.inside
    array([ True, False])
    """
    latent, condition, observed = _checked(latent, condition, observed_condition)
    columns = _names(names, len(observed))
    check_fraction("level of L-C2ST", level)
    if trials < 1 or evaluations < 1 or 1.0 / (1 + trials) > 1.0 - level:
        raise InputError(
            "trials and evaluations of L-C2ST",
            expected=f"at least {int(np.ceil(1.0 / (1.0 - level) - 1e-6)) - 1} trials, as p-values are at least "
            f"1 / (1 + trials) and the level is {level}, and at least 1 evaluation",
            got=f"{trials} trials, {evaluations} evaluations",
            do="raise them, or lower the level",
        )
    size, dimension = latent.shape
    sources = (int(state) >> 1 for state in np.random.SeedSequence([seed, _STREAM]).generate_state(trials + 2))

    def draw(count: int) -> np.ndarray:
        return _draw(draw_latent, count, dimension, next(sources))

    features = LatentFeatures(draw(_REFERENCE))
    evaluation = draw(evaluations)
    points = features(evaluation)
    classifier = LocalClassifier(condition, observed, np.random.default_rng([seed, _STREAM]))

    def classify(latents: np.ndarray) -> np.ndarray:
        return probabilities(classifier.means(features(latents)), points)

    # Many small products of matrices: on two busy cores, two threads took five times longer than one.
    with threadpool_limits(1, user_api="blas"):
        probability = classify(latent)
        statistic = _statistic(probability)
        null = np.stack([_statistic(classify(draw(size))) for _ in range(trials)])
    return LocalC2STResult(
        columns=columns,
        statistic=statistic,
        null=null,
        p_value=(1.0 + np.sum(null >= statistic, axis=0)) / (1.0 + trials),
        evaluation=evaluation,
        probability=probability,
        simulations=size,
        level=level,
    )


def _statistic(probability: np.ndarray) -> np.ndarray:
    return np.mean((probability - 0.5) ** 2, axis=1)


def _draw(draw_latent: Callable[[int, int], np.ndarray] | None, count: int, dimension: int, seed: int) -> np.ndarray:
    if draw_latent is None:
        return np.random.default_rng([seed, _STREAM]).normal(size=(count, dimension))
    drawn = np.asarray(draw_latent(count, seed), dtype=float)
    if drawn.shape != (count, dimension):
        raise InputError(
            "draw_latent",
            expected=f"an array of shape {(count, dimension)} for count {count}",
            got=f"shape {drawn.shape}",
            do="return one row a draw, with as many columns as latent",
        )
    check_finite("draws of draw_latent", drawn)
    return drawn


def _checked(
    latent: np.ndarray, condition: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    latent, condition, observed = np.asarray(latent), np.asarray(condition), np.atleast_2d(observed)
    if latent.ndim != 2 or condition.ndim != 2 or len(latent) != len(condition) or len(latent) < 20 or latent.size == 0:
        raise InputError(
            "latent and condition",
            expected="shapes (n, d) and (n, c) with the same n of at least 20 simulations (useful: 1000 or more)",
            got=f"shapes {latent.shape} and {condition.shape}",
            do="pass one row a simulation in both",
        )
    if observed.ndim != 2 or observed.shape[1] != condition.shape[1] or len(observed) == 0:
        raise InputError(
            "observed_condition",
            expected=f"shape (o, {condition.shape[1]}): the columns of condition, one row an observation",
            got=f"shape {observed.shape}",
            do="compute the same columns from the observations as from the simulations",
        )
    for subject, value in (("latent", latent), ("condition", condition), ("observed_condition", observed)):
        check_finite(subject, value)
    return latent.astype(float), condition.astype(float), observed.astype(float)


def _names(names: Sequence[str] | None, number: int) -> tuple[str, ...]:
    if names is None:
        return ("observation",) if number == 1 else tuple(f"observation[{index}]" for index in range(number))
    if len(names) != number:
        raise InputError(
            "names of the observations",
            expected=f"{number}, one for each row of observed_condition",
            got=f"{len(names)}",
            do="leave names out, or pass one for each",
        )
    return tuple(names)
