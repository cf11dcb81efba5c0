"""The amortized ratio of likelihood and evidence, from a contrastive classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import tensorflow as tf

from bayesinn.core.compilation import map_tensors
from bayesinn.core.validation import check_type
from bayesinn.estimators.training_data import pilot_rows, require_simulator
from bayesinn.likelihood.estimator import LikelihoodEstimator
from bayesinn.likelihood.ratio_flow import RatioFlow
from bayesinn.likelihood.score import Score
from bayesinn.posterior.building import measured_model
from bayesinn.posterior.defaults import recommended_summaries
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.summarised import Summarised
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_parameters
from bayesinn.summaries import Summary


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
    >>> ratio = bi.LikelihoodRatio(bi.get("linear"))
    >>> _ = ratio.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> ratio.log_ratio({"y": [0.1, 1.5]}, {"x1": [0.0, 1.0], "x2": [0.0, 1.0]}).shape
    (2,)
    """

    flow: RatioFlow

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
        self._score: RatioScore | None = None
        super().__init__(simulator, recommended_summaries(simulator, summary), classifier)

    @classmethod
    def from_configuration(
        cls, simulator: Simulator | None, configuration: Mapping[str, Any]
    ) -> Self:
        """Return an untrained ratio with summaries and classifier as a manifest describes them."""
        return cls(require_simulator(simulator), configuration["summaries"], configuration["flow"])

    def trainable(self, rows: Arrays, seed: int) -> PosteriorModel:
        """Return the classifier of parameters and summaries, standardised on rows (n, ...)."""
        pilot = pilot_rows(rows)
        return measured_model(self.simulator, self.summaries, self.flow, pilot, seed)

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
