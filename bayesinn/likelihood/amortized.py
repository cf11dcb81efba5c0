"""The amortized likelihood: the density of data, given parameters and context."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import qmc

from bayesinn.bijections.bijection import FEATURES
from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, full_precision, map_tensors
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError, check_draws, check_integer, check_number, check_type
from bayesinn.core.files import SavedModel
from bayesinn.core.labels import split_events
from bayesinn.estimators.fitting_data import pilot_rows
from bayesinn.flows import Flow, autoregressive
from bayesinn.likelihood.posterior import LikelihoodEstimator, Score
from bayesinn.posterior.amortized import SCHEMA, SeveralNetworks, Summarised, saved_scaling
from bayesinn.posterior.answers import Evaluator
from bayesinn.posterior.defaults import recommended_summaries
from bayesinn.posterior.model import DensityModel, MixtureFlow, entry_name, own_entries
from bayesinn.simulation.digits import are_whole
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.data import DataSpace, compression, mark_outliers, warn_of_outliers
from bayesinn.spaces.observations import (
    check_inputs_within,
    check_observations,
    check_parameters,
)
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.training.trainable import Batch, Trainable

Shapes = Mapping[str, tuple[int, ...]]

# A whole number stands for a unit interval, over which the density is averaged at so many points.
_POINTS_LOG2 = 3
# Largest relative difference at which a value still equals a constant.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Frame:
    """Arrays (D,), one number for each element of the data, that make a vector of them.

    ``compress`` is zero where there are no heavy tails; see :class:`Scaling`. ``whole`` numbers are
    spread over the unit interval above them. Elements that don't ``vary`` are left out: they are
    the ``mean``.
    """

    compress: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    whole: np.ndarray
    vary: np.ndarray


class DataVector:
    """Dict of observables (n, ...) <-> standardised vector (n, dimension), with log-det.

    Examples
    --------
    >>> data = {"x": np.array([[0.5], [2.5]]), "count": np.array([3.0, 5.0])}
    >>> vector = DataVector.fit({"x": (1,), "count": ()}, data, seed=1)
    >>> z, log_det = vector.to_vector(data, noise=tf.fill((2, 2), 0.5))
    >>> z.shape, vector.from_vector(z.numpy())["count"].tolist()
    (TensorShape([2, 2]), [3.0, 5.0])
    """

    def __init__(self, shapes: Shapes, frame: Frame) -> None:
        self.shapes = dict(shapes)
        self.frame = frame
        self.dimension = int(frame.vary.sum())
        self._kept = np.flatnonzero(frame.vary)
        self._constant = np.flatnonzero(~frame.vary)

    @classmethod
    def fit(cls, shapes: Shapes, rows: Mapping[str, np.ndarray], seed: int) -> DataVector:
        """Measure on simulations (n, ...)."""
        parts = [np.asarray(rows[name]).reshape(len(rows[name]), -1) for name in shapes]
        values = np.concatenate([part.astype(np.float64) for part in parts], axis=1)
        compress = np.concatenate([_compression(part) for part in parts])
        whole = np.concatenate([are_whole(part, axis=0) for part in parts])
        vary = np.ptp(values, axis=0) > 0.0
        noise = seeds.generator(seed, "dequantise").random(values.shape)
        squeezed = _squeeze(values + whole * noise, compress)
        outliers = mark_outliers(squeezed)
        if outliers.any():
            warn_of_outliers(outliers)
        usual = np.ma.masked_array(squeezed, outliers)
        mean = np.where(vary, usual.mean(axis=0).data, values[0])
        scale = np.where(vary, usual.std(axis=0).data, 1.0)
        if not vary.any():
            raise InputError(
                f"Observables {list(shapes)}",
                expected="data of which a part varies",
                got="none",
                do="check what the simulator returns",
            )
        return cls(shapes, Frame(compress, mean, scale, whole, vary))

    def to_vector(
        self, data: Mapping[str, tf.Tensor], noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map data (n, ...), with noise (n, dimension) for whole numbers, to vectors and log_det.

        The noise is from [0, 1).
        """
        frame = self.frame
        # Data may have more digits than single precision.
        values = tf.gather(self._side_by_side(data), self._kept, axis=-1)
        values += tf.cast(noise, tf.float64) * frame.whole[self._kept].astype(float)
        compress = frame.compress[self._kept]
        heavy = compress > 0.0
        safe = np.where(heavy, compress, 1.0)
        squeezed = tf.where(heavy, tf.asinh(values / safe), values)
        vector = (squeezed - frame.mean[self._kept]) / frame.scale[self._kept]
        slopes = tf.where(heavy, -0.5 * tf.math.log(values**2 + safe**2), 0.0)
        log_det = tf.reduce_sum(slopes - np.log(frame.scale[self._kept]), axis=-1)
        return tf.cast(vector, tf.float32), tf.cast(log_det, tf.float32)

    def check_start(self, start: DataVector) -> None:
        """Refuse the vector of a start that can't take what varies, or fractions, here."""
        known = start.frame
        unseen = self.frame.vary & ~known.vary
        fractions = known.vary & known.whole & ~self.frame.whole
        if not (unseen | fractions).any():
            return
        raise InputError(
            "Argument 'start_from'",
            expected="one trained on data of the same kind",
            got=f"one for which {unseen.sum()} of the elements that vary now were constant, and "
            f"{fractions.sum()} of those with fractions were whole numbers",
            do="start from new weights",
        )

    @cached_property
    def offsets(self) -> np.ndarray:
        """Points (k, dimension) of the unit intervals of whole numbers; one, zero, without any."""
        whole = self.frame.whole[self._kept]
        if not whole.any():
            return np.zeros((1, self.dimension))
        grid = qmc.Sobol(int(whole.sum()), scramble=False).random_base2(_POINTS_LOG2)
        offsets = np.zeros((len(grid), self.dimension))
        offsets[:, whole] = grid + 0.5 / len(grid)
        return offsets

    def points(self, data: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return vectors (n, k, dimension) whose mean density is that of the data; log_det (n, k).

        Whole numbers are put at k points of their intervals; k is one where there are none. The
        log_det is -inf for data that differ from what is constant in all simulations, and for
        fractions of what is whole in all of them.
        """
        counts = self._kept[self.frame.whole[self._kept]]
        offsets = self.offsets
        values = self._side_by_side(data)
        count = tf.shape(values)[0]
        repeated = {name: tf.repeat(value, len(offsets), axis=0) for name, value in data.items()}
        vector, log_det = self.to_vector(repeated, tf.tile(offsets, (count, 1)))
        constant = self.frame.mean[self._constant]
        other = tf.gather(values, self._constant, axis=-1) - constant
        wrong = tf.reduce_any(tf.abs(other) > _ROUNDING * np.abs(constant), axis=-1)
        counted = tf.gather(values, counts, axis=-1)
        wrong |= tf.reduce_any(counted != tf.floor(counted), axis=-1)
        log_det = tf.where(wrong[:, None], -np.inf, tf.reshape(log_det, (-1, len(offsets))))
        return tf.reshape(vector, (-1, len(offsets), self.dimension)), log_det

    def from_vector(self, vector: np.ndarray) -> Arrays:
        """Map vectors (n, dimension) to data (n, ...)."""
        frame = self.frame
        values = np.tile(frame.mean, (len(vector), 1))
        squeezed = vector * frame.scale[self._kept] + frame.mean[self._kept]
        compress = frame.compress[self._kept]
        heavy = compress > 0.0
        squeezed[:, heavy] = compress[heavy] * np.sinh(squeezed[:, heavy])
        values[:, self._kept] = squeezed
        values = np.where(frame.whole, np.floor(values), values)
        return split_events(values, self.shapes)

    def arrays(self) -> Arrays:
        """Return what must be saved, by name."""
        return {f"data/{name}": value for name, value in asdict(self.frame).items()}

    def _side_by_side(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        parts = [
            tf.reshape(tf.cast(data[name], tf.float64), (-1, math.prod(shape)))
            for name, shape in self.shapes.items()
        ]
        return tf.concat(parts, axis=-1)


def names_of_frame() -> list[str]:
    """Return the names of a frame's arrays."""
    return [field.name for field in fields(Frame)]


def _compression(columns: np.ndarray) -> np.ndarray:
    found = compression(columns.astype(np.float64), bool(are_whole(columns)))
    return np.full(columns.shape[1], found or 0.0)


def _squeeze(values: np.ndarray, compress: np.ndarray) -> np.ndarray:
    heavy = compress > 0.0
    return np.where(heavy, np.arcsinh(values / np.where(heavy, compress, 1.0)), values)


Condition = dict[str, tf.Tensor]


class LikelihoodModel(DensityModel[Flow]):
    """The parts of q(data | parameters, context), which is that of one flow or the mean of several.

    Each of several flows is trained for itself; ``network`` answers for all of them.
    """

    network: Flow

    def __init__(
        self,
        parameters: ParameterSpace,
        data: DataVector,
        context: DataSpace,
        flows: Sequence[Flow],
    ) -> None:
        self.parameters = parameters
        self.data = data
        self.context = context
        self._members = tuple(flows)
        self.network = flows[0] if len(flows) == 1 else MixtureFlow(flows)

    @property
    def flow(self) -> Flow:
        return self._members[0]

    def flow_inputs(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Condition]:
        x, condition, _ = self.prepare(batch, seed)
        return x, own_entries(condition, 0)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Condition, tf.Tensor]:
        """Return data vectors of a raw batch, conditions, and log_det (n,) of the vectors."""
        for_parameters, for_data = seeds.split(seed, 2)
        vector, _ = self.parameters.to_vector(self.parameters.dequantise(batch, for_parameters))
        shape = (tf.shape(vector)[0], self.data.dimension)
        noise = tf.random.stateless_uniform(shape, for_data, alg="philox")
        x, log_det = self.data.to_vector(batch, noise)
        return x, self.condition(vector, self.context_features(batch)), log_det

    def context_features(self, data: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """Return context (n, k) as the flow sees it, one tensor for each variable."""
        return list(self.context.to_network(data)[0].values())

    def condition(self, vector: tf.Tensor, context: list[tf.Tensor]) -> Condition:
        """Return what each flow reads: parameter vectors (n, d), then context."""
        features = tf.concat([vector, *context], axis=-1)
        return {entry_name(FEATURES, number): features for number in range(len(self._members))}

    def initialize(self, batch: Batch, seed: int) -> None:
        x, condition, _ = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        for number, flow in enumerate(self._members):
            flow.initialize(x, own_entries(condition, number))
        self.network(x, condition, seed=tf.zeros((2,), tf.int32))

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        x, condition, log_det = self.prepare(batch, seed)
        own = seeds.fold_in(seed, -1)
        given = own_entries(condition, 0)
        loss = self.flow(x, given, seed=own, progress=progress, training=training)
        return loss - log_det if self.flow.nats else loss

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            **self.parameters.arrays(),
            **self.data.arrays(),
            **{f"context/{name}": value for name, value in self.context.arrays().items()},
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave of the parameters; the spaces of data have their own."""
        self.parameters.restore(arrays)

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, LikelihoodModel)
        self.data.check_start(trained.data)
        self.data = trained.data
        self.context = trained.context
        super().copy_weights(trained)


_HIDDEN = 64


class AmortizedLikelihood(SeveralNetworks, LikelihoodEstimator):
    """A flow of the data given the parameters, trained on simulations (NLE).

    The data are one vector, all observables side by side; tens of numbers are better than hundreds.
    A posterior takes seconds by NUTS, :class:`AmortizedPosterior` takes one pass through a network.
    But any number of trials can be combined, and the prior can be replaced. Whole numbers are
    counts, each spread evenly over the unit interval above it.

    Parameters
    ----------
    simulator : Simulator
        Simulator of one trial. Observables of varying length or with missing values are refused.
    flow : Flow
        Flow with a cheap density; by default five masked autoregressive blocks.
    networks : int
        Number of flows of equal shape, trained independently on the same simulations. The
        likelihood is the mean of their densities. Several overfit less than one; training and
        sampling take as many times longer. By default three for up to 200,000 simulations that are
        given as arrays or in a bank that fits into memory, as many as ``start_from`` has, else one.
        A loaded likelihood keeps its number.

    References
    ----------
    Papamakarios, Sterratt and Murray (2019), Sequential Neural Likelihood, arXiv:1805.07226.

    Examples
    --------
    >>> import bayesinn as bi
    >>> likelihood = bi.AmortizedLikelihood(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(16,))
    ... )
    >>> _ = likelihood.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> likelihood.log_prob({"y": [0.1, 1.5]}, {"x1": [0.0, 1.0], "x2": [0.0, 1.0]}).shape
    (2,)
    """

    schema: ClassVar[Mapping[str, Any]] = {
        "network": dict,
        "compression": SCHEMA["compression"],
        "elements": int,
    }

    def __init__(
        self, simulator: Simulator, flow: Flow | None = None, networks: int | None = None
    ) -> None:
        check_simulator(simulator)
        if simulator.lengths or simulator.missing is not None:
            raise InputError(
                f"Likelihood of {simulator.name!r}",
                expected="observables of one length, without missing values",
                got=f"lengths={simulator.lengths}, missing={simulator.missing}",
                do="use bi.LikelihoodRatio or bi.AmortizedPosterior, whose summaries see such data",
            )
        if flow is None:
            size = sum(math.prod(shape) for shape in simulator.observable_shapes.values())
            flow = autoregressive(hidden=2 * (max(_HIDDEN, size),))
        do = "choose one, such as bi.flows.autoregressive() or bi.flows.coupling()"
        check_type("Argument 'flow'", flow, Flow, "a Flow", do)
        if flow.density != "exact":
            raise InputError(
                "Argument 'flow'",
                expected="a flow with a density that costs little",
                got=repr(flow),
                do=do,
            )
        self.assemble(simulator, {"flow": flow, "networks": networks})

    def assemble(self, simulator: Simulator | None, configuration: Mapping[str, Any]) -> None:
        super().__init__(simulator)
        self.flow: Flow = configuration["flow"]
        self.summaries = {}
        self.set_count(configuration.get("networks", 1))
        self._score: FlowScore | None = None

    def configuration(self) -> dict[str, Any]:
        """Return the flow, and the number of networks if it is not one, by name."""
        return {"flow": self.flow, **super().configuration()}

    def trainable(self, rows: Arrays, seed: int) -> LikelihoodModel:
        """Return the flow of data given parameters, standardised on rows (n, ...)."""
        pilot = pilot_rows(rows)
        data = DataVector.fit(self.simulator.observable_shapes, pilot, seed)
        context = DataSpace.fit(pilot, (), self.simulator.context_names, {})
        return self._model_of(data, context, seed)

    def check_rows(self, model: LikelihoodModel, rows: Arrays) -> None:
        """Refuse parameters outside the prior's support, which the prior can't have drawn."""
        model.parameters.refuse_outside(rows)

    def log_prob(self, data: Mapping[str, Any], parameters: Mapping[str, Any]) -> np.ndarray:
        """Return log densities of data given parameters, in nats on the data's own scale.

        Parameters
        ----------
        data : dict of name to array (n, ...), observables and context
            n trials, or a single trial without the first axis.
        parameters : dict of name to array (n, draws, *event) or (n, *event)
            Without the axis n for a single trial.

        Returns
        -------
        array (n, draws), (n,), (draws,) or a number, to match
            It is -inf outside the prior's support; for counts, the log of a probability.
        """
        observations = check_observations(self.simulator, data)
        values, shape = check_parameters(self.simulator, parameters, observations)
        score = self.score()
        result = score.pairs(values, score.encode(observations.arrays)).reshape(shape)
        return observations.like_data(result)

    @full_precision()
    def sample(
        self,
        parameters: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
        *,
        draws: int = 1,
        seed: int = 0,
    ) -> Arrays:
        """Draw data (n, draws, ...) for parameters (n, *event), like those of the simulator.

        Context is (n, ...).
        """
        simulator = self.simulator
        arrays = check_inputs_within(simulator, self.model.parameters, parameters, context)
        count = check_draws(draws, simulator.observable_shapes, count_rows(arrays))
        rows = {name: tf.constant(value) for name, value in arrays.items()}
        x = self.score().draw(rows, count, seeds.tensor_seed(seed, "draws"))
        values = self.model.data.from_vector(np.reshape(x, (-1, x.shape[-1])))
        types = simulator.observable_types
        return {
            name: _cast(value.reshape(-1, count, *value.shape[1:]), types[name])
            for name, value in values.items()
        }

    def score(self) -> FlowScore:
        model = self.model
        if self._score is None or self._score.model is not model:
            self._score = FlowScore(model)
        return self._score

    @property
    def model(self) -> LikelihoodModel:
        """The trained model: parameter space, data vector and flow."""
        model = super().model
        assert isinstance(model, LikelihoodModel)
        return model

    def entries(self) -> dict[str, Any]:
        scalings = self.model.context.scalings
        return {
            "network": self.network_configuration(),
            "compression": {name: scaling.compress for name, scaling in scalings.items()},
            "elements": len(self.model.data.frame.mean),
        }

    def built(self, saved: SavedModel) -> LikelihoodModel:
        simulator = self.simulator
        size = (saved.entries["elements"],)
        kinds = {"whole": np.dtype(bool), "vary": np.dtype(bool)}
        frame = {
            name: saved.array(f"data/{name}", size, kinds.get(name, np.dtype(np.float64)))
            for name in names_of_frame()
        }
        scalings = {
            name: saved_scaling(saved, "context/data", name, shape[-1:])
            for name, shape in simulator.shapes["context"].items()
        }
        context = DataSpace(scalings, (), simulator.context_names, {})
        data = DataVector(simulator.observable_shapes, Frame(**frame))
        model = self._model_of(data, context, seed=0)
        ones = {name: tf.ones((2, *shape)) for name, shape in simulator.shapes["context"].items()}
        condition = model.condition(
            tf.zeros((2, model.parameters.dimension)), model.context_features(ones)
        )
        model.network(tf.zeros((2, data.dimension)), condition, seed=tf.zeros((2,), tf.int32))
        return model

    def _model_of(self, data: DataVector, context: DataSpace, seed: int) -> LikelihoodModel:
        space = ParameterSpace(self.simulator.prior, seed)
        flows = [clone(self.flow) for _ in range(self.networks)]
        return LikelihoodModel(space, data, context, flows)


def _cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values in a type; those that a type of whole numbers can't hold become its ends."""
    if dtype.kind == "f":
        return values.astype(dtype)
    # A flow may draw a count below zero: a large number, or true, in a type without sign.
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.clip(values, low, high).astype(dtype)


class FlowScore(Score):
    """Log densities of data under a flow."""

    def __init__(self, model: LikelihoodModel) -> None:
        super().__init__(model.parameters)
        self.model = model
        self._encode = AnyRows(self._encode_graph, leading=(1,))
        self._draw = AnyRows(self._draw_graph, leading=(1, 0, 0))

    @property
    def points(self) -> int:  # type: ignore[override]
        return len(self.model.data.offsets)

    def encode(self, data: Arrays) -> Any:
        names = (*self.model.data.shapes, *self.model.context.context)
        encoded = self._encode({name: np.asarray(data[name]) for name in names})
        return {name: np.asarray(value) for name, value in encoded.items()}

    def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        points = encoded["x"].shape[1]
        context = [encoded["context"]] if "context" in encoded else []
        condition = self.model.condition(vector, context)
        rows = {name: tf.repeat(value, points, axis=0) for name, value in condition.items()}
        x = tf.reshape(encoded["x"], (-1, self.model.data.dimension))
        density = tf.reshape(self.model.network.log_prob(x, rows), (-1, points))
        return tf.reduce_logsumexp(density + encoded["log_det"], axis=-1) - math.log(points)

    def draw(self, rows: Mapping[str, tf.Tensor], draws: int, seed: tf.Tensor) -> np.ndarray:
        """Draw vectors (n, draws, dimension) for parameters and context (n, ...)."""
        return self._draw(dict(rows), draws, seed).numpy()

    def _encode_graph(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        x, log_det = self.model.data.points(data)
        context = self.model.context_features(data)
        joined = {"context": tf.concat(context, axis=-1)} if context else {}
        return {"x": x, "log_det": log_det, **joined}

    def _draw_graph(
        self, rows: dict[str, tf.Tensor], draws: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        own, noise = seeds.split(seed, 2)
        vector, _ = self.parameters.to_vector(self.parameters.dequantise(rows, noise))
        # At the end of a support, no network has seen any vector.
        vector = self.parameters.within_reach(vector)
        condition = self.model.condition(vector, self.model.context_features(rows))
        x = self.model.network.sample(draws, condition, seed=own)
        return tf.reshape(x, (tf.shape(condition[FEATURES])[0], draws, self.model.data.dimension))


class RatioFlow(Flow):
    """The log of p(data | parameters) / p(data), learned by classifying pairs (NRE-C).

    Among ``classes`` parameter vectors, the network finds the one that made the data, or that none
    did; the others come from other rows of the batch. Unlike other contrastive losses, the optimum
    is the ratio without a factor that depends on the data.

    Parameters
    ----------
    hidden : sequence of int, units of hidden layers
    classes : int, 2 or more
    odds : float, odds that one of the vectors made the data, against none
    activation : str, name of a Keras activation

    References
    ----------
    Miller, Weniger and Forre (2022), Contrastive Neural Ratio Estimation, arXiv:2210.06170.
    """

    nats = False
    rowwise = False
    density = None
    draws = False

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128, 128),
        classes: int = 8,
        odds: float = 1.0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        self.classes = check_integer("RatioFlow, argument 'classes'", classes, least=2)
        self.odds = check_number("RatioFlow, argument 'odds'", odds, above=0, do="pass 1.0")
        self.activation = activation

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        layers = [keras.layers.Dense(units, self.activation) for units in self.hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(1)])
        self.network.build((None, event_shape[0] + condition_shape[0]))
        super().build(event_shape, condition_shape)

    def log_ratio(self, x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Return log ratios (n,) of parameter vectors (n, d) and features (n, c)."""
        return self.network(tf.concat([x, condition], axis=-1))[:, 0]

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        rows = x.shape[0]
        if rows is not None and rows <= self.classes and training:
            raise InputError(
                "Batch",
                expected=f"batches of more than {self.classes} rows, as {self!r} has classes",
                got=f"{rows} rows",
                do="pass a larger batch_size, or RatioFlow(classes=...)",
            )
        # Rows beside each other are independent; whole batches are evaluated at once.
        shifted = tf.concat([tf.roll(x, -shift, axis=0) for shift in range(self.classes + 1)], 0)
        repeated = tf.tile(condition, (self.classes + 1, 1))
        scores = tf.reshape(self.log_ratio(shifted, repeated), (self.classes + 1, -1))
        scores += np.float32(np.log(self.odds))
        # A small batch of validation has fewer other parameters than there are classes.
        others = tf.minimum(self.classes, tf.shape(x)[0] - 1)
        numbers = tf.range(self.classes + 1)[:, None]

        def evidence(chosen: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            none = tf.math.log(tf.cast(tf.maximum(count, 1), tf.float32))
            terms = tf.concat([tf.fill((1, tf.shape(x)[0]), none), chosen], axis=0)
            return none, tf.reduce_logsumexp(terms, axis=0)

        # Its own parameters are among the first classes, and not among the last.
        count = tf.minimum(self.classes, tf.shape(x)[0])
        known = tf.where(numbers[:-1] < count, scores[:-1], -np.inf)
        found = scores[0] - evidence(known, count)[1]
        unknown = tf.where(numbers[1:] <= others, scores[1:], -np.inf)
        none, total = evidence(unknown, others)
        refused = none - total
        share = 1.0 / (1.0 + self.odds)
        return -(1.0 - share) * found - share * refused


class LikelihoodRatio(Summarised, LikelihoodEstimator):
    """The ratio of likelihood and evidence, trained as a classifier of matching pairs (NRE-C).

    Its posteriors are those of :class:`AmortizedLikelihood`: any number of trials, and any prior.
    Summary networks see the data, which may be images or long series. There is no density of the
    data, and data can't be drawn.

    Parameters
    ----------
    simulator : Simulator
        Simulator of one trial.
    summary : Summary, or dict of observable to Summary
        As for :class:`AmortizedPosterior`.
    classifier : RatioFlow, by default one with its default settings

    References
    ----------
    Miller, Weniger and Forre (2022), Contrastive Neural Ratio Estimation, arXiv:2210.06170.

    Examples
    --------
    >>> import bayesinn as bi
    >>> ratio = bi.LikelihoodRatio(bi.get_simulator("linear"))
    >>> _ = ratio.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> ratio.log_ratio({"y": [0.1, 1.5]}, {"x1": [0.0, 1.0], "x2": [0.0, 1.0]}).shape
    (2,)
    """

    flow: RatioFlow
    _score: RatioScore | None = None

    def __init__(
        self,
        simulator: Simulator,
        summary: Summary | Mapping[str, Summary | None] | None = None,
        classifier: RatioFlow | None = None,
    ) -> None:
        check_simulator(simulator)
        classifier = RatioFlow() if classifier is None else classifier
        do = "pass one, or leave it out"
        check_type("Argument 'classifier'", classifier, RatioFlow, "a RatioFlow", do)
        choice = recommended_summaries(simulator, summary)
        self.assemble(simulator, {"summaries": choice.networks, "flow": classifier})
        self._reasons = choice.reasons

    def log_ratio(self, data: Mapping[str, Any], parameters: Mapping[str, Any]) -> np.ndarray:
        """Return log p(data | parameters) / p(data), in nats.

        Arguments and result are as for :meth:`AmortizedLikelihood.log_prob`. The posterior density
        is this ratio times the prior density.
        """
        observations, condition, _ = self.encode_data(data)
        values, shape = check_parameters(self.simulator, parameters, observations)
        result = self.score().pairs(values, condition).reshape(shape)
        return observations.like_data(result)

    def score(self) -> RatioScore:
        evaluator = self.evaluator
        if self._score is None or self._score.evaluator is not evaluator:
            self._score = RatioScore(evaluator)
        return self._score


class RatioScore(Score):
    """Log ratios of pairs of parameters and data."""

    def __init__(self, evaluator: Evaluator) -> None:
        super().__init__(evaluator.model.parameters)
        self.evaluator = evaluator

    def encode(self, data: Arrays) -> Any:
        return map_tensors(np.asarray, self.evaluator.condition(data)[0])

    def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        flow: Any = self.evaluator.model.network.flow
        return flow.log_ratio(vector, encoded["features"])
