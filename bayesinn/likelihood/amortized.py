"""The amortized likelihood: the density of data, given parameters and context."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES
from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.core.memory import check_draws
from bayesinn.core.precision import full_precision
from bayesinn.core.storage import SavedModel
from bayesinn.core.validation import check_type
from bayesinn.estimators.training_data import pilot_rows, require_simulator
from bayesinn.flows import Flow, autoregressive
from bayesinn.likelihood.estimator import LikelihoodEstimator
from bayesinn.likelihood.model import LikelihoodModel
from bayesinn.likelihood.score import Score
from bayesinn.likelihood.vector import DataVector, Frame, names_of_frame
from bayesinn.posterior.saved import SCHEMA, restore_parameters, saved_scaling
from bayesinn.posterior.several import SeveralNetworks
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.observations import (
    check_inputs_within,
    check_observations,
    check_parameters,
)
from bayesinn.spaces.parameters import ParameterSpace

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
    ...     bi.get("linear"), flow=bi.flows.coupling(blocks=1, hidden=(16,))
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
        super().__init__(simulator)
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
        self.flow = flow
        self.summaries = {}
        self.set_count(networks)
        self._score: FlowScore | None = None

    def configuration(self) -> dict[str, Any]:
        """Return the flow, and the number of networks if it is not one, by name."""
        return {"flow": self.flow, **super().configuration()}

    @classmethod
    def from_configuration(
        cls, simulator: Simulator | None, configuration: Mapping[str, Any]
    ) -> Self:
        """Return an untrained likelihood with a flow as a manifest describes it."""
        count = configuration.get("networks", 1)
        return cls(require_simulator(simulator), configuration["flow"], count)

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

    def restore(self, saved: SavedModel) -> LikelihoodModel:
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
        restore_parameters(saved, model.parameters)
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
