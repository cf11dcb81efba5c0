"""The local classifier two-sample test (L-C2ST): is the posterior correct at one observation?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.arrays import Arrays, check_points
from bayesinn.diagnostics.deviation import CONFIDENCE, Deviation, digits
from bayesinn.diagnostics.local_classifier import LatentFeatures, LocalClassifier, probabilities
from bayesinn.diagnostics.tested import Tested, check_repetitions, p_values

_REFERENCE = 5_000


@dataclass(frozen=True, eq=False, repr=False)
class LocalC2STResult(Tested):
    """A classifier's result on latents of truths and latent draws, at each of o observations."""

    title = "L-C2ST"
    shown = ("statistic", "critical", "p_value", "inside")
    #: (o,), mean of (probability - 1/2)^2: between 0 (nothing to tell apart) and 1/4
    statistic: np.ndarray
    null: np.ndarray  #: (trials, o), the same for correct posteriors
    #: (m, d), latents at which the classifier was evaluated; the inverse flow makes draws of them
    evaluation: np.ndarray
    #: (o, m), probability of each to be the latent of a truth; above 1/2, the posterior is too thin
    #: there
    probability: np.ndarray
    simulations: int
    #: (m, *event), the points ``evaluation`` as parameters, where they are known
    draws: Arrays | None = None

    @property
    def critical(self) -> np.ndarray:
        """Array (o,): the statistic that correct posteriors exceed with probability 1 - level.

        The probability is approximate.
        """
        return np.asarray(np.quantile(self.null, self.level, axis=0))

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Distance of probabilities from one half (root mean square), beyond that of chance.

        The error has no upper bound: the classifier may have missed a fault.
        """
        chance = np.quantile(self.null, 1.0 - (1.0 - CONFIDENCE) / len(self.columns), axis=0)
        excess = 100.0 * np.sqrt(np.maximum(self.statistic - np.median(self.null, axis=0), 0.0))
        least = 100.0 * np.sqrt(np.maximum(self.statistic - chance, 0.0))
        ends = (excess, least, np.full(len(least), np.inf))
        words = ("", "a classifier tells truths from draws")
        unit = "percentage points"
        size = self.simulations
        given = "classifier", unit, "classifier", self.columns, *ends, size, words
        return (Deviation(*given, one_sided=True, beyond=self._beyond),)

    def _beyond(self, tolerance: float) -> np.ndarray:
        # Exact for correct posteriors, by repetition. For others, a distance is at least as
        # uncertain as a mean of numbers of variance one, of which it is a quarter; and as the
        # distance by chance, if the classifier looks at a part of the simulations.
        chance = np.sqrt(np.quantile(self.null, 0.99, axis=0)) / stats.norm.isf(0.01)
        error = 100.0 * np.maximum(0.25 / np.sqrt(self.simulations), chance)
        excess = 100.0 * np.sqrt(np.maximum(self.statistic - np.median(self.null, axis=0), 0.0))
        return np.maximum(stats.norm.sf((excess - tolerance) / error), self.p_value)

    @property
    def family_p_value(self) -> float:
        """One p-value for all observations: that of the largest statistic.

        Each statistic is taken in units of its own median.
        """
        return _family_p_value(self.statistic, self.null)

    @property
    def summary(self) -> str:
        least = digits(float(np.max(self.deviations[0].lower)))
        return f"error of at least {least} percentage points; {super().summary}"

    @property
    def _heading(self) -> str:
        return f"{super()._heading}, {len(self.null)} trials"


def local_c2st(
    latent: np.ndarray,
    condition: np.ndarray,
    observed_condition: np.ndarray,
    *,
    seed: int,
    draw_latent: Callable[[int, int], np.ndarray] | None = None,
    names: Sequence[str] | None = None,
    trials: int = 200,
    most_trials: int | None = None,
    evaluations: int = 1_000,
    level: float = 0.99,
) -> LocalC2STResult:
    """Test whether the posterior is correct at given observations, without knowing the correct one.

    Linhart, Gramfort & Rodrigues 2023, arXiv:2306.03580 (their L-C2ST-NF). If the posterior is
    correct, a flow maps true parameters to its latent distribution whatever the data. A classifier
    learns, from simulations, to tell such latents from latent draws, given the data. The further
    its probabilities at an observation are from 1/2, the larger the fault there. The classifier is
    trained again ``trials`` times on latent draws in place of truths: this gives the distance by
    chance. For posteriors that are correct everywhere, the p-value is exact for any classifier and
    any observation.

    The paper's neural network is replaced by a series of functions, whose fit is in closed form
    (:class:`~bayesinn.diagnostics.local_classifier.LocalClassifier`): many trials take little time.
    Its power for different faults is measured in ``paper_results/diagnostics_power``.

    Parameters
    ----------
    latent : array (n, d)
        Codes of the true parameters of n simulations that the flow was not trained on.
    condition : array (n, c)
        Summaries or a few statistics of each simulation's data; only their ranks are used.
    observed_condition : array (o, c) or (c,), the same for one or several observations
    draw_latent : function of (count, seed) that returns an array (count, d)
        Draws of the flow's latent distribution, independent for different seeds; by default
        standard normal.
    names : names of the observations
        By default ``observation``, or ``observation[0]``, ``observation[1]``, ...
    most_trials : int
        Number of trials if none of the first ones reaches the observed value; by default
        ``trials``. No p-value is below one over the number of trials: further trials tell how small
        it is.
    evaluations : number m of latents at which the classifier is evaluated

    The posterior is correct below 1, and too low above:

    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> data, latent = generator.normal(size=(2, 1000, 1))
    >>> latent[data > 1.0] += 1.0
    >>> result = local_c2st(latent, data, np.array([[-1.0], [2.0]]), seed=1, trials=99)
    >>> result.inside
    array([ True, False])
    """
    latent = check_points("latent", latent, least=20)
    condition = check_points("condition", condition)
    observed = check_points(
        "observed_condition", np.atleast_2d(observed_condition), least=1, width=condition.shape[1]
    )
    if len(latent) != len(condition):
        raise InputError(
            "latent and condition",
            expected="the same number of simulations",
            got=f"{len(latent)} and {len(condition)}",
            do="pass one row a simulation in both",
        )
    if names is None:
        names = (
            ["observation"]
            if len(observed) == 1
            else [f"observation[{index}]" for index in range(len(observed))]
        )
    check_integer(
        "number of names",
        len(names),
        len(observed),
        len(observed),
        do="pass one for each observation",
    )
    check_repetitions("trials", trials, level)
    most = check_integer(
        "Argument 'most_trials'", trials if most_trials is None else most_trials, trials
    )
    check_integer("Argument 'evaluations'", evaluations)
    size, dimension = latent.shape
    states = np.random.SeedSequence(seeds.entropy(seed, "local c2st")).generate_state(most + 2)
    sources = (int(state) >> 1 for state in states)

    def draw(count: int) -> np.ndarray:
        source = next(sources)
        if draw_latent is None:
            return seeds.generator(source, "local c2st").normal(size=(count, dimension))
        return check_points(
            "draws of draw_latent", draw_latent(count, source), least=count, width=dimension
        )

    features = LatentFeatures(draw(_REFERENCE))
    evaluation = draw(evaluations)
    points = features(evaluation)
    classifier = LocalClassifier(condition, observed, seeds.generator(seed, "local c2st"))

    def classify(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability = probabilities(classifier.means(features(latents)), points)
        return np.mean((probability - 0.5) ** 2, axis=1), probability

    # Many small products of matrices: on two busy cores, two threads took five times longer than
    # one.
    with threadpool_limits(1, user_api="blas"):
        statistic, probability = classify(latent)
        null = np.stack([classify(draw(size))[0] for _ in range(trials)])
        if _family_p_value(statistic, null) <= 1.0 / (1.0 + trials) and most > trials:
            null = np.concatenate([null, [classify(draw(size))[0] for _ in range(most - trials)]])
    p_value = p_values(statistic, null)
    return LocalC2STResult(
        tuple(names), p_value, level, statistic, null, evaluation, probability, size
    )


def _family_p_value(statistic: np.ndarray, null: np.ndarray) -> float:
    everything = np.concatenate([statistic[None], null])
    scale = np.maximum(np.median(everything, axis=0), np.finfo(float).tiny)
    largest = np.max(everything / scale, axis=1)
    return float(p_values(largest[0], largest[1:]))
