"""Answers of a posterior to some data sets: draws, densities, inference data."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import tensorflow as tf

from bayesinn._version import __version__
from bayesinn.bijections.bijection import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.arrays import fill_padding
from bayesinn.core.compilation import AnyRows, full_precision, in_parts, map_tensors
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.posterior.mode import ModeFinder
from bayesinn.posterior.model import PosteriorModel, own_entries
from bayesinn.posterior.typicality import FLAG_LEVEL, Reference, Typicality
from bayesinn.simulation.simulations import copied, flatten_draws
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations
from bayesinn.spaces.parameters import ParameterSpace

if TYPE_CHECKING:
    import xarray


# Rows in one call: enough to keep the cores busy, little enough for 100 MB of activations at 128
# units.
_ROWS_PER_CALL = 200_000
_OBSERVATIONS_PER_CALL = 4096
# Integers that are categories have a few units for each value; of more values, too.
_VALUES = 4
# Images of more have fewer rows in a call.
_PIXELS = 1024
# Costly densities keep the activations of many gradients.
_ROWS_PER_COSTLY_CALL = 20_000
_MOST_AUXILIARY = 3
# For each number of auxiliary numbers, nodes along each. With 8 for one, probabilities of a trained
# posterior summed to 1 +- 0.006, with 32 to 1 +- 0.0008. With 8 for each of three, log densities
# were 0.008 nats (rms) from those with 16; with 4, 0.08. With 32 for an angle, densities of trained
# posteriors integrated to 0.996 or more over the circle.
_QUADRATURE_NODES = {0: 1, 1: 32, 2: 12, 3: 8}


class Evaluator:
    """Compiled evaluation of a trained model.

    Conditions are mappings of names to arrays, a row per observation.
    """

    def __init__(self, model: PosteriorModel) -> None:
        self.model = model
        self._condition = AnyRows(self._condition_graph, leading=(1,))
        self._sample = AnyRows(self._sample_graph, leading=(1, 0, 0))
        self._log_prob = AnyRows(self._log_prob_graph, leading=(2, 1, 0))
        self._encode = AnyRows(self._encode_graph, leading=(1, 1, 0))
        self.mode_finder = ModeFinder([model], [1.0])

    @functools.cached_property
    def members(self) -> Sequence[Evaluator]:
        """Evaluators of each network alone."""
        parameters = self.model.parameters
        data = self.model.data
        return [
            Evaluator(PosteriorModel(parameters, data, [network])) for network in self.model.members
        ]

    @property
    def density(self) -> str | None:
        """Whether densities are "exact", "costly", or absent (None); see :func:`density_of`."""
        return density_of(self.model.network.flow, _auxiliary(self.model.parameters))

    @property
    def evaluations(self) -> int:
        """Evaluations of the flow for one density: several with auxiliary numbers."""
        count = _auxiliary(self.model.parameters)
        return int(_QUADRATURE_NODES.get(count, 1) ** count)

    def _rows_per_call(self, most: int) -> int:
        """Return how many rows a call may have.

        There are fewer of images and of categories: each pixel, and each value, has activations.
        """
        space = self.model.parameters
        values = [
            len(whole) * math.prod(space.event_shapes[name])
            for name, whole in space.categories.items()
        ]
        pixels = max(_pixels(shape) for shape in space.event_shapes.values())
        return max(1, most // max(pixels, sum(values) // _VALUES))

    @full_precision()
    def condition(self, data: Mapping[str, np.ndarray]) -> tuple[Condition, Arrays]:
        """Return the condition and the standardised inputs (n, ...) of checked data (n, ...)."""
        # Of one type, whatever was measured: another one would be traced anew.
        scalings = self.model.data.scalings
        arrays = {name: np.asarray(data[name], own.mean.dtype) for name, own in scalings.items()}
        pixels = max(_pixels(value.shape[1:]) for value in arrays.values())
        most = max(1, _OBSERVATIONS_PER_CALL // math.ceil(pixels / _PIXELS))
        return in_parts(lambda part, _: self._condition(part), arrays, most)

    @full_precision()
    def sample(self, condition: Condition, draws: int, seed: tf.Tensor) -> Arrays:
        """Draw (n, draws, *event) for n conditions; a pure function of the seed (2,)."""
        most = self._rows_per_call(_ROWS_PER_CALL)
        if draws > most:
            parts = [
                self.sample(condition, min(most, draws - start), seeds.fold_in(seed, start))
                for start in range(0, draws, most)
            ]
            return map_tensors(lambda *values: np.concatenate(values, axis=1), *parts)
        rows = max(1, most // draws)
        return in_parts(
            lambda part, number: self._sample(part, draws, seeds.fold_in(seed, number)),
            condition,
            rows,
        )

    @full_precision()
    def log_prob(self, parameters: Mapping[str, np.ndarray], condition: Condition) -> np.ndarray:
        """Return log densities (n, draws) of parameters (n, draws, *event) given n conditions."""
        offsets, log_weights = self._quadrature()

        def density(part: tuple[Any, Condition], _: int) -> np.ndarray:
            terms = [self._log_prob(*part, offset).numpy() for offset in offsets]
            return np.logaddexp.reduce(np.stack(terms) + log_weights[:, None, None], axis=0)

        draws = next(iter(parameters.values())).shape[1]
        limit = _ROWS_PER_COSTLY_CALL if self.density == "costly" else _ROWS_PER_CALL
        most = self._rows_per_call(limit)
        parts = []
        for start in range(0, max(draws, 1), most):
            block = {name: value[:, start : start + most] for name, value in parameters.items()}
            parts.append(in_parts(density, (block, condition), max(1, most // max(draws, 1))))
        return np.concatenate(parts, axis=1)

    @full_precision()
    def encode(
        self, parameters: Mapping[str, np.ndarray], condition: Condition, seed: tf.Tensor
    ) -> np.ndarray:
        """Return latent codes (n, d) of parameters (n, *event) given n conditions.

        The seed decides auxiliary numbers, such as where integers lie in their unit intervals.
        """
        rows = dict(parameters), condition
        return in_parts(
            lambda part, number: self._encode(*part, seeds.fold_in(seed, number)),
            rows,
            self._rows_per_call(_ROWS_PER_CALL),
        )

    @full_precision()
    def decode(self, latent: np.ndarray, condition: Condition) -> Arrays:
        """Return parameters (n, *event) of latent codes (n, d) given n conditions."""
        tensors = map_tensors(tf.convert_to_tensor, condition)
        vectors = self.model.network.flow.decode(tf.cast(latent, tf.float32), tensors)
        return {
            name: value.numpy()
            for name, value in self.model.parameters.from_vector(vectors).items()
        }

    def latent_draws(self, n: int, seed: tf.Tensor) -> np.ndarray:
        """Draw (n, d) from the latent distribution."""
        return self.model.network.flow.latent.sample(
            (n, self.model.parameters.dimension), seed
        ).numpy()

    def prior_log_prob(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return log prior densities (n,) of parameters (n, *event)."""
        return self.model.parameters.prior_log_prob(parameters).numpy()

    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Return values (nodes, count) of auxiliary numbers; log weights (nodes,)."""
        flow = self.model.network.flow
        count = _auxiliary(self.model.parameters)
        if flow.density is None:
            raise InputError(
                f"log_prob with {flow!r}",
                expected="a flow with a density",
                got="one without",
                do="use sample(), or another flow",
            )
        if count > _MOST_AUXILIARY:
            raise InputError(
                "log_prob with integers of many values, angles or unit vectors",
                expected=f"at most {_MOST_AUXILIARY}: the density is an integral over all of them",
                got=f"{count}",
                do="use sample(), which has no such limit",
            )
        nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_NODES[count])
        grid = list(itertools.product((nodes + 1.0) / 2.0, repeat=count))
        products = [np.prod(choice) for choice in itertools.product(weights / 2.0, repeat=count)]
        return np.asarray(grid, np.float32).reshape(len(products), count), np.log(products)

    def _condition_graph(
        self, data: dict[str, tf.Tensor]
    ) -> tuple[Condition, dict[str, tf.Tensor]]:
        space = self.model.data
        return self.model.network.condition(*space.to_network(data)), space.standardise(data)

    def _sample_graph(
        self, condition: Condition, draws: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        vectors = self.model.network.flow.sample(draws, condition, seed=seed)
        space = self.model.parameters
        # A few draws may explode, and would make any mean or standard deviation useless.
        vectors = tf.clip_by_value(
            tf.reshape(vectors, (-1, space.dimension)), -space.reach, space.reach
        )
        leading = (tf.shape(condition[FEATURES])[0], draws)
        values = space.from_vector(vectors)
        return {
            name: tf.reshape(values[name], (*leading, *event))
            for name, event in space.event_shapes.items()
        }

    def _log_prob_graph(
        self, parameters: dict[str, tf.Tensor], condition: Condition, offset: tf.Tensor
    ) -> tf.Tensor:
        space = self.model.parameters
        values = {}
        shape = tf.shape(parameters[space.names[0]])[:2]
        for name, event in space.event_shapes.items():
            values[name] = tf.cast(tf.reshape(parameters[name], (-1, *event)), tf.float32)
        inside = space.possible(values)
        uniform = {}
        for name, event in space.auxiliary.items():
            size = math.prod(event)
            uniform[name] = tf.reshape(offset[:size], event)
            offset = offset[size:]
        vector, log_det = space.to_vector(space.augment(values, uniform))
        repeated = map_tensors(lambda part: tf.repeat(part, shape[1], axis=0), condition)
        density = self.model.network.flow.log_prob(vector, repeated) + log_det
        return tf.reshape(tf.where(inside, density, -np.inf), shape)

    def _encode_graph(
        self, parameters: dict[str, tf.Tensor], condition: Condition, seed: tf.Tensor
    ) -> tf.Tensor:
        space = self.model.parameters
        vector, _ = space.to_vector(space.dequantise(parameters, seed))
        return self.model.network.flow.encode(vector, condition)


def density_of(flow: Flow, auxiliary: int) -> str | None:
    """Return the density of posteriors: the flow's, if it is integrated over few numbers."""
    return flow.density if auxiliary <= _MOST_AUXILIARY else None


def _auxiliary(space: ParameterSpace) -> int:
    return sum(math.prod(shape) for shape in space.auxiliary.values())


def _pixels(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:2]) if len(shape) == 3 else 1


def inference_data(
    simulator: Simulator,
    observations: Observations,
    values: Arrays,
    log_density: np.ndarray | None,
    typicality: Typicality | None,
    seed: int,
    predictive: bool = True,
    progress: bool = False,
    chains: int = 1,
    log_prior: Mapping[str, np.ndarray] | None = None,
) -> xarray.DataTree:
    """Return posterior, prior, posterior predictive, observed and constant data in one tree.

    Draws are (n_obs, draws, *event), those of ``chains`` of equal length one after the other.
    Angles are within half a turn of the mean direction of their observation. The log density, if
    there is one, becomes ``lp``; the seed decides prior and predictive draws. With the log prior of
    each parameter, (n_obs, draws), both terms are there, too.
    """
    import arviz_base
    import xarray

    batched = observations.batched
    draws = next(iter(values.values())).shape[1]
    prior = simulator.prior.sample(draws, seeds.tensor_seed(seed, "prior"))
    density = {} if log_density is None else {"lp": log_density}
    predicted = {}
    if predictive and simulator.simulates:
        predicted = predict(simulator, observations, values, seed, progress)
    unwrapped = simulator.prior.unwrapped(values)
    groups = {"posterior": unwrapped, "posterior_predictive": predicted, "sample_stats": density}
    tree = {
        name: {key: _by_chain(value, chains, batched) for key, value in group.items()}
        for name, group in groups.items()
        if group or name == "sample_stats"
    }
    known = copied(mask_padding(simulator, observations.arrays, observations.arrays))
    given = {
        "observed_data": simulator.observable_shapes,
        "constant_data": simulator.context_names,
    }
    for group, names in given.items():
        if names:
            tree[group] = {name: observations.like_data(known[name]) for name in names}
    dimensions = _dimensions(simulator, batched)
    places = {
        coordinate.name: coordinate.values for coordinate in simulator.labels.coordinates.values()
    }
    data = arviz_base.from_dict(tree, dims=dimensions, coords=places)
    if log_density is not None and log_prior is not None:
        # To scale either by a power; the likelihood is known up to a factor for each observation.
        likelihood = {"observables": log_density - sum(log_prior.values())}
        for group, terms in (("log_prior", log_prior), ("log_likelihood", likelihood)):
            by_chain = {key: _by_chain(value, chains, batched) for key, value in terms.items()}
            own = dict.fromkeys(terms, dimensions["lp"])
            data[group] = arviz_base.from_dict({group: by_chain}, dims=own)[group]
    # The prior is one for all observations.
    prior_arrays = {key: np.asarray(value)[None] for key, value in prior.items()}
    data["prior"] = arviz_base.from_dict(
        {"prior": prior_arrays}, dims=_dimensions(simulator, batched=False)
    )["prior"]
    if typicality is not None:
        p_value = np.asarray(observations.like_data(typicality.p_value))
        data["sample_stats"]["out_of_distribution_p"] = xarray.DataArray(
            p_value, dims=dimensions["lp"]
        )
    for node in data.children.values():
        variables = [*node.data_vars.items()]
        variables += [(name, node.coords[name]) for name in places if name in node.coords]
        for name, variable in variables:
            variable.attrs["long_name"] = simulator.labels.label(str(name))
            if variable.dtype.kind != "M":  # in files, dates have units of their own
                variable.attrs["units"] = simulator.labels.units.get(str(name), "")
    # netCDF has no longer integers.
    written = seed if seed < 2**63 else str(seed)
    data.attrs.update(simulator=simulator.name, seed=written)
    data.attrs.update(creation_library="bayesinn", creation_library_version=__version__)
    return data


def prior_terms(space: ParameterSpace, draws: Arrays) -> Arrays | None:
    """Return the log prior (n, draws) of each parameter, given those that its prior depends on.

    None of images, whose prior may be a large data set.
    """
    if any(len(event) > 2 for event in space.event_shapes.values()):
        return None
    shape = next(iter(draws.values())).shape[:2]
    flat = flatten_draws(draws)
    return {name: space.prior_log_prob(flat, [name]).numpy().reshape(shape) for name in space.names}


def predict(
    simulator: Simulator,
    observations: Observations,
    draws: Mapping[str, np.ndarray],
    seed: int,
    progress: bool = False,
) -> Arrays:
    """Simulate once a draw: observables (n_obs, draws, ...), NaN in the observation's padding."""
    count, per_observation = next(iter(draws.values())).shape[:2]
    parameters = flatten_draws(draws)
    repeated = {
        name: np.repeat(value, per_observation, axis=0)
        for name, value in observations.arrays.items()
    }
    context = {name: repeated[name] for name in simulator.context_names}
    simulated = mask_padding(
        simulator, simulator.simulate(parameters, seed, context, progress), repeated
    )
    return {
        name: value.reshape(count, per_observation, *value.shape[1:])
        for name, value in simulated.items()
    }


def mask_padding(simulator: Simulator, values: Arrays, known: Arrays) -> Arrays:
    """Return observables (n, ...), NaN where observations (n, ...) are padding or missing."""
    masked = dict(values)
    for name, counter in simulator.lengths.items():
        masked[name] = fill_padding(values[name].astype(float), known[counter], np.nan)
    if simulator.missing is not None:
        for name in simulator.observable_shapes:
            masked[name] = np.where(np.isnan(known[name]), np.nan, masked[name].astype(float))
    return masked


def _by_chain(value: np.ndarray, chains: int, batched: bool) -> np.ndarray:
    """Return draws (n_obs, draws, ...) as (chains, draws[, n_obs], ...)."""
    value = value.reshape(len(value), chains, -1, *value.shape[2:])
    return np.moveaxis(value, 0, 2) if batched else value[0]


def _dimensions(simulator: Simulator, batched: bool) -> dict[str, list[str]]:
    leading = ["observation"] if batched else []
    return {**{name: [*leading, *own] for name, own in simulator.dimensions.items()}, "lp": leading}


def finite_predictions(
    predicted: Mapping[str, np.ndarray],
    observed: Mapping[str, np.ndarray],
    on_nonfinite: str,
    missing: bool = False,
) -> dict[str, np.ndarray] | None:
    """Return the predicted data (draws, ...) that are finite; None if faulty or too few.

    Fewer than two are too few. Observed data (...) are NaN where there is padding. ``on_nonfinite``
    is the simulator's policy. With "redraw" the prior excludes what the simulator can't simulate;
    the few posterior draws that lie there are left out. With "raise" they are a fault.

    With ``missing``, NaN is a missing value, as the simulator declares, and stays. Predictions with
    no value where an observable was observed can't be compared, and are left out.
    """
    faultless = np.ones(len(next(iter(predicted.values()))), bool)
    comparable = faultless.copy()
    for name, seen in observed.items():
        values = predicted[name][:, np.isfinite(seen)]
        faultless &= np.all(~np.isinf(values) if missing else np.isfinite(values), axis=1)
        comparable &= np.isfinite(values).any(axis=1) | (values.shape[1] == 0)
    kept = faultless & comparable
    if kept.sum() < 2 or (on_nonfinite == "raise" and not faultless.all()):
        return None
    return {name: values[kept] for name, values in predicted.items()}


class Draws(dict[str, np.ndarray]):
    """A dict of name to draws (n_obs, draws, *event), with p-values of the observations.

    For one observation without batch axis, draws are (draws, *event).

    Attributes
    ----------
    p_value : array (n_obs,), or a number
        How typical the observation is among the training simulations.
    unusual : array (n_obs,) of names, or a name
        The quantity in which it is least typical; see
        :class:`bayesinn.posterior.typicality.Reference`.
    out_of_distribution : boolean array (n_obs,), or a bool
        Whether the p-value is below 0.01. The posterior is then an extrapolation: don't trust it.
    """

    def __init__(
        self, values: dict[str, np.ndarray], p_value: np.ndarray, unusual: np.ndarray
    ) -> None:
        super().__init__(values)
        self.p_value = p_value
        self.unusual = unusual

    @classmethod
    def of(
        cls, values: Mapping[str, np.ndarray], typical: Typicality, observations: Observations
    ) -> Self:
        """Return values (n_obs, ...) with p-values, all in the form of the data."""
        return cls(
            observations.all_like_data(values),
            observations.like_data(typical.p_value),
            observations.like_data(typical.unusual),
        )

    @property
    def out_of_distribution(self) -> np.ndarray:
        return self.p_value < FLAG_LEVEL


#: Share of a parameter's variance between members above which they disagree.
DISAGREEMENT = 0.2


def share_between(drawn: Sequence[Arrays], weights: np.ndarray) -> Arrays:
    """Return the share (n, *event) of each parameter's variance that lies between members.

    ``drawn`` are draws (n, draws, *event) of each member.
    """
    shares = {}
    for name in drawn[0]:
        # In units of a power of two, which changes no digit: in single precision, squares of huge
        # numbers would overflow, and those of tiny ones vanish.
        largest = np.max([np.abs(part[name]).max(axis=1, keepdims=True) for part in drawn], axis=0)
        _, exponent = np.frexp(largest)
        scaled = [np.ldexp(part[name], -exponent) for part in drawn]
        means = np.stack([np.mean(values, axis=1) for values in scaled])
        variances = np.stack([np.var(values, axis=1) for values in scaled])
        centre = np.average(means, axis=0, weights=weights)
        between = np.average((means - centre) ** 2, axis=0, weights=weights)
        # Means of a few draws differ by chance.
        sizes = np.array([values.shape[1] for values in scaled])
        chance = np.tensordot(weights * (1.0 - weights) / sizes, variances, axes=1)
        between = np.maximum(between - chance, 0.0)
        inside = np.average(variances, axis=0, weights=weights)
        shares[name] = between / np.maximum(between + inside, np.finfo(float).tiny)
    return shares


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
    #: Evaluations of a network for one density: several to integrate over auxiliary numbers.
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

    @property
    def space(self) -> ParameterSpace:
        """The map of parameters to vectors, which knows their prior."""
        return ParameterSpace(self._simulator.prior, 0)

    def prior_log_prob(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return log prior densities (m,) of parameters (m, *event)."""
        return self.space.prior_log_prob(parameters).numpy()

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

    @property
    def space(self) -> ParameterSpace:
        return self._evaluator.model.parameters

    def encode(self, parameters: Arrays, seed: int) -> np.ndarray:
        stream = seeds.tensor_seed(seed, "dequantise")
        return self._evaluator.encode(parameters, self._condition, stream)

    def decode(self, codes: np.ndarray) -> Arrays:
        repeated = map_tensors(lambda part: np.repeat(part, len(codes), axis=0), self._condition)
        return self._evaluator.decode(codes, repeated)

    def latent_draws(self, count: int, seed: int) -> np.ndarray:
        return self._evaluator.latent_draws(count, seeds.tensor_seed(seed, "latent"))
