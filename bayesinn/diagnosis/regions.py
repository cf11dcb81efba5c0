"""Regions of parameters whose coverage is guaranteed, whatever the posterior's quality.

Split-conformal prediction: a score says how far outside of a region of the posterior the truth of a
held-out simulation lies; regions are widened until their share of scores is inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_draws, check_integer, check_number
from bayesinn.core.labels import columns
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.simulation.checks import check_finite, check_simulations
from bayesinn.simulation.prior import support_of
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.observations import check_parameters

_LEVELS = (0.5, 0.8, 0.9, 0.95)


def conformal_regions(
    posterior: Posterior,
    data: Mapping[str, Any] | None = None,
    *,
    simulations: int = 1_000,
    draws: int = 500,
    seed: int = 0,
) -> ConformalRegions:
    """Return regions whose coverage doesn't depend on how well the posterior was trained.

    Of observations that are drawn from the prior and the simulator, an interval of level 0.9 holds
    the true parameter for at least 90 of 100, and for at most 1 / (simulations + 1) more. That is
    an average over the prior: of a single observation, and of data that the simulator can't make,
    nothing is guaranteed. What a poor posterior costs is width, see
    :attr:`ConformalRegions.table`.

    Parameters
    ----------
    posterior : Posterior
    data : dict of name to array (n, ...)
        Held-out simulations, which no training has seen; by default they are drawn.
    simulations : int, how many are drawn
    draws : int, of the posterior for each observation
    seed : int

    References
    ----------
    Romano, Patterson and Candes (2019), Conformalized quantile regression, arXiv:1905.03222.
    Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    ... )
    >>> _ = posterior.fit(steps=20, progress=False)
    >>> regions = bi.diagnosis.conformal_regions(posterior, simulations=200, draws=100)
    >>> regions.intervals({"y": 1.5}, level=0.9)["x1"].shape
    (2,)
    """
    check_posterior("Argument 'posterior'", posterior)
    simulator = posterior.simulator
    count = check_integer("Argument 'simulations'", simulations, 2)
    check_draws(draws, simulator.prior.event_shapes, count, least=20)
    if data is None:
        drawn = simulator.draw(count, seed, "conformal")
        check_finite(simulator, drawn)
        rows = drawn.flat()
    else:
        rows = check_simulations(simulator, data, "Held-out simulations")
    truth = {name: rows.pop(name) for name in simulator.prior.names}
    return ConformalRegions(posterior, truth, rows, draws, seed)


class ConformalRegions:
    """Intervals and joint regions with guaranteed coverage; see :func:`conformal_regions`."""

    def __init__(
        self, posterior: Posterior, truth: Arrays, data: Arrays, draws: int, seed: int
    ) -> None:
        self.posterior = posterior
        self._draws = draws
        self._seed = seeds.integer_seed(seed, "conformal")
        given = posterior.given(data)
        self._drawn = given.sample(draws, self._seed)
        self.simulations = len(next(iter(truth.values())))
        self._ranks: np.ndarray | None = None
        if posterior.density == "exact":
            own = given.log_prob({name: value[:, None] for name, value in truth.items()})
            self._ranks = _depths(own, given.log_prob(self._drawn))[:, 0]
        prior = posterior.simulator.prior
        near = prior.unwrapped(self._drawn, {name: value[:, None] for name, value in truth.items()})
        self._truth = {name: value[:, 0] for name, value in near.items()}
        self._drawn = prior.unwrapped(self._drawn)

    def intervals(self, data: Mapping[str, Any], *, level: float = 0.9) -> dict[str, np.ndarray]:
        """Return an interval of each parameter's elements, (n_obs, *event, 2) or (*event, 2).

        It is the central interval of the posterior, wider or narrower by a share of its own width:
        the same for all observations, so that regions follow the posterior from one to the next. It
        ends where the prior does; those of angles go on past half a turn.
        """
        level = _check_level(level)
        observations = self.posterior.check_data(data)
        given = self.posterior.given(observations)
        prior = self.posterior.simulator.prior
        drawn = prior.unwrapped(given.sample(self._draws, self._seed))
        result = {}
        for name, value in drawn.items():
            low, high = _central(value, level)
            widening = self._score(name, level) * (high - low)
            bounds = np.stack([low - widening, high + widening], axis=-1)
            # A score below -1/2 would turn an interval around.
            middle = bounds.mean(axis=-1, keepdims=True)
            bounds = np.concatenate(
                [np.minimum(bounds[..., :1], middle), np.maximum(bounds[..., 1:], middle)], axis=-1
            )
            result[name] = self._within_prior(name, bounds)
        return observations.all_like_data(result)

    def contains(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], *, level: float = 0.9
    ) -> np.ndarray:
        """Tell which parameters (n_obs, draws, *event) lie inside of an observation's joint region.

        The region holds the highest densities of the posterior; its share of the draws is chosen
        such that the coverage is ``level``.
        """
        level = _check_level(level)
        if self._ranks is None:
            raise InputError(
                "Joint conformal regions",
                expected="a posterior with an exact density",
                got=f"density {self.posterior.density!r}",
                do="take intervals(...)",
            )
        observations = self.posterior.check_data(data)
        values, shape = check_parameters(self.posterior.simulator, parameters, observations)
        given = self.posterior.given(observations)
        own = given.log_prob(values)
        depths = _depths(own, given.log_prob(given.sample(self._draws, self._seed)))
        inside = depths <= _quantile(self._ranks, level)
        return observations.like_data(inside.reshape(shape))

    @property
    def table(self) -> pd.DataFrame:
        """One row for each level and column: what the posterior covers, and what a repair costs.

        The coverage is that of the posterior's own interval; the width ratio is that of the
        conformal interval to it.
        """
        rows = []
        for level in _LEVELS:
            if math.ceil((self.simulations + 1) * level) > self.simulations:
                continue
            for name, drawn in self._drawn.items():
                low, high = _central(drawn, level)
                inside = (self._truth[name] >= low) & (self._truth[name] <= high)
                width = 1.0 + 2.0 * self._score(name, level)
                share = columns({name: inside}, batch_ndim=1)
                widths = columns({name: np.broadcast_to(width, inside.shape)}, batch_ndim=1)
                rows += [
                    (level, column, float(part.mean()), float(np.ravel(widths[column])[0]))
                    for column, part in share.items()
                ]
        names = ["level", "column", "coverage of the posterior", "width ratio"]
        return pd.DataFrame(rows, columns=names)

    def __repr__(self) -> str:
        return (
            f"Conformal regions from {self.simulations:,} held-out simulations. Coverage is "
            "guaranteed on average over the prior and the simulator; the cost is width:\n"
            f"{self.table.to_string(index=False, float_format='%.3g')}"
        )

    def _within_prior(self, name: str, bounds: np.ndarray) -> np.ndarray:
        """Cut intervals (n, *event, 2) where the prior ends, if that is the same for all draws."""
        prior = self.posterior.simulator.prior
        if prior.needs[name]:
            return bounds
        ends = support_of(name, prior.distribution(name, {})).ends
        if ends is None:
            return bounds
        low, high = (np.asarray(end)[..., None] for end in ends)
        return np.clip(bounds, low, high)

    def _score(self, name: str, level: float) -> np.ndarray:
        """Return by which share of their width intervals must be widened, (*event)."""
        low, high = _central(self._drawn[name], level)
        width = np.maximum(high - low, np.finfo(np.float32).tiny)
        truth = self._truth[name]
        return _quantile(np.maximum(low - truth, truth - high) / width, level)


def _central(drawn: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (n, *event) of central intervals of draws (n, draws, *event)."""
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(drawn.astype(float), [tail, 1.0 - tail], axis=1)
    return low, high


def _depths(own: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return which share of draws has a higher density, for log densities (n, k) and (n, draws).

    Below all of them, it is one and the distance to the lowest, in nats.
    """
    ordered = np.sort(drawn, axis=1)
    places = [np.searchsorted(row, values) for row, values in zip(ordered, own, strict=True)]
    below = np.maximum(ordered[:, :1] - own, 0.0)
    return 1.0 - np.stack(places) / drawn.shape[1] + below


def _quantile(scores: np.ndarray, level: float) -> Any:
    """Return the score that a share ``level`` of new ones doesn't exceed, from n of them."""
    count = len(scores)
    place = math.ceil((count + 1) * level)
    if place > count:
        least = math.ceil(level / (1.0 - level))
        raise InputError(
            f"Conformal regions of level {level:g}",
            expected=f"{least:,} held-out simulations or more",
            got=f"{count:,}",
            do="give more, or a lower level",
        )
    return np.sort(scores, axis=0)[place - 1]


def _check_level(level: float) -> float:
    return check_number("Argument 'level'", level, above=0, below=1, do="pass for example 0.9")
