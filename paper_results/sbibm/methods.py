"""The methods that are compared: the library's defaults, and what may replace them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from tasks import Arrays

import bayesinn as bi
from bayesinn.flows import (
    Consistency,
    Diffusion,
    Flow,
    FlowMatching,
    MixtureDensity,
    coupling,
)
from bayesinn.summaries import ConvLSTM, Summary

#: Observations whose densities are computed together, and draws that normalise each.
_ROWS = 100
_WEIGHTS = 500


def without_linear_map(simulator: bi.Simulator) -> dict[str, Summary]:
    """Return the default network of series, less the linear map beside its LSTM."""
    return {",".join(simulator.observable_shapes): ConvLSTM(32, positions=8)}


@dataclass(frozen=True)
class Method:
    """How to make a posterior: networks, the library's own where they are left out.

    Attributes
    ----------
    summary : function of the simulator, to its summary networks
    flow : function that makes a flow
    networks : int, trained on the same simulations, whose densities are averaged
    options : dict of options of ``fit``
    """

    summary: Callable[[bi.Simulator], dict[str, Summary]] | None = None
    flow: Callable[[], Flow] | None = None
    networks: int | None = None
    options: Mapping[str, int] = MappingProxyType({})

    def posterior(self, simulator: bi.Simulator) -> bi.AmortizedPosterior:
        """Return an untrained posterior."""
        summary = None if self.summary is None else self.summary(simulator)
        flow = None if self.flow is None else self.flow()
        return bi.AmortizedPosterior(simulator, summary, flow, self.networks)


@dataclass(frozen=True)
class ByLikelihood:
    """How to make a posterior from a likelihood, or from its ratio to the evidence.

    Attributes
    ----------
    estimator : class
        A likelihood of the data is for tasks whose data are continuous.
    chains : int
        Of NUTS, many, as each may stay in one of the posterior's modes.
    """

    estimator: type[bi.AmortizedLikelihood | bi.LikelihoodRatio]
    chains: int = 32

    def posterior(self, simulator: bi.Simulator) -> SampledByNUTS:
        """Return an untrained posterior."""
        return SampledByNUTS(self.estimator(simulator), self.chains)


class SampledByNUTS:
    """A likelihood that is trained like a posterior, and answers like one."""

    density = None

    def __init__(
        self, likelihood: bi.AmortizedLikelihood | bi.LikelihoodRatio, chains: int
    ) -> None:
        self.likelihood = likelihood
        self.chains = chains

    @property
    def history(self) -> pd.DataFrame:
        """Training, as of other estimators."""
        return self.likelihood.history

    @property
    def steps_done(self) -> int:
        """Number of steps of the training."""
        return self.likelihood.steps_done

    def fit(self, data: Arrays | None, **options: Any) -> None:
        """Train, with the options of :meth:`bayesinn.Estimator.fit`."""
        self.likelihood.fit(data, **options)
        self._posterior = self.likelihood.posterior(chains=self.chains)

    def sample(self, data: Arrays, *, draws: int, seed: int) -> dict[str, np.ndarray]:
        """Draw from the posterior of one observation."""
        return self._posterior.sample(data, draws=draws, seed=seed)

    def log_prob(self, parameters: Arrays, data: Arrays) -> np.ndarray:
        """Fail: chains have no density; see ``density``."""
        return self._posterior.log_prob(parameters, data)


@dataclass(frozen=True)
class Refined:
    """How to make a default posterior, and a likelihood that weights its draws."""

    def posterior(self, simulator: bi.Simulator) -> RefinedByLikelihood:
        """Return an untrained posterior."""
        return RefinedByLikelihood(simulator)


class RefinedByLikelihood:
    """Two estimators that are trained on the same simulations, and answer like one posterior."""

    density = "by importance sampling"

    def __init__(self, simulator: bi.Simulator) -> None:
        self.simulator = simulator
        self.proposal = bi.AmortizedPosterior(simulator)
        self.likelihood = bi.AmortizedLikelihood(simulator)

    @property
    def steps_done(self) -> int:
        """Number of steps of both trainings."""
        return self.proposal.steps_done + self.likelihood.steps_done

    def fit(self, data: Arrays | None, **options: Any) -> None:
        """Train both, with the options of :meth:`bayesinn.Estimator.fit`."""
        self.proposal.fit(data, **options)
        self.likelihood.fit(data, **options)

    def sample(self, data: Arrays, *, draws: int, seed: int) -> dict[str, np.ndarray]:
        """Draw from the posterior of one observation."""
        tree = bi.refine(
            self.proposal,
            data,
            log_likelihood=lambda parameters, data: self.likelihood.log_prob(data, parameters),
            methods=["importance"],
            draws=draws,
            predictive=False,
            seed=seed,
        )
        posterior = tree["posterior"]
        return {name: posterior[name].to_numpy()[0] for name in self.simulator.prior.names}

    def log_prob(self, parameters: Arrays, data: Arrays) -> np.ndarray:
        """Return log densities (n,) at parameters (n, ...), given as many observations.

        They are normalised by the mean weight of draws of the default.
        """
        parts = []
        for start in range(0, len(next(iter(data.values()))), _ROWS):
            rows = slice(start, start + _ROWS)
            seen = {name: value[rows] for name, value in data.items()}
            drawn = self.proposal.sample(seen, draws=_WEIGHTS, seed=1)
            weights = self._joint(drawn, seen) - self.proposal.log_prob(drawn, seen)
            evidence = logsumexp(weights, axis=1) - np.log(_WEIGHTS)
            true = {name: value[rows, None] for name, value in parameters.items()}
            parts.append(self._joint(true, seen)[:, 0] - evidence)
        return np.concatenate(parts)

    def _joint(self, parameters: Arrays, data: Arrays) -> np.ndarray:
        """Return log densities (n, draws) of prior times likelihood."""
        likelihood = self.likelihood.log_prob(data, parameters)
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in parameters.items()}
        prior = self.proposal.evaluator.prior_log_prob(flat)
        return likelihood + prior.reshape(likelihood.shape)


@dataclass(frozen=True)
class Selected:
    """How to make a posterior of the elements of the data that depend on parameters."""

    method: Method | ByLikelihood | Refined

    def posterior(self, simulator: bi.Simulator) -> OfSelection:
        """Return an untrained posterior."""
        return OfSelection(simulator, self.method)


class OfSelection:
    """A posterior of a selection that is made when it is trained, on the same simulations."""

    def __init__(self, simulator: bi.Simulator, method: Method | ByLikelihood | Refined) -> None:
        self.simulator = simulator
        self.method = method

    @property
    def density(self) -> str | None:
        """Kind of density of the method."""
        return self._posterior.density

    @property
    def steps_done(self) -> int:
        """Number of steps of the training."""
        return self._posterior.steps_done

    def fit(self, data: Arrays, **options: Any) -> None:
        """Select and train, with the options of :meth:`bayesinn.Estimator.fit`."""
        self._chosen = bi.informative(self.simulator, data)
        print(self._chosen)
        self._posterior = self.method.posterior(self._chosen.simulator)
        self._posterior.fit(self._chosen.of(data), **options)

    def sample(self, data: Arrays, *, draws: int, seed: int) -> dict[str, np.ndarray]:
        """Draw from the posterior of one observation."""
        return self._posterior.sample(self._chosen.of(data), draws=draws, seed=seed)

    def log_prob(self, parameters: Arrays, data: Arrays) -> np.ndarray:
        """Return log densities (n,) at parameters (n, ...), given as many observations."""
        return self._posterior.log_prob(parameters, self._chosen.of(data))


type AnyMethod = Method | ByLikelihood | Refined | Selected

METHODS: dict[str, AnyMethod] = {
    "default": Method(),
    "one network": Method(networks=1),
    "affine": Method(flow=coupling),
    "affine, one network": Method(flow=coupling, networks=1),
    "short batches": Method(options={"batch_size": 64, "epochs": 10}),
    "without linear map": Method(summary=without_linear_map),
    "flow matching": Method(flow=FlowMatching),
    "diffusion": Method(flow=Diffusion),
    "consistency": Method(flow=Consistency, networks=1),
    "mixture density": Method(flow=MixtureDensity),
    "likelihood": ByLikelihood(bi.AmortizedLikelihood),
    "ratio": ByLikelihood(bi.LikelihoodRatio),
    "refined": Refined(),
    "selected": Selected(Method()),
    "selected likelihood": Selected(ByLikelihood(bi.AmortizedLikelihood)),
    "selected and refined": Selected(Refined()),
}
