"""How far simulations are from one observation: summaries, their scale, their overlap."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.warning import warn
from bayesinn.reference.smc_target import Target
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import check_one_observation
from bayesinn.spaces.parameters import ParameterSpace

#: A function of observables (n, ...) and context by name: summaries (n, k).
Summaries = Callable[[Arrays], np.ndarray]

#: Number of prior draws that are simulated first.
PILOT = 2_000
# Mean absolute deviation from the median of a normal distribution, in its standard deviations.
_SD_OF_DEVIATION = 1.4826


class Discrepancy:
    """Simulations for the context of one observation, compared with it by summaries.

    A pilot of prior draws gives each summary its scale, and tells whether the model can reach the
    data.

    Attributes
    ----------
    parameters, distances : of the pilot, arrays (m, *event) by name and (m,)
    observation : dict of arrays (1, ...), the data that were observed
    observed : array (k,), their summaries
    simulations : int, number so far
    """

    def __init__(
        self,
        simulator: Simulator,
        data: Mapping[str, Any],
        summaries: Summaries | None,
        seed: int,
        *,
        continuous: bool,
    ) -> None:
        self._started = time.monotonic()
        self.simulator = simulator
        self.simulations = 0
        self.seed = seeds.check_seed(seed)
        self.space = ParameterSpace(simulator.prior, seed=0)
        if continuous and self.space.discrete:
            raise InputError(
                f"Simulator {simulator.name!r}",
                expected="continuous parameters, which particles and chains can move in",
                got=f"integers: {list(self.space.discrete)}",
                do="use bi.reference.rejection_abc, or bi.reference.importance with a likelihood",
            )
        if summaries is None:
            refuse_absent_values(simulator, "summaries")
        checked = check_one_observation(simulator, data)
        self.observation = checked.arrays
        self._context = {name: checked.arrays[name] for name in simulator.context_names}
        self._summaries = summaries or side_by_side(simulator)
        self.observed = self._summarised(self.observation, 1)[0]
        target = Target(self.space, _no_likelihood)
        # Of any number of rows, traced once.
        compiled = tf.function(
            input_signature=[tf.TensorSpec((None, self.space.dimension))], autograph=False
        )
        self._log_prior = compiled(lambda vectors: target(vectors, {}).log_prior)
        self._from_vector = compiled(self.space.from_vector)
        self.parameters = self.draw_prior(PILOT, 0)
        pilot = self.summarise(self.parameters)
        self._scale = _scales(pilot)
        self._check_overlap(pilot)
        self.distances = self.distance(pilot)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def draw_prior(self, n: int, number: int) -> Arrays:
        """Return prior draws (n, *event) of batch ``number``."""
        drawn = self.simulator.prior.sample(n, seeds.tensor_seed(self.seed, "abc", number))
        return {name: np.asarray(value) for name, value in drawn.items()}

    def simulate(self, parameters: Arrays) -> Arrays:
        """Return observables and context (n, ...) simulated with parameters (n, *event)."""
        count = count_rows(parameters)
        # No simulation has the seed of another.
        own = seeds.integer_seed(self.seed, "abc simulations", self.simulations)
        self.simulations += count
        context = {name: np.repeat(value, count, axis=0) for name, value in self._context.items()}
        return {**self.simulator.simulate(parameters, own, context or None), **context}

    def summarise(self, parameters: Arrays) -> np.ndarray:
        """Return summaries (n, k) of simulations with parameters (n, *event); NaN where they fail.

        Infinite numbers are failures, too.
        """
        count = count_rows(parameters)
        found = self._summarised(self.simulate(parameters), count)
        return np.where(np.isfinite(found), found, np.nan)

    def distance(self, summaries: np.ndarray) -> np.ndarray:
        """Return distances (n,) of summaries (n, k) from those observed, infinite where NaN."""
        squares = ((summaries - self.observed) / self._scale) ** 2
        return np.nan_to_num(np.sqrt(np.mean(squares, axis=1)), nan=np.inf, posinf=np.inf)

    def vectors(self, parameters: Arrays) -> np.ndarray:
        """Return unconstrained vectors (n, d) of continuous parameters (n, *event)."""
        return self.space.to_vector(parameters)[0].numpy()

    def parameters_of(self, vectors: np.ndarray) -> Arrays:
        """Return parameters (n, *event) of unconstrained vectors (n, d)."""
        found = self._from_vector(tf.constant(vectors, tf.float32))
        dtypes = self.simulator.prior.dtypes
        return {name: np.asarray(value, dtypes[name]) for name, value in found.items()}

    def log_prior(self, vectors: np.ndarray) -> np.ndarray:
        """Return log prior densities (n,) of unconstrained vectors (n, d)."""
        return self._log_prior(tf.constant(vectors, tf.float32)).numpy()

    def nearest(self, count: int) -> Arrays:
        """Return parameters (count, *event) of the pilot's nearest simulations."""
        return take(self.parameters, np.argsort(self.distances)[:count])

    def check_finite(self, distances: np.ndarray, simulations: int) -> None:
        """Refuse to keep simulations that failed, whose distances are infinite."""
        finite = int(np.isfinite(distances).sum())
        if finite < len(distances):
            raise InputError(
                f"Simulations of {self.simulator.name!r}",
                expected=f"{len(distances)} finite ones of {simulations} prior draws",
                got=f"{finite}",
                do="narrow the prior, ask for fewer draws, or correct the simulator",
            )

    def _summarised(self, data: Arrays, count: int) -> np.ndarray:
        found = np.asarray(self._summaries(data), np.float64)
        if found.ndim != 2 or len(found) != count:
            raise InputError(
                "Argument 'summaries'",
                expected=f"a function that returns an array ({count}, k), a row for each data set",
                got=f"shape {found.shape}",
                do="keep the first axis, and put all numbers of a data set side by side",
            )
        return found

    def _check_overlap(self, pilot: np.ndarray) -> None:
        """Refuse data far outside of what the prior simulates; warn of data just outside."""
        with np.errstate(invalid="ignore"):
            low = np.nanmin(pilot, axis=0)
            high = np.nanmax(pilot, axis=0)
        beyond = np.maximum(low - self.observed, self.observed - high)
        far = np.flatnonzero(~(beyond <= np.maximum(high - low, 1e-9 * np.abs(high))))
        outside = np.flatnonzero(beyond > 0.0)
        if not len(outside) and not len(far):
            return
        worst = int(far[0] if len(far) else outside[0])
        subject = f"Data for simulator {self.simulator.name!r}"
        expected = f"summary {worst} from {low[worst]:.3g} to {high[worst]:.3g}"
        got = f"{self.observed[worst]:.3g}"
        do = "check the units of the data and the prior"
        if len(far):
            raise InputError(
                subject, expected=f"{expected}, as in {PILOT:,} simulations", got=got, do=do
            )
        if len(outside) > 0.01 * len(self.observed):
            warn(
                f"{subject}: expected {expected}, got {got}; no simulation comes near in "
                f"{len(outside)} of {len(self.observed)} summaries. Accepted draws say little "
                f"there: {do}.",
            )


def side_by_side(simulator: Simulator) -> Summaries:
    """Return a function that puts all observables (n, ...) side by side, (n, k)."""
    names = tuple(simulator.observable_shapes)

    def flatten(data: Arrays) -> np.ndarray:
        return np.concatenate([data[name].reshape(len(data[name]), -1) for name in names], axis=1)

    return flatten


def _scales(summaries: np.ndarray) -> np.ndarray:
    """Return robust standard deviations (k,) of summaries (n, k); one for those that are equal."""
    centre = np.nanmedian(summaries, axis=0)
    scale = _SD_OF_DEVIATION * np.nanmedian(np.abs(summaries - centre), axis=0)
    scale = np.where(scale > 0.0, scale, np.nanstd(summaries, axis=0))
    return np.where(scale > 0.0, scale, 1.0)


def _no_likelihood(parameters: Mapping[str, tf.Tensor], data: Any) -> tf.Tensor:
    value = next(iter(parameters.values()))
    return tf.zeros(tf.shape(value)[:1])


def refuse_absent_values(simulator: Simulator, argument: str) -> None:
    """Raise if values may be absent, so that an ``argument`` has to say what is compared."""
    if simulator.lengths or simulator.missing is not None:
        raise InputError(
            f"Data of simulator {simulator.name!r}",
            expected="values that are always there, to compare one by one",
            got="observables of varying length, or with missing values",
            do=f"pass {argument}=function, which takes observables and context",
        )
