"""Many observations of the same parameters, from a posterior that was trained on one."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.stats import binom, chi2

from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError, check_type, warn
from bayesinn.likelihood.posterior import LikelihoodPosterior, Sampled, Score, TrialLikelihood
from bayesinn.posterior.amortized import TrainedPosterior
from bayesinn.posterior.answers import Evaluator
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.reference.importance import evaluate_prior
from bayesinn.simulation.prior import Entry
from bayesinn.simulation.simulations import flatten_draws
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.observations import Observations

# Probability of a false alarm for one data set, if single answers are normal and correct.
_LEVEL = 1e-3
# Trials of each data set whose single answers are compared, draws of each of these, and of all.
_COMPARED = 30
_DRAWS = 200


def combine(
    posterior: TrainedPosterior,
    observed: Mapping[str, Any] | None = None,
    *,
    prior: Mapping[str, Entry] | None = None,
    trials: int | None = None,
    per_trial: str | Collection[str] = (),
    chains: int = 8,
) -> CombinedPosterior:
    """Return the posterior given independent observations of the same parameters, by NUTS.

    Its density is the product of the posteriors of each observation, divided by the prior once for
    each but one. Errors of the network add up: a warning says where they shift the result, where
    many observations are unlike the simulations, and where their single answers exclude each other.

    Parameters
    ----------
    posterior : AmortizedPosterior
        Trained on one observation, with an exact density and continuous parameters.
    observed : dict of name to array
        The default data of the result: observables (trials, ...), and context, (trials, ...) if
        each observation has its own. Observations with NaN are missing, and left out.
    prior : dict of name to distribution
        A prior of all parameters, within that of the training, by default the same.
    trials : int
        Number of observations in each data set, if ``observed`` is left out.
    per_trial : str, or several
        Names of the context of which each observation has its own, if ``observed`` is left out.
    chains : int, number of chains, 2 or more

    Returns
    -------
    CombinedPosterior
        A posterior of data sets of so many observations: diagnose it, plot it. It has no normalised
        density; ``infer`` returns the unnormalised one, ``lp``.

    Raises
    ------
    InputError
        If the posterior has no exact density with gradients, or the data don't fit.

    References
    ----------
    Geffner, Papamakarios and Mnih (2023), Compositional score modeling for simulation-based
    inference, arXiv:2209.14249, equation 2.

    Examples
    --------
    >>> import bayesinn as bi
    >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
    >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> combine(posterior, {"y": [1.5, 1.1, 0.9]}).simulator.observable_shapes
    {'y': (3,)}
    """
    do = "pass a trained bi.AmortizedPosterior; combine the members of an ensemble one by one"
    check_type("Argument 'posterior'", posterior, TrainedPosterior, "an AmortizedPosterior", do)
    if posterior.density != "exact":
        raise InputError(
            "Argument 'posterior'",
            expected="one with an exact density, which chains can follow",
            got=f"one with density {posterior.density!r}, by {posterior.flow!r}",
            do="train with a flow such as bi.flows.coupling()",
        )
    found = _ratio(posterior, posterior.evaluator).posterior(
        observed, prior=prior, trials=trials, per_trial=per_trial, chains=chains
    )
    assert isinstance(found, CombinedPosterior)
    return found


class PosteriorRatio(TrialLikelihood):
    """The ratio of a trained posterior and its prior: the likelihood, up to a factor."""

    excludes_failures = True

    def __init__(self, posterior: TrainedPosterior) -> None:
        self.single = posterior
        self.simulator = posterior.simulator
        self._score = PosteriorScore(posterior.evaluator)

    def score(self) -> Score:
        return self._score

    def _posterior(self, *parts: Any) -> CombinedPosterior:
        return CombinedPosterior(self.single, *parts)


# Chains are compiled once for each training.
@functools.lru_cache(maxsize=8)
def _ratio(posterior: TrainedPosterior, evaluator: Evaluator) -> PosteriorRatio:
    return PosteriorRatio(posterior)


class PosteriorScore(Score):
    """Log ratios of the posterior and the prior, at vectors as the flow has them."""

    def __init__(self, evaluator: Evaluator) -> None:
        super().__init__(evaluator.model.parameters)
        self.evaluator = evaluator

    def encode(self, data: Arrays) -> Any:
        return map_tensors(np.asarray, self.evaluator.condition(data)[0])

    def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        log_prior = evaluate_prior(self.parameters, vector)[1]
        density = self.evaluator.model.network.flow.log_prob(vector, encoded)
        # Where the prior has no mass, nor has the posterior.
        return tf.where(tf.math.is_finite(log_prior), density - log_prior, -np.inf)


class CombinedPosterior(LikelihoodPosterior):
    """The posterior given several observations of the same parameters; made by :func:`combine`.

    Attributes
    ----------
    simulator : Simulator of all observations of a data set
    single : AmortizedPosterior, that of one observation
    """

    def __init__(self, single: TrainedPosterior, *parts: Any) -> None:
        self.single = single
        super().__init__(*parts)

    def require_trained(self) -> None:
        self.single.require_trained()

    def about(self) -> dict[str, str]:
        return {**self.single.about(), **super().about()}

    def __repr__(self) -> str:
        return f"CombinedPosterior of {self.simulator.name!r}, {self.chains} chains of NUTS"

    def _run(self, observations: Observations, draws: int, seed: int) -> Sampled:
        sampled = super()._run(observations, draws, seed)
        if self.trials is not None and self.trials > 1:
            self._compare(observations, sampled.draws, seed)
        return sampled

    def _compare(self, observations: Observations, combined: Arrays, seed: int) -> None:
        """Warn where single observations are unusual, or their answers exclude each other."""
        trials, counts = self._trials(observations)
        count = min(counts.min(), _COMPARED)
        places = np.linspace(0, counts.min() - 1, count).round().astype(int)
        rows = {
            name: value[:, places].reshape(-1, *value.shape[2:]) for name, value in trials.items()
        }
        single = self.single.given(rows)
        flagged = (single.typicality.p_value < FLAG_LEVEL).reshape(-1, count).sum(axis=1)
        odd = binom.sf(flagged - 1, count, FLAG_LEVEL) < _LEVEL
        if odd.any():
            warn(
                f"In {odd.sum():,} of {len(odd):,} data sets, single observations are unlike the "
                f"simulations, up to {flagged.max():,} of {count:,}: their answers, and so their "
                "product, are extrapolations. bi.explain_unusual(posterior, data) says more."
            )
        distance, most = self._distances(single.sample(_DRAWS, seed, "single"), combined, count)
        apart = distance > most
        if apart.any():
            worst = int(np.argmax(distance / most))
            warn(
                f"In {apart.sum():,} of {len(apart):,} data sets, single observations exclude each "
                f"other: draws of all are {np.sqrt(distance[worst]):.1f} sd from the single "
                f"answers, where {np.sqrt(most[worst]):.1f} is the most by chance. They may not "
                "have the same parameters, or the simulator is wrong."
            )

    def _distances(
        self, singles: Arrays, combined: Arrays, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean squared distances (n_obs,) of combined draws from single ones; the most.

        They are Mahalanobis distances for one number. Their mean over the prior is one, as the true
        parameters are draws of either. For parameters z sd from the prior's mean it is up to the
        square of z, as answers shrink towards the prior: a weighted mean of this and one, exactly
        so if all is normal.
        """
        vectors = self._vectors(singles)
        mean = vectors.mean(axis=1)
        offsets = vectors - mean[:, None]
        dimension = vectors.shape[2]
        covariance = np.einsum("nki,nkj->nij", offsets, offsets) / vectors.shape[1]
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(dimension))
        whole = {
            name: value.reshape(len(value), -1, *value.shape[3:])
            for name, value in combined.items()
        }
        size = next(iter(whole.values())).shape[1]
        places = np.linspace(0, size - 1, min(size, _DRAWS)).round().astype(int)
        together = self._vectors({name: value[:, places] for name, value in whole.items()})
        away = np.repeat(together, count, axis=0) - mean[:, None]
        scaled = np.linalg.solve(root, np.swapaxes(away, 1, 2))
        distance = np.mean((scaled**2).reshape(len(together), -1), axis=1)
        far = np.maximum(np.mean(together**2, axis=1), 1.0).mean(axis=1)
        freedom = count * dimension
        return distance, far * chi2.isf(_LEVEL, freedom) / freedom

    def _vectors(self, draws: Arrays) -> np.ndarray:
        """Return vectors (n, draws, d) of draws (n, draws, *event), standardised by the prior."""
        shape = next(iter(draws.values())).shape[:2]
        flat = self._space.to_vector(flatten_draws(draws))[0].numpy()
        return flat.reshape(*shape, -1).astype(np.float64)
