"""Posterior means, covariances and quantiles by proper scores, and their estimator."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import ndtri

from bayesinn._version import __version__
from bayesinn.bijections.bijection import FEATURES
from bayesinn.bijections.coupling import Perceptron
from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.compilation import full_precision
from bayesinn.core.configuration import Recipe
from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.core.files import FLOATS, SavedModel
from bayesinn.core.labels import columns, split_events
from bayesinn.estimators.fitting_data import pilot_rows
from bayesinn.flows import Flow
from bayesinn.flows.latents import NARROWEST_LOG_SCALE, floored
from bayesinn.posterior.amortized import Summarised
from bayesinn.posterior.defaults import recommended_summaries, refuse_trained_first
from bayesinn.posterior.model import Inputs, PosteriorModel
from bayesinn.simulation import checks
from bayesinn.simulation.prior import Prior, Values, support_of
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.data import Scaling
from bayesinn.spaces.parameters import refuse_directions
from bayesinn.summaries import Summary
from bayesinn.training.trainable import Batch, Trainable

if TYPE_CHECKING:
    import pandas as pd
    import xarray


Scalings = Mapping[str, Scaling]
# Whether ends of supports depend on other parameters is seen at so many draws.
_PILOT_DRAWS = 1_000


class Bounds(NamedTuple):
    """The ends of a parameter's support, arrays (*event) or numbers; whether it is an integer."""

    low: np.ndarray | float
    high: np.ndarray | float
    discrete: bool


class ParameterVector:
    """Dict of parameters (n, *event) <-> vectors (n, d) in their own scale, linear or squeezed.

    Means and covariances are those of the linear one; quantiles follow any map that increases.
    """

    def __init__(self, prior: Prior, plain: Scalings, squeezed: Scalings) -> None:
        self.shapes = dict(prior.event_shapes)
        self.plain = plain
        self.squeezed = squeezed
        draws = prior.sample(_PILOT_DRAWS, seeds.tensor_seed(0, "pilot"))
        self._bounds = {name: _bounds(prior, name, draws) for name in self.shapes}

    @classmethod
    def fit(cls, prior: Prior, rows: Mapping[str, np.ndarray]) -> ParameterVector:
        """Measure on simulations (n, ...)."""
        plain = {}
        squeezed = {}
        for name in prior.names:
            values = np.asarray(rows[name], np.float64).reshape(len(rows[name]), -1)
            found = Scaling.fit(values, name)
            # Of double precision, whatever the numbers: they may be large, and differ by little.
            mean = np.asarray(found.mean, np.float64)
            squeezed[name] = Scaling(found.compress, mean, found.scale)
            plain[name] = squeezed[name]
            if found.compress is not None:
                scale = np.asarray(values.std(axis=0), np.float32)
                plain[name] = Scaling(None, values.mean(axis=0), scale)
        return cls(prior, plain, squeezed)

    @classmethod
    def saved(cls, prior: Prior, saved: SavedModel) -> ParameterVector:
        """Return the vector whose :meth:`arrays` are in a saved folder."""
        kinds = []
        for kind in ("plain", "squeezed"):
            scalings = {}
            for name, shape in prior.event_shapes.items():
                place = f"points/{kind}/{name}"
                size = (math.prod(shape),)
                compress = float(saved.array(f"{place}/compress", (), np.float64))
                mean = saved.array(f"{place}/mean", size, np.float64)
                scale = saved.array(f"{place}/scale", size, FLOATS)
                scalings[name] = Scaling(compress or None, mean, scale)
            kinds.append(scalings)
        return cls(prior, *kinds)

    @property
    def scale(self) -> np.ndarray:
        """Units (d,) of the linear vector, in those of the parameters."""
        return np.concatenate([scaling.scale for scaling in self.plain.values()])

    def to_vectors(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return linear and squeezed vectors side by side, (n, 2 d)."""
        parts = [
            scaling.apply(tf.reshape(parameters[name], (-1, math.prod(self.shapes[name]))))
            for scalings in (self.plain, self.squeezed)
            for name, scaling in scalings.items()
        ]
        return tf.concat(parts, axis=-1)

    def from_plain(self, vector: np.ndarray) -> Arrays:
        """Map linear vectors (..., d) to parameters (..., *event) inside their prior's support."""
        return self._inside(self._invert(vector, self.plain))

    def from_squeezed(self, vector: np.ndarray) -> Arrays:
        """Map squeezed vectors (..., d) as :meth:`from_plain` does; integers are whole."""
        values = self._inside(self._invert(vector, self.squeezed))
        return {
            name: np.round(value) if self._bounds[name].discrete else value
            for name, value in values.items()
        }

    def split(self, flat: np.ndarray) -> Arrays:
        """Return numbers (..., d) by parameter, (..., *event)."""
        return split_events(flat, self.shapes)

    def arrays(self) -> Arrays:
        """Return what must be saved, by name."""
        arrays: Arrays = {}
        for kind, scalings in (("plain", self.plain), ("squeezed", self.squeezed)):
            for name, scaling in scalings.items():
                place = f"points/{kind}/{name}"
                arrays[f"{place}/compress"] = np.asarray(scaling.compress or 0.0)
                arrays[f"{place}/mean"] = scaling.mean
                arrays[f"{place}/scale"] = scaling.scale
        return arrays

    def _invert(self, vector: np.ndarray, scalings: Scalings) -> Arrays:
        ends = np.cumsum([len(scaling.mean) for scaling in scalings.values()])[:-1]
        parts = np.split(np.asarray(vector, np.float64), ends, axis=-1)
        numbers = [
            scaling.invert(part) for scaling, part in zip(scalings.values(), parts, strict=True)
        ]
        return self.split(np.concatenate(numbers, axis=-1))

    def _inside(self, values: Arrays) -> Arrays:
        return {
            name: np.clip(value, self._bounds[name].low, self._bounds[name].high)
            for name, value in values.items()
        }


def _bounds(prior: Prior, name: str, draws: Values) -> Bounds:
    """Return the ends of a support, infinite where it has none, or where they depend on others."""
    support = support_of(name, prior.distribution(name, draws))
    if support.is_simplex:
        return Bounds(0.0, 1.0, support.discrete)
    if support.ends is None:
        return Bounds(-np.inf, np.inf, support.discrete)
    low, high = (np.asarray(end, np.float64) for end in support.ends)
    if low.ndim > len(prior.event_shapes[name]):
        # One end may be the same whatever the others are, such as zero.
        low = np.where(np.ptp(low, axis=0) == 0.0, low[0], -np.inf)
        high = np.where(np.ptp(high, axis=0) == 0.0, high[0], np.inf)
    # An integer stands for the unit interval above it.
    return Bounds(low, np.floor(high - 0.5) if support.discrete else high, support.discrete)


# In standard deviations of the prior: far above what any posterior has.
_LARGEST_LOG_SCALE = 20.0


class Result(NamedTuple):
    """Arrays (n, *axes, *event) by parameter, with the names and coordinates of the axes, if any.

    A result that is not ``by_parameter`` has names of its own, and no axes of events.
    """

    values: Arrays
    axes: Mapping[str, Sequence[Any]] = MappingProxyType({})
    by_parameter: bool = True


class Estimate(Recipe, ABC):
    """A property of posteriors, computed from outputs (n, size) of a network for n data sets.

    An author derives a frozen dataclass and writes :meth:`size`, :meth:`score` and :meth:`read`.
    True parameters come as vectors (n, d) of unit scale, in two forms: ``plain`` is linear in the
    parameters; ``squeezed`` compresses heavy tails.
    """

    #: Names of the results of :meth:`read`.
    names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def size(self, dimension: int) -> int:
        """Return the number of outputs for d numbers of parameters."""

    @abstractmethod
    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        """Return the score (n,) of outputs (n, size) for true parameters; lower is better."""

    @abstractmethod
    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        """Return results by name."""


@dataclasses.dataclass(frozen=True, repr=False)
class Mean(Estimate):
    """Posterior means, by the squared error: for many parameters, or if sds don't matter.

    Examples
    --------
    >>> Mean().size(3)
    3
    """

    names = ("mean",)

    def size(self, dimension: int) -> int:
        return dimension

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum((outputs - plain) ** 2, axis=-1)

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        return {"mean": Result(vector.from_plain(outputs))}


@dataclasses.dataclass(frozen=True, repr=False)
class Moments(Estimate):
    """Posterior means, standard deviations and covariances, by the Gaussian log score.

    The score is proper for the first two moments of any posterior, Gaussian or not. The number of
    outputs grows as that of covariances: for more than about 50 numbers, use :class:`Mean`.

    References
    ----------
    Dawid and Sebastiani (1999), Coherent dispersion criteria for optimal experimental design,
    Annals of Statistics 27.

    Examples
    --------
    >>> Moments().size(3)
    9
    """

    names = ("mean", "standard_deviation", "covariance")

    def size(self, dimension: int) -> int:
        return dimension + dimension * (dimension + 1) // 2

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        mean, root = self._law(outputs)
        z = tf.linalg.matvec(root, plain - mean)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
        return 0.5 * tf.reduce_sum(z**2, axis=-1) - log_det

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        mean, root = (np.asarray(part, np.float64) for part in self._law(outputs))
        units = np.broadcast_to(np.eye(root.shape[-1]), root.shape)
        inverse = tf.linalg.triangular_solve(root, units).numpy() * vector.scale[:, None]
        covariance = inverse @ np.swapaxes(inverse, -1, -2)
        deviation = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        names = list(columns(vector.split(deviation), 1))
        return {
            "mean": Result(vector.from_plain(mean)),
            "standard_deviation": Result(vector.split(deviation)),
            "covariance": Result(
                {"covariance": covariance},
                {"number": names, "other_number": names},
                by_parameter=False,
            ),
        }

    def _law(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return means (n, d) and triangular roots of precisions (n, d, d)."""
        total = outputs.shape[-1]
        size = int((np.sqrt(9 + 8 * total) - 3) / 2)
        mean, triangle = tf.split(outputs, [size, total - size], axis=-1)
        root = tfp.math.fill_triangular(triangle)
        # Scales have a floor: without noise in the data, the score would have no bound. They have a
        # ceiling: precisions of observations far from the simulations would be zero.
        log_scales = floored(tf.linalg.diag_part(root), NARROWEST_LOG_SCALE)
        log_scales = tf.minimum(log_scales, _LARGEST_LOG_SCALE)
        diagonal = tf.exp(-log_scales)
        return mean, tf.linalg.set_diag(root, diagonal)


@dataclasses.dataclass(frozen=True, repr=False)
class Quantiles(Estimate):
    """Posterior quantiles of each number, by the pinball loss; they never cross.

    Parameters
    ----------
    levels : sequence of float
        Between 0 and 1, increasing; ``(0.5,)`` is the median alone.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles, Econometrica 46.

    Examples
    --------
    >>> Quantiles((0.05, 0.5, 0.95)).size(3)
    9
    """

    levels: Sequence[float] = (0.025, 0.25, 0.5, 0.75, 0.975)

    names = ("quantiles",)

    def __post_init__(self) -> None:
        levels = np.atleast_1d(numbers("Quantiles, argument 'levels'", self.levels))
        edges = np.concatenate([[0.0], levels.ravel(), [1.0]])
        if levels.ndim > 1 or not levels.size or not np.all(np.diff(edges) > 0.0):
            raise InputError(
                "Quantiles, argument 'levels'",
                expected="numbers between 0 and 1, increasing",
                got=repr(self.levels),
                do="pass for example Quantiles((0.05, 0.5, 0.95))",
            )
        object.__setattr__(self, "levels", tuple(levels.tolist()))

    def size(self, dimension: int) -> int:
        return dimension * len(self.levels)

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        error = squeezed[:, :, None] - self._quantiles(outputs)
        levels = np.asarray(self.levels, np.float32)
        return tf.reduce_sum(tf.maximum(levels * error, (levels - 1.0) * error), axis=(1, 2))

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        found = np.asarray(self._quantiles(outputs))
        values = vector.from_squeezed(np.swapaxes(found, 1, 2))
        return {"quantiles": Result(values, {"level": self.levels})}

    def _quantiles(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return quantiles (n, d, levels): the middle one, and positive steps from it.

        Outputs of zero give those of a standard normal distribution.
        """
        count = len(self.levels)
        raw = tf.reshape(outputs, (-1, outputs.shape[-1] // count, count))
        normal = ndtri(self.levels).astype(np.float32)
        unit = np.diff(normal) / np.log(2.0).astype(np.float32)
        steps = unit * tf.nn.softplus(raw[:, :, 1:])
        places = tf.concat([tf.zeros_like(raw[:, :, :1]), tf.cumsum(steps, axis=-1)], axis=-1)
        middle = count // 2
        shift = raw[:, :, :1] + normal[middle] - places[:, :, middle : middle + 1]
        return places + shift


def estimates_tree(
    simulator: Simulator, results: Mapping[str, Result], p_value: np.ndarray, batched: bool
) -> xarray.DataTree:
    """Return a group for each result, and ``sample_stats`` with p-values (n,) of observations."""
    import xarray

    observation = ["observation"] if batched else []
    stats = Result({"out_of_distribution_p": np.asarray(p_value)}, by_parameter=False)
    groups = {}
    for group, result in {**results, "sample_stats": stats}.items():
        variables = {}
        # A variable may not have the name of an axis.
        axes = {
            f"{name}_" if name in result.values else name: list(places)
            for name, places in result.axes.items()
        }
        for name, value in result.values.items():
            own = []
            texts = {"long_name": name}
            if result.by_parameter and name in simulator.prior.names:
                own = simulator.dimensions[name]
                labels = simulator.labels
                texts = {"long_name": labels.label(name), "units": labels.unit(name)}
            variables[name] = xarray.DataArray(
                value if batched else value[0], dims=[*observation, *axes, *own], attrs=texts
            )
        groups[group] = xarray.Dataset(variables, axes)
    tree = xarray.DataTree.from_dict(groups)
    tree.attrs.update(simulator=simulator.name)
    tree.attrs.update(creation_library="bayesinn", creation_library_version=__version__)
    return tree


def calibration_table(results: Mapping[str, Result], truth: Arrays) -> pd.DataFrame:
    """Return how good results are for true parameters (n, *event); a row for each number."""
    import pandas as pd

    known = columns(truth, 1)
    table = {}
    if "mean" in results:
        mean = columns(results["mean"].values, 1)
        residual = {name: value - mean[name] for name, value in known.items()}
        table["explained"] = {
            name: 1.0 - np.mean(value**2) / np.var(known[name]) for name, value in residual.items()
        }
    if {"mean", "standard_deviation"} <= results.keys():
        sd = columns(results["standard_deviation"].values, 1)
        table["z_mean"] = {name: np.mean(value / sd[name]) for name, value in residual.items()}
        table["z_sd"] = {name: np.std(value / sd[name]) for name, value in residual.items()}
    if "quantiles" in results:
        quantiles = columns(results["quantiles"].values, 2)
        for number, level in enumerate(results["quantiles"].axes["level"]):
            table[f"below {level:g}"] = {
                name: _share_below(value, quantiles[name][:, number], level)
                for name, value in known.items()
            }
    return pd.DataFrame(table)


def _share_below(truth: np.ndarray, quantile: np.ndarray, level: float) -> float:
    """Return the share of true values (n,) below quantiles (n,).

    Values equal to their quantile, as integers may be, count as far as the level asks for: a
    correct quantile has at most its level below it, and at most the rest above.
    """
    return float(np.clip(level, np.mean(truth < quantile), np.mean(truth <= quantile)))


class PointFlow(Flow):
    """Outputs for all estimates, from one perceptron of the features; no density, no draws.

    Its events are parameters in both scales side by side, (n, 2 d).

    Parameters
    ----------
    estimates : sequence of Estimate
    hidden : sequence of int, units of the hidden layers
    activation : str, name of a Keras activation
    """

    nats = False
    density = None
    draws = False

    def __init__(
        self,
        estimates: Sequence[Estimate],
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.estimates = tuple(estimates)
        self.perceptron = Perceptron(hidden, activation)

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        self.parts = [estimate.size(event_shape[0] // 2) for estimate in self.estimates]
        inputs = condition_shape[0]
        self.network = self.perceptron.network(inputs, sum(self.parts), self.dtype)
        self.network.build((None, inputs))
        super().build(event_shape, condition_shape)

    def outputs(self, features: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Return outputs (n, size) of each estimate, given features (n, c)."""
        return tf.split(self.network(features, training=training), self.parts, axis=-1)

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        plain, squeezed = tf.split(x, 2, axis=-1)
        outputs = self.outputs(condition, training)
        return tf.add_n(
            [
                estimate.score(own, plain, squeezed)
                for estimate, own in zip(self.estimates, outputs, strict=True)
            ]
        )


class PointModel(PosteriorModel):
    """The parts of point estimates; its loss is the sum of their scores."""

    def __init__(self, vector: ParameterVector, parts: PosteriorModel) -> None:
        super().__init__(parts.parameters, parts.data, parts.members)
        self.vector = vector

    @property
    def width(self) -> int:
        return 2 * len(self.vector.scale)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return parameters (n, 2 d), inputs and masks of a raw batch, and zero (n,)."""
        x = self.vector.to_vectors(batch)
        return (x, *self.data.to_network(batch)), tf.zeros_like(x[:, 0])

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), **self.vector.arrays()}

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, PointModel)
        # Scalings are taken over, not the bounds: the prior may be another.
        start = trained.vector
        self.vector = ParameterVector(self.parameters.prior, start.plain, start.squeezed)
        super().copy_weights(trained)


_SIMULATIONS = 2_000


class PointEstimator(Summarised):
    """Posterior means, covariances and quantiles of any observation, without a posterior.

    A network learns each of them from simulations by a proper score. It is smaller than a flow and
    learns faster, but there is no density, and there are no draws. Integers may have fractional
    means; their quantiles are whole.

    Parameters
    ----------
    simulator : Simulator
    summary : Summary, or dict of observable to Summary
        As for :class:`AmortizedPosterior`, but without losses of its own. By default it is what the
        simulator recommends, like the settings of training.
    estimates : sequence of Estimate
        Estimates to learn. The mean is that of :class:`Moments` or of :class:`Mean`.
    hidden : sequence of int, units of the hidden layers of the network for all estimates

    References
    ----------
    Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA
    102. Sainsbury-Dale, Zammit-Mangion and Huser (2024), Likelihood-free parameter estimation with
    neural Bayes estimators, arXiv:2208.12942.

    Examples
    --------
    >>> import bayesinn as bi
    >>> estimator = bi.PointEstimator(bi.get_simulator("linear"), hidden=(16,))
    >>> _ = estimator.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> found = estimator.estimate({"y": [0.1, 1.5]})
    >>> found["mean"]["x1"].shape, found["quantiles"]["x1"].dims
    ((2,), ('observation', 'level'))
    """

    ask = (
        "ask it in Python for bi.load(folder).estimate(data), and for .calibration() in place of "
        "bi.diagnose"
    )
    simulator: Simulator
    simulated = True
    flow: PointFlow

    def __init__(
        self,
        simulator: Simulator,
        summary: Summary | Mapping[str, Summary | None] | None = None,
        estimates: Sequence[Estimate] = (Moments(), Quantiles()),
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        check_simulator(simulator)
        do = (
            "use bi.AmortizedPosterior; or declare their cosines and sines, and such, as parameters"
        )
        refuse_directions(simulator.prior, f"Point estimates of {simulator.name!r}", do)
        flow = PointFlow(_check_estimates(estimates), hidden)
        choice = recommended_summaries(simulator, summary)
        refuse_trained_first(choice.networks)
        self.assemble(simulator, {"summaries": choice.networks, "flow": flow})
        self._reasons = choice.reasons

    def trainable(self, rows: Arrays, seed: int) -> PointModel:
        """Return summaries and the network of estimates, standardised on rows (n, ...)."""
        vector = ParameterVector.fit(self.simulator.prior, pilot_rows(rows))
        return PointModel(vector, super().trainable(rows, seed))

    @full_precision()
    def estimate(self, data: Mapping[str, Any]) -> xarray.DataTree:
        """Return all estimates for observations, in the units of the parameters.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), observables and context
            Or one observation, without the first axis.

        Returns
        -------
        xarray.DataTree
            One group for each result, and the p-value. Several observations have a dimension
            ``observation``.

            - ``mean``, ``standard_deviation``: datasets of the parameters
            - ``covariance``: a matrix of all their numbers
            - ``quantiles``: with a dimension ``level`` (``level_`` if a parameter has that name)
            - ``sample_stats``: ``out_of_distribution_p``, the p-value of the observation; below
              0.01, estimates are extrapolations
        """
        observations, condition, inputs = self.encode_data(data)
        compared = np.asarray(self.model.network.compared(condition))
        p_value = self.reference.compare(compared, inputs).p_value
        results = self._results(condition[FEATURES])
        return estimates_tree(self.simulator, results, p_value, observations.batched)

    def calibration(
        self, data: Mapping[str, Any] | None = None, simulations: int = _SIMULATIONS, seed: int = 0
    ) -> pd.DataFrame:
        """Return how good estimates are on simulations, one row for each number.

        Parameters
        ----------
        data : dict of name to array (n, ...)
            Simulations that it was not trained on; by default fresh ones.
        simulations, seed : int
            Number of fresh simulations, and their seed.

        Returns
        -------
        DataFrame
            - ``explained``: share of the variance that the mean explains
            - ``z_mean``, ``z_sd``: mean and sd of (truth - mean) / sd; 0 and 1 if both are correct
            - ``below 0.25``, one for each level of quantiles: share of true values below it. As
              many of those equal to it count, such as integers, as bring the share to its level.
        """
        if data is None:
            count = check_integer("Argument 'simulations'", simulations, least=2)
            drawn = self.simulator.draw(count, seed, "diagnosis")
            checks.check_finite(self.simulator, drawn)
            data = drawn.flat()
        arrays = checks.check_simulations(self.simulator, data, "Simulations")
        truth = {name: arrays.pop(name).astype(float) for name in self.simulator.prior.names}
        return calibration_table(self._results(self.encode_data(arrays)[1][FEATURES]), truth)

    def sample(self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0) -> NoReturn:
        """Raise an InputError: there are no draws."""
        raise self._absent("sample")

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NoReturn:
        """Raise an InputError: there is no density."""
        raise self._absent("log_prob")

    def infer(self, data: Mapping[str, Any], **options: Any) -> NoReturn:
        """Raise an InputError: there are no draws."""
        raise self._absent("infer")

    def map(self, data: Mapping[str, Any], **options: Any) -> NoReturn:
        """Raise an InputError: there is no density."""
        raise self._absent("map")

    @property
    def model(self) -> PointModel:
        """The trained model: parameter vector, data space and network."""
        model = super().model
        assert isinstance(model, PointModel)
        return model

    def unbuilt(self, saved: SavedModel) -> PointModel:
        vector = ParameterVector.saved(self.simulator.prior, saved)
        return PointModel(vector, super().unbuilt(saved))

    def __repr__(self) -> str:
        name = self.simulator.name
        title = f"PointEstimator of {name!r}, {self.state_text}: no density, no draws"
        estimates = ", ".join(map(repr, self.flow.estimates))
        return self.list_networks(title, f"estimates: {estimates}")

    def _results(self, features: np.ndarray) -> dict[str, Result]:
        model = self.model
        flow: Any = model.network.flow
        results: dict[str, Result] = {}
        for estimate, outputs in zip(self.flow.estimates, flow.outputs(features), strict=True):
            results |= estimate.read(outputs, model.vector)
        return results

    def _absent(self, method: str) -> InputError:
        return InputError(
            f"{method} of a PointEstimator of {self.simulator.name!r}",
            expected="a posterior with draws or a density",
            got="point estimates: no density, no draws",
            do="ask for estimate(data), and for calibration() in place of bi.diagnose; or train a "
            "bi.AmortizedPosterior",
        )


def _check_estimates(estimates: Any) -> tuple[Estimate, ...]:
    subject = "PointEstimator, argument 'estimates'"
    do = "pass for example [bi.points.Moments(), bi.points.Quantiles((0.05, 0.5, 0.95))]"
    check_type(subject, estimates or None, (list, tuple), "a list of estimates", do)
    for estimate in estimates:
        check_type(f"{subject}, each", estimate, Estimate, "an Estimate", do)
    names = [name for estimate in estimates for name in estimate.names]
    if len(set(names)) < len(names):
        raise InputError(subject, expected="each result once", got=", ".join(names), do=do)
    return tuple(estimates)
