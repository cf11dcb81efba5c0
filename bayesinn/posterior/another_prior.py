"""A posterior under another prior: draws of a trained one, weighted by the ratio of the priors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, warn
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_type
from bayesinn.core.weights import MOST_K_HAT, Weights
from bayesinn.posterior.answers import Given, answer
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.posterior.typicality import Typicality
from bayesinn.simulation.declaration import check_known
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.prior import Entry
from bayesinn.simulation.simulations import flatten_draws
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.observations import Observations, check_parameters
from bayesinn.spaces.parameters import ParameterSpace

# Proposals for each draw, and the fewest for an observation: k-hat needs a tail of a hundred.
_PROPOSALS = 5
_FEWEST = 2_500
# Draws of the new prior that must lie where the old one has mass.
_TRIALS = 4_000


class AnotherPrior(Posterior):
    """The posterior under another prior; made by :meth:`bayesinn.Posterior.with_prior`.

    Attributes
    ----------
    simulator : Simulator, with the new prior
    posterior : Posterior, the one that was trained under the old prior
    """

    def __init__(self, posterior: Posterior, prior: Mapping[str, Entry]) -> None:
        check_posterior("Argument 'posterior'", posterior)
        subject = "Argument 'prior'"
        do = "pass for example {'rate': tfd.LogNormal(-1.0, 0.3)}; others keep theirs"
        check_type(subject, prior or None, Mapping, "a dict of distributions", do)
        old = posterior.simulator.prior
        check_known(subject, prior, old.names)
        self.posterior = posterior
        self.simulator = derived_simulator(posterior.simulator, prior={**old.entries, **prior})
        if (new := self.simulator.prior).event_shapes != old.event_shapes:
            raise InputError(
                subject,
                expected=f"parameters of the shapes {old.event_shapes}",
                got=f"{new.event_shapes}",
                do="give each parameter a distribution of its old shape",
            )
        self._old, self._new = (
            ParameterSpace(simulator.prior, 0)
            for simulator in (posterior.simulator, self.simulator)
        )
        self._refuse_beyond(subject)

    def _refuse_beyond(self, subject: str) -> None:
        """Refuse a prior with mass where the old one has none: no draw can be there."""
        draws = self.simulator.prior.sample(_TRIALS, seeds.tensor_seed(0, "prior"))
        density = self._old.prior_log_prob(draws).numpy()
        share = float(np.mean(~np.isfinite(density)))
        if share:
            raise InputError(
                subject,
                expected="a prior within the one of the training",
                got=f"one with {100 * share:.2g} % of its mass outside",
                do="take one inside, or train with the new prior",
            )

    @property
    def density(self) -> str | None:
        return self.posterior.density

    def log_weight(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the log ratio (n, draws) of the priors, new to old, at (n, draws, *event)."""
        shape = next(iter(parameters.values())).shape[:2]
        flat = flatten_draws(parameters)
        new, old = (space.prior_log_prob(flat).numpy() for space in (self._new, self._old))
        return np.where(np.isfinite(old), new - old, -np.inf).reshape(shape)

    def sample(
        self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Draw (n_obs, draws, *event), or (draws, *event) for one observation.

        A warning says where the weights can't be trusted: k-hat is above 0.7.
        """
        observations = self.check_data(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        given = self.given(observations)
        values = given.sample(count, seed)
        if given.remark:
            warn(given.remark)
        return answer(values, given.typicality, observations)

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return log densities; their constant is that of 2,500 weighted draws."""
        if self.density is None:
            return super().log_prob(parameters, data)
        observations = self.check_data(data)
        values, shape = check_parameters(self.simulator, parameters, observations)
        return observations.like_data(self.given(observations).log_prob(values).reshape(shape))

    def given(self, data: Mapping[str, Any] | Observations) -> WeightedGiven:
        observations = self.check_data(data)
        return WeightedGiven(self, self.posterior.given(observations), observations.arrays)

    def require_trained(self) -> None:
        self.posterior.require_trained()

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        return self.posterior.check_data(data)

    def about(self) -> dict[str, str]:
        return {**self.posterior.about(), "Prior": "another one, by weights"}


class WeightedGiven(Given):
    """The posterior of n data sets under another prior.

    Attributes
    ----------
    k_hat : array (n,)
        Shape of the tail of each observation's weights, after :meth:`sample`; up to 0.7 they can be
        trusted.
    """

    def __init__(self, posterior: AnotherPrior, base: Given, data: Arrays) -> None:
        super().__init__(posterior.simulator, self.sample, self.log_prob, data)
        self._posterior = posterior
        self._base = base
        self.evaluations = base.evaluations
        self.k_hat = np.full(len(next(iter(data.values()))), np.nan)

    @property
    def features(self) -> np.ndarray:
        return self._base.features

    @property
    def inputs(self) -> np.ndarray:
        return self._base.inputs

    @property
    def typicality(self) -> Typicality | None:
        return self._base.typicality

    def sample(self, draws: int, seed: int, stream: str = "draws") -> Arrays:
        proposals, weights = self._weigh(max(_PROPOSALS * draws, _FEWEST), seed, stream)
        self.k_hat = np.array([one.k_hat for one in weights])
        distrusted = [not one.trustworthy for one in weights]
        if any(distrusted):
            self.remark = (
                f"At {sum(distrusted):,} of {len(weights):,} observations the new prior is too far "
                f"from where the posterior has its draws: k-hat {self.k_hat.max():.2f}, and up to "
                f"{MOST_K_HAT} can be trusted. Train with the new prior, or use bi.refine."
            )
        rows = [
            seeds.generator(seed, stream, 1 + number).choice(
                len(one.weights), size=draws, p=one.weights
            )
            for number, one in enumerate(weights)
        ]
        chosen = np.stack(rows)
        each = np.arange(len(chosen))[:, None]
        return {name: value[each, chosen] for name, value in proposals.items()}

    def log_prob(self, parameters: Arrays) -> np.ndarray:
        _, weights = self._weigh(_FEWEST, 0, "draws")
        constants = np.array([one.log_evidence for one in weights])[:, None]
        ratio = self._posterior.log_weight(parameters)
        return self._base.log_prob(parameters) + ratio - constants

    def _weigh(self, count: int, seed: int, stream: str) -> tuple[Arrays, list[Weights]]:
        """Return draws (n, count, *event) of the old posterior, and the weights of each row."""
        proposals = self._base.sample(count, seed, stream)
        ratios = self._posterior.log_weight(proposals)
        if not np.isfinite(ratios).any(axis=1).all():
            raise InputError(
                "Observations under another prior",
                expected="draws of the old posterior where the new prior has mass",
                got=f"none of {count:,} at some observation",
                do="train with the new prior",
            )
        return proposals, [Weights.smooth(row) for row in ratios.astype(float)]
