"""Posteriors that are made of a function which draws."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.memory import check_draws
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation.simulations import copied
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_observations, check_parameters


class SampledPosterior(Posterior):
    """A posterior that any function draws from: another library's, an exact one, a corrected one.

    Parameters
    ----------
    simulator : Simulator
    sample : function ``(data, draws, seed)``
        Takes observables and context by name, arrays (n_obs, ...), a number of draws and a seed.
        Returns draws by parameter, arrays (n_obs, draws, *event), the same for the same seed.
    log_prob : function ``(parameters, data)``
        Takes draws as ``sample`` returns them, and the data; returns exact log densities (n_obs,
        draws), in nats. If left out, a diagnosis leaves out what needs densities.

    Raises
    ------
    InputError
        On use, if draws or densities have wrong names or shapes, or are not finite.

    Examples
    --------
    >>> import bayesinn as bi
    >>> def sample(data, draws, seed):
    ...     noise = np.random.default_rng(seed).normal(size=(2, len(data["y"]), draws))
    ...     return {
    ...         "x1": data["y"][:, None] / 2 + noise[0],
    ...         "x2": data["y"][:, None] / 2 + noise[1],
    ...     }
    >>> posterior = SampledPosterior(bi.get("linear"), sample)
    >>> posterior.sample({"y": 1.5}, draws=100, seed=2)["x1"].shape
    (100,)
    >>> bi.diagnose(posterior, simulations=100, draws=50, seed=1, progress=False).grade
    'outside'
    """

    def __init__(
        self,
        simulator: Simulator,
        sample: Callable[[Arrays, int, int], Mapping[str, Any]],
        log_prob: Callable[[Arrays, Arrays], Any] | None = None,
    ) -> None:
        check_simulator(simulator)
        if not callable(sample):
            raise InputError(
                "Argument 'sample'",
                expected="a function",
                got=repr(sample),
                do="pass sample(data, draws, seed), which returns a dict of arrays",
            )
        self.simulator = simulator
        self._sample = sample
        self._log_prob = log_prob

    @property
    def density(self) -> str | None:
        return None if self._log_prob is None else "exact"

    def sample(
        self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Draw (n_obs, draws, *event) of each parameter, checked; (draws, *event) for one."""
        observations = check_observations(self.simulator, data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        drawn = self._sample(observations.arrays, count, seeds.check_seed(seed))
        values, shape = check_parameters(self.simulator, drawn, replace(observations, batched=True))
        if shape != (observations.count, count):
            raise InputError(
                "Draws of a posterior",
                expected=f"{count} draws for each of {observations.count} observations",
                got=f"{shape}",
                do="return arrays (n_obs, draws, *event)",
            )
        for name, value in values.items():
            infinite = int(np.sum(np.isinf(value)))
            if infinite:
                raise InputError(
                    f"Draws of a posterior, parameter {name!r}",
                    expected="finite numbers",
                    got=f"{infinite:,} infinite ones",
                    do="look where 'sample' divides by zero, or overflows",
                )
        return observations.all_like_data(copied(values))

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return log densities (n_obs, draws) of parameters (n_obs, draws, *event), in nats.

        One observation without batch axis has no axis n_obs.
        """
        if self._log_prob is None:
            return super().log_prob(parameters, data)
        observations = check_observations(self.simulator, data)
        values, shape = check_parameters(self.simulator, parameters, observations)
        density = np.array(self._log_prob(values, observations.arrays), float)
        count = len(next(iter(values.values()))[0])
        if density.shape != (observations.count, count) or np.isnan(density).any():
            got = f"shape {density.shape}"
            if np.isnan(density).any():
                got += ", with NaN"
            raise InputError(
                "Densities of a posterior",
                expected=f"numbers of shape {(observations.count, count)}",
                got=got,
                do="return one for each draw",
            )
        return observations.like_data(density.reshape(shape))
