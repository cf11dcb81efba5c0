"""The posterior from a likelihood and a prior, sampled by NUTS."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError, check_draws
from bayesinn.core.progress import Progress
from bayesinn.likelihood.score import TRIALS_AT_ONCE, Score, TrialErrors, padded
from bayesinn.posterior.answers import inference_data
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference.exact_density import Target
from bayesinn.reference.nuts import NUTS, Convergence
from bayesinn.reference.smc import next_temperature
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.simulations import join, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations, check_observations, warn_of_missing
from bayesinn.spaces.parameters import ParameterSpace

if TYPE_CHECKING:
    import xarray

# Prior draws from which the chains of an observation start, and how many of them must share the
# weight, for each chain: the likelihood is tempered until they do, so that several modes are found.
_PRIOR_DRAWS = 2_048
_STARTS_A_CHAIN = 4
# Fewest draws of each chain: R-hat of fewer draws is not reliable.
_FEWEST_STEPS = 250
# Number of evaluations of the network at once.
_ROWS_AT_ONCE = 30_000


class VectorDensity:
    """The density of unconstrained vectors from a prior and a likelihood, and what samples it.

    Compiling the sampler takes longer than sampling: posteriors of one prior share it.
    """

    def __init__(self, prior: Prior, score: Score) -> None:
        self.score = score
        self.space = ParameterSpace(prior, seed=0)
        self.target = Target(self.space, score.of_parameters)
        self.sampler = NUTS(self._log_density)

    def _log_density(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        """Return log densities (n_obs, chains) of vectors (n_obs, chains, d)."""
        rows = tf.reshape(vector, (-1, self.space.dimension))
        found = self.target(rows, encoded)
        return tf.reshape(found.log_prior + found.log_likelihood, vector.shape[:2])


class _Sampled(NamedTuple):
    """Draws (n_obs, chains, draws, *event), log densities (n_obs, chains, draws), statistics."""

    draws: Arrays
    log_density: np.ndarray
    convergence: Convergence


class LikelihoodPosterior(Posterior):
    """The posterior of parameters given independent trials; made by ``likelihood.posterior(...)``.

    Chains start at prior draws to which a tempered likelihood gives weight. They move in the
    unconstrained space; see :class:`bayesinn.reference.nuts.NUTS`. There is no normalised density;
    the unnormalised density of draws is ``lp`` in :meth:`infer`.

    Attributes
    ----------
    simulator : Simulator
        Simulator of all trials of a data set, with the prior of the posterior.
    """

    def __init__(
        self,
        simulator: Simulator,
        density: VectorDensity,
        trials: int | None,
        observed: Mapping[str, Any] | None,
        chains: int,
        errors: Callable[[], TrialErrors] | None = None,
    ) -> None:
        self.simulator = simulator
        self.trials = trials
        self.chains = chains
        self._density = density
        self._score = density.score
        self._space = density.space
        self._errors = errors
        self.observed: dict[str, Any] | None = None
        if observed is not None:
            self._check(observed)
            # What becomes of the user's arrays later was not observed.
            self.observed = copy.deepcopy(dict(observed))

    def sample(
        self, data: Mapping[str, Any] | None = None, *, draws: int = 1_000, seed: int = 0
    ) -> Arrays:
        """Draw from the posterior of each data set, by default of the observed data.

        Parameters
        ----------
        data : dict of name to array (n_obs, [trials,] ...), observables and context
            Or one data set, without the first axis.
        draws, seed : int

        Returns
        -------
        dict of parameter to array (n_obs, draws, *event), or (draws, *event)
            Draws of all chains in turn. A warning names chains that have not converged.
        """
        observations = self._check(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        sampled = self._run(observations, count, seed)
        values = {
            name: np.moveaxis(value, 1, 2).reshape(len(value), -1, *value.shape[3:])[:, :count]
            for name, value in sampled.draws.items()
        }
        return observations.all_like_data(values)

    def infer(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        draws: int = 1_000,
        seed: int = 0,
        predictive: bool = True,
        progress: bool = False,
    ) -> xarray.DataTree:
        """Return posterior draws and all that ArviZ needs; see :meth:`AmortizedPosterior.infer`.

        There are several chains, of equal length: ``draws``, the number of all of them together, is
        rounded up to a multiple of the chains. ``lp`` is unnormalised. The group ``convergence``
        has R-hat and effective sample sizes of each parameter.
        """
        observations = self._check(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        sampled = self._run(observations, count, seed)
        joined = {
            name: value.reshape(len(value), -1, *value.shape[3:])
            for name, value in sampled.draws.items()
        }
        density = sampled.log_density.reshape(observations.count, -1)
        tree = inference_data(
            self.simulator,
            observations,
            joined,
            density,
            None,
            seed,
            predictive,
            progress,
            self.chains,
        )
        tree["convergence"] = sampled.convergence.tree(self.simulator, observations.batched)
        return tree

    def about(self) -> dict[str, str]:
        return {
            "Posterior": f"{self.chains} chains of NUTS",
            "Trials": "one" if self.trials is None else f"{self.trials}",
        }

    def __repr__(self) -> str:
        return f"LikelihoodPosterior of {self.simulator.name!r}, {self.chains} chains of NUTS"

    def _check(self, data: Mapping[str, Any] | Observations | None) -> Observations:
        data = self.observed if data is None else data
        if data is None:
            raise InputError(
                f"{self!r}",
                expected="data, as nothing was observed when the posterior was made",
                got="none",
                do="pass them, or make it with likelihood.posterior(observed)",
            )
        observations = check_observations(self.simulator, data)
        if observations is not data:
            warn_of_missing(self.simulator, observations)
        return observations

    def _run(self, observations: Observations, draws: int, seed: int) -> _Sampled:
        encoded = self._encode(observations)
        if self._errors is not None and self.trials is not None and self.trials > 1:
            self._errors().warn(self.trials)
        rows = self.chains * TRIALS_AT_ONCE * self._score.points
        # In groups of equal size, so that one program serves all; the last is filled up.
        groups = -(-observations.count // max(1, _ROWS_AT_ONCE // rows))
        size = -(-observations.count // groups)
        parts = []
        for number, start in enumerate(range(0, observations.count, size)):
            chosen = np.minimum(np.arange(start, start + size), observations.count - 1)
            part = map_tensors(lambda value, chosen=chosen: value[chosen], encoded)
            own = seeds.integer_seed(seed, "nuts", number)
            parts.append(self._run_group(part, draws, own))
        drawn, densities, divergences = zip(*parts, strict=True)
        values = take(join(drawn), slice(observations.count))
        log_density = np.concatenate(densities)[: observations.count]
        diverged = np.concatenate(divergences)[: observations.count]
        convergence = Convergence.measure(values, diverged)
        convergence.warn(f"{self.simulator.name!r}")
        # Evenly along the chains, which are longer than was asked for.
        each = -(-draws // self.chains)
        kept = np.linspace(0, log_density.shape[2] - 1, each).round().astype(int)
        values = {name: value[:, :, kept] for name, value in values.items()}
        return _Sampled(values, log_density[:, :, kept], convergence)

    def _run_group(self, encoded: Any, draws: int, seed: int) -> tuple[Any, ...]:
        steps = max(-(-draws // self.chains), _FEWEST_STEPS)
        start = self._starts(encoded, seed)
        data = padded(encoded)
        sampler = self._density.sampler
        with Progress("NUTS", shown=not sampler.compiled(start, data)) as progress:
            progress.stage("compiling the sampler, once for any number of trials")
            chains = sampler.run(start, data, draws=steps, seed=seed)
        flat = self._space.from_vector(
            tf.constant(chains.vectors.reshape(-1, self._space.dimension))
        )
        shape = chains.log_density.shape
        values = {
            name: value.numpy().reshape(*shape, *value.shape[1:]) for name, value in flat.items()
        }
        # From the density of vectors to that of parameters.
        log_det = self._space.to_vector(flat)[1].numpy().reshape(shape)
        return values, chains.log_density + log_det, chains.diverged

    def _encode(self, observations: Observations) -> Any:
        """Return what the likelihood needs of all trials, nested arrays (n_obs, trials, ...)."""
        trials = 1 if self.trials is None else self.trials
        rows = {}
        for name, value in observations.arrays.items():
            if name in self.simulator.context_names:
                rows[name] = np.repeat(value, trials, axis=0)
            else:
                axes = 1 if self.trials is None else 2
                rows[name] = value.reshape(-1, *value.shape[axes:])
        encoded = self._score.encode(rows)
        return map_tensors(
            lambda value: np.asarray(value).reshape(-1, trials, *value.shape[1:]), encoded
        )

    def _starts(self, encoded: Any, seed: int) -> tf.Tensor:
        """Return vectors (n_obs, chains, d) drawn from the prior by a tempered likelihood."""
        vectors = self._density.target.draw_prior(_PRIOR_DRAWS, seeds.tensor_seed(seed, "prior"))
        draws = self._space.from_vector(vectors)
        known = self._score.parameters.to_vector(draws)[0].numpy()
        likelihood = self._score.evaluate(known, encoded)
        share = min(0.5, _STARTS_A_CHAIN * self.chains / _PRIOR_DRAWS)
        generator = seeds.generator(seed, "starts")
        starts = []
        for row in likelihood:
            finite = np.flatnonzero(np.isfinite(row))
            if len(finite) < self.chains:
                raise InputError(
                    f"Data for {self.simulator.name!r}",
                    expected=f"{self.chains} prior draws under which the data are possible",
                    got=f"{len(finite)} of {_PRIOR_DRAWS:,}",
                    do="check their units, and what is constant, or whole, in simulations",
                )
            least = min(0.9, share * len(row) / len(finite))
            _, weights, _ = next_temperature(row[finite], 0.0, least)
            chosen = generator.choice(finite, self.chains, replace=False, p=weights / weights.sum())
            starts.append(vectors.numpy()[chosen])
        return tf.constant(np.stack(starts))
