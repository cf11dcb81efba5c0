"""The posterior of some data sets, asked more than once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.posterior.disagreement import share_between
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.inference_data import mask_padding
from bayesinn.posterior.mixture import own_entries
from bayesinn.posterior.mode import ModeFinder
from bayesinn.posterior.typicality import Reference, Typicality
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations
from bayesinn.spaces.parameters import ParameterSpace


class Given:
    """The posterior of n data sets, known by its draws and, if it has any, its densities.

    Parameters
    ----------
    simulator : Simulator
    sample, log_prob : methods of a :class:`bayesinn.Posterior`
    data : dict of name to array (n, ...), checked
    """

    #: Whether there are latent codes: :meth:`encode`, :meth:`decode` and :meth:`latent_draws`.
    codes = False
    #: Evaluations of a network for one density: more than one to integrate over integers.
    evaluations = 1
    #: What callers are warned of, once there are draws; empty if nothing.
    remark = ""

    def __init__(
        self,
        simulator: Simulator,
        sample: Callable[..., Mapping[str, np.ndarray]],
        log_prob: Callable[..., np.ndarray],
        data: Arrays,
    ) -> None:
        self._simulator = simulator
        self._sample = sample
        self._log_prob = log_prob
        self._data = data

    @property
    def features(self) -> np.ndarray:
        """Numbers (n, f) that tell the data sets apart: summaries, or all of the data."""
        # Padding may hold anything.
        known = mask_padding(self._simulator, self._data, self._data)
        rows = [np.nan_to_num(value.reshape(len(value), -1)) for value in known.values()]
        return np.concatenate(rows, axis=1)

    @property
    def inputs(self) -> np.ndarray:
        """Features and data side by side (n, k)."""
        return self.features

    @property
    def typicality(self) -> Typicality | None:
        """How typical the data are of the simulations of training; None where it is not known."""
        return None

    @property
    def mode_finder(self) -> tuple[ModeFinder, Sequence[Condition]] | None:
        """What finds the mode, with its conditions; None without gradients."""
        return None

    def sample(self, draws: int, seed: int, stream: str = "draws") -> Arrays:
        """Draw (n, draws, *event); draws of another ``stream`` are independent."""
        if stream != "draws":
            seed = seeds.integer_seed(seed, stream)
        return dict(self._sample(self._data, draws=draws, seed=seed))

    def log_prob(self, parameters: Arrays) -> np.ndarray:
        """Return log densities (n, draws) of parameters (n, draws, *event), where there are any."""
        return self._log_prob(parameters, self._data)

    def disagreement(self, draws: int, seed: int) -> Arrays | None:
        """Return the share (n, *event) of each parameter's variance that lies between members.

        None where the posterior is no ensemble.
        """
        return None

    def prior_log_prob(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return log prior densities (m,) of parameters (m, *event)."""
        return ParameterSpace(self._simulator.prior, 0).prior_log_prob(parameters).numpy()

    def encode(self, parameters: Arrays, seed: int) -> np.ndarray:
        """Return latent codes (n, d) of parameters (n, *event)."""
        raise NotImplementedError("no latent codes")

    def decode(self, codes: np.ndarray) -> Arrays:
        """Return parameters (m, *event) of latent codes (m, d), given the only data set."""
        raise NotImplementedError("no latent codes")

    def latent_draws(self, count: int, seed: int) -> np.ndarray:
        """Draw (count, d) from the latent distribution."""
        raise NotImplementedError("no latent codes")


def answer(values: Arrays, typical: Typicality | None, observations: Observations) -> Arrays:
    """Return values (n, ...) by name in the form of the data, with p-values if they are known."""
    if typical is None:
        return observations.all_like_data(values)
    return Draws.of(values, typical, observations)


def require_draws(simulator: Simulator, flow: Flow) -> None:
    """Refuse a flow that declares that it can't draw."""
    if not flow.draws:
        raise InputError(
            f"Draws from the posterior of {simulator.name!r}",
            expected="a flow that can draw",
            got=repr(flow),
            do="use another flow, or ask this one for what it declares",
        )


class TrainedGiven(Given):
    """The posterior of n data sets, whose condition is computed once."""

    def __init__(
        self,
        simulator: Simulator,
        evaluator: Evaluator,
        reference: Reference,
        observations: Observations,
    ) -> None:
        self.codes = evaluator.model.network.flow.codes
        self.evaluations = evaluator.evaluations
        self._simulator = simulator
        self._evaluator = evaluator
        self._reference = reference
        self._condition, self._inputs = evaluator.condition(observations.arrays)

    @property
    def features(self) -> np.ndarray:
        return self._condition[FEATURES]

    @property
    def inputs(self) -> np.ndarray:
        rows = [value.reshape(len(value), -1) for value in self._inputs.values()]
        return np.concatenate([self.features, *rows], axis=1)

    @property
    def typicality(self) -> Typicality:
        compared = np.asarray(self._evaluator.model.network.compared(self._condition))
        return self._reference.compare(compared, self._inputs)

    @property
    def mode_finder(self) -> tuple[ModeFinder, Sequence[Condition]] | None:
        evaluator = self._evaluator
        if evaluator.density != "exact" or evaluator.model.parameters.discrete:
            return None
        return evaluator.mode_finder, [self._condition]

    def sample(self, draws: int, seed: int, stream: str = "draws") -> Arrays:
        require_draws(self._simulator, self._evaluator.model.network.flow)
        return self._evaluator.sample(self._condition, draws, seeds.tensor_seed(seed, stream))

    def disagreement(self, draws: int, seed: int) -> Arrays | None:
        members = self._evaluator.members
        count = len(members)
        if count == 1:
            return None
        parts = [
            member.sample(
                own_entries(self._condition, number),
                draws,
                seeds.tensor_seed(seed, "members", number),
            )
            for number, member in enumerate(members)
        ]
        return share_between(parts, np.full(count, 1.0 / count))

    def log_prob(self, parameters: Arrays) -> np.ndarray:
        return self._evaluator.log_prob(parameters, self._condition)

    def prior_log_prob(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._evaluator.prior_log_prob(parameters)

    def encode(self, parameters: Arrays, seed: int) -> np.ndarray:
        stream = seeds.tensor_seed(seed, "dequantise")
        return self._evaluator.encode(parameters, self._condition, stream)

    def decode(self, codes: np.ndarray) -> Arrays:
        repeated = map_tensors(lambda part: np.repeat(part, len(codes), axis=0), self._condition)
        return self._evaluator.decode(codes, repeated)

    def latent_draws(self, count: int, seed: int) -> np.ndarray:
        return self._evaluator.latent_draws(count, seeds.tensor_seed(seed, "latent"))
