"""The amortized ratio of likelihood and evidence, from a contrastive classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError, check_integer, check_number, check_type
from bayesinn.flows import Flow
from bayesinn.likelihood.posterior import LikelihoodEstimator, Score
from bayesinn.posterior.amortized import Summarised
from bayesinn.posterior.answers import Evaluator
from bayesinn.posterior.defaults import recommended_summaries
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_parameters
from bayesinn.summaries import Summary


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
