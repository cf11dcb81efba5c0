"""Estimators that see data through summary networks: posteriors, ratios, comparisons of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core.background import Background
from bayesinn.core.storage import SavedModel
from bayesinn.core.warning import warn
from bayesinn.estimators.estimator import Estimator
from bayesinn.estimators.training_data import require_simulator
from bayesinn.flows import Flow
from bayesinn.posterior import moved
from bayesinn.posterior.damage import KINDS, NO_TREES
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.measuring import (
    Compared,
    compared_rows,
    describe_model,
    detect_damage,
    measure_reference,
)
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.saved import SCHEMA, saved_model, saved_reference
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.missing import warn_of_missing
from bayesinn.spaces.observations import Observations, check_observations
from bayesinn.summaries import Summary


class Summarised(Estimator):
    """An estimator with summary networks, and a flow that is conditioned on their features.

    It also measures how typical an observation is among the training simulations.
    """

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    def __init__(
        self, simulator: Simulator | None, summaries: dict[str, Summary], flow: Flow
    ) -> None:
        super().__init__(simulator)
        self.summaries = summaries
        self.flow = flow
        self._evaluator: Evaluator | None = None
        self._reference: Reference | None = None
        self._detectors: Background[list[np.ndarray]] | None = None

    @property
    def declares(self) -> Simulator:
        """The simulator that declares the data."""
        return require_simulator(self.simulator)

    def declared_shapes(self) -> dict[str, Mapping[str, Any]]:
        return {**self.declares.shapes, "lengths": self.declares.lengths}

    def summarize(self, data: Mapping[str, Any]) -> np.ndarray:
        """Return the flow's input by observation: summaries, then context, (n_obs, c) or (c,)."""
        observations, condition, _ = self.encode_data(data)
        return observations.like_data(condition[FEATURES])

    @property
    def evaluator(self) -> Evaluator:
        """Compiled evaluation of the trained model, for code that works with conditions."""
        _ = super().model
        assert self._evaluator is not None
        return self._evaluator

    @property
    def model(self) -> PosteriorModel:
        """The trained model: parameter space, data space and network."""
        return self.evaluator.model

    @property
    def reference(self) -> Reference:
        """What observations are compared with, to measure how typical they are."""
        _ = super().model
        assert self._reference is not None
        return self._reference

    @classmethod
    def present_network(cls, network: Any) -> Any:
        return moved.rewrite(network)

    def configuration(self) -> dict[str, Any]:
        """Return summaries and flow, by name."""
        return {"summaries": self.summaries, "flow": self.flow}

    def entries(self) -> dict[str, Any]:
        scalings = self.model.data.scalings
        return {
            "network": self.network_configuration(),
            "compression": {name: scaling.compress for name, scaling in scalings.items()},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        reference = {f"reference/{name}": value for name, value in self.reference.arrays().items()}
        return {**self.model.arrays(), **reference}

    def check_rows(self, model: PosteriorModel, rows: Arrays) -> None:
        model.parameters.refuse_outside(rows)

    def describe_training(self, model: PosteriorModel) -> str:
        return describe_model(self.declares.name, model)

    def compared_rows(self, model: PosteriorModel, rows: Arrays) -> Compared:
        """Return those of the training rows (n, ...) that observations are compared with."""
        return compared_rows(model, rows)

    def prepare(self, model: PosteriorModel, rows: Arrays) -> None:
        """Start to train the detectors of damage, in a thread."""
        compared = self.compared_rows(model, rows)
        self._detectors = Background(detect_damage, model.data, compared)

    def adopt(self, model: PosteriorModel, rows: Arrays, seed: int) -> None:
        """Take a trained model, and measure on rows what observations are compared with."""
        evaluator = Evaluator(model)
        compared = self.compared_rows(model, rows)
        assert self._detectors is not None
        try:
            detectors = self._detectors.result()
        except Exception as error:
            # What has been trained is worth more.
            warn(
                f"Damaged data will be harder to detect: the training of detectors failed "
                f"({type(error).__name__}: {error}). The posterior is not affected."
            )
            detectors = [NO_TREES] * len(KINDS)
        self._detectors = None
        self.adopt_parts(evaluator, measure_reference(evaluator, compared, detectors))

    def restore(self, saved: SavedModel) -> PosteriorModel:
        return saved_model(saved, self.declares, self.summaries, self.flow)

    def adopt_saved(self, model: PosteriorModel, saved: SavedModel) -> None:
        self.adopt_parts(Evaluator(model), saved_reference(saved, model, self.declares))

    def adopt_parts(self, evaluator: Evaluator, reference: Reference) -> None:
        """Take a trained model's evaluation, and what observations are compared with."""
        self._model = evaluator.model
        self._evaluator = evaluator
        self._reference = reference

    def list_networks(self, title: str, last: str) -> str:
        """Write a title, a line for each summary network, and a last line: for a repr."""
        networks = [f"{name}: {summary!r}" for name, summary in self.summaries.items()]
        return "\n  ".join([title, *networks, last])

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        """Return checked observations, from whatever form of data this estimator takes."""
        observations = check_observations(self.declares, data)
        if data is not observations:
            warn_of_missing(self.declares, observations)
        return observations

    def encode_data(self, data: Mapping[str, Any]) -> tuple[Observations, Condition, Arrays]:
        """Check data once, and run the summary networks once."""
        evaluator = self.evaluator
        observations = self.check_data(data)
        return observations, *evaluator.condition(observations.arrays)
