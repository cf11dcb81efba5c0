"""What a trained posterior answers: draws, densities, inference data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.storage import SavedModel
from bayesinn.core.validation import check_integer
from bayesinn.estimators.estimator import Estimator
from bayesinn.flows import Flow
from bayesinn.posterior import moved
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.evaluator import Evaluator, density_of
from bayesinn.posterior.given import TrainedGiven, require_draws
from bayesinn.posterior.measuring import describe_model, measure_reference
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.saved import SCHEMA, saved_model, saved_reference
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations, check_observations, check_parameters
from bayesinn.spaces.parameters import layout_of
from bayesinn.summaries import Summary

if TYPE_CHECKING:
    import pandas as pd


class TrainedPosterior(Estimator, Posterior):
    """The answers of a posterior; :class:`AmortizedPosterior` adds which networks it has."""

    kind = "AmortizedPosterior"
    schema = SCHEMA
    simulated = True
    simulator: Simulator

    def __init__(self, simulator: Simulator, summaries: dict[str, Summary], flow: Flow) -> None:
        super().__init__(simulator)
        self.summaries = summaries
        self.flow = flow
        self._evaluator: Evaluator | None = None
        self._reference: Reference | None = None

    def sample(self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0) -> Draws:
        """Draw from the posterior of each observation.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), observables and context
            Or one observation, without the first axis.
        draws, seed : int

        Returns
        -------
        Draws
            Dict of parameter to array (n_obs, draws, *event), or (draws, *event) for one
            observation without batch axis, all inside the prior's support; with ``p_value``,
            ``unusual`` and ``out_of_distribution`` for each observation. Draws that lie too far out
            are put back, in each unconstrained element, to twice as far from the centre as any of
            8,192 prior draws; :meth:`log_prob` knows nothing of that.
        """
        observations, condition, inputs = self._encoded(data)
        return self._draw(observations.batched, condition, inputs, draws, seed)

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return the log posterior density, on the parameters' own scale.

        Parameters
        ----------
        parameters : dict of name to array (n_obs, draws, *event)
            As :meth:`sample` returns, or (n_obs, *event).
            Without the first axis for one observation without batch axis.
        data : dict of name to array (n_obs, ...)

        Returns
        -------
        array (n_obs, draws), (n_obs,), (draws,) or a number, to match; in nats, exact
            -inf outside the support.
            For integer parameters it is a probability, by quadrature over the interval that stands
            for the integer. With more than three integers, for which that takes too long, an
            InputError is raised.
        """
        observations, condition, _ = self._encoded(data)
        return self._log_prob(parameters, observations, condition)

    def summarize(self, data: Mapping[str, Any]) -> np.ndarray:
        """Return the flow's input by observation: summaries, then context, (n_obs, c) or (c,)."""
        observations, condition, _ = self._encoded(data)
        features = condition[FEATURES]
        return features if observations.batched else features[0]

    @property
    def nats(self) -> bool:
        return self.flow.nats

    @property
    def density(self) -> str | None:
        """Whether :meth:`log_prob` has "exact" densities, "costly" ones, or none (None).

        The flow has, with at most three integers.
        """
        if self.trained:
            return self.evaluator.density
        return density_of(self.flow, layout_of(self.simulator.prior).integers)

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
        """What observations are compared with to tell how typical they are."""
        _ = super().model
        assert self._reference is not None
        return self._reference

    def given(self, data: Mapping[str, Any] | Observations) -> TrainedGiven:
        """Return the posterior of these data: what is needed of them is computed once."""
        observations = check_observations(self.simulator, data)
        return TrainedGiven(self.simulator, self.evaluator, self.reference, observations)

    def about(self) -> dict[str, str]:
        """Return networks and training in words, by heading, for reports."""
        settings = self.training["settings"]
        parts = [*(f"{name}: {value!r}" for name, value in self.summaries.items()), repr(self.flow)]
        if len(self.model.members) > 1:
            parts.append(f"{len(self.model.members)} such networks")
        return {
            "Network": textwrap.shorten("; ".join(parts), 160, placeholder=" ..."),
            "Training": f"{self.steps_done:,} steps of {settings['batch_size']:,}, seed "
            f"{settings['seed']}",
        }

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
        """Refuse parameters outside the prior's support: they would be moved to its edge unseen.

        The prior can't have drawn them.
        """
        space = model.parameters
        outside = ~space.possible(rows).numpy()
        if outside.any():
            culprit = {name: rows[name][np.argmax(outside)].tolist() for name in space.names}
            got = f"{int(outside.sum())} of {len(outside)} rows outside, one of them {culprit}"
            do = "drop those rows, or widen the prior to the one they were drawn from"
            expected = "parameters inside the prior's support"
            raise InputError("Training data", expected=expected, got=got, do=do)

    def describe_training(self, model: PosteriorModel) -> str:
        return describe_model(self.simulator.name, model)

    def adopt(self, model: PosteriorModel, rows: Arrays, seed: int) -> None:
        """Take a trained model, and measure on rows what observations are compared with."""
        evaluator = Evaluator(model)
        self.adopt_parts(evaluator, measure_reference(evaluator, rows))

    def restore(self, saved: SavedModel) -> PosteriorModel:
        return saved_model(saved, self.simulator, self.summaries, self.flow)

    def adopt_saved(self, model: PosteriorModel, saved: SavedModel) -> None:
        self.adopt_parts(Evaluator(model), saved_reference(saved, model, self.simulator))

    def adopt_parts(self, evaluator: Evaluator, reference: Reference) -> None:
        """Take a trained model's evaluation, and what observations are compared with."""
        self._model = evaluator.model
        self._evaluator = evaluator
        self._reference = reference

    def __repr__(self) -> str:
        state = "not trained"
        if self.trained:
            state = f"trained for {self.steps_done:,} steps{_last_loss(self.history)}"
        lines = [f"{type(self).__name__} of {self.simulator.name!r}, {state}"]
        lines += [f"  {name}: {summary!r}" for name, summary in self.summaries.items()]
        return "\n".join([*lines, f"  flow: {self.flow!r}"])

    def _encoded(self, data: Mapping[str, Any]) -> tuple[Observations, Condition, Arrays]:
        """Check data once, and run the summary networks once."""
        evaluator = self.evaluator
        observations = check_observations(self.simulator, data)
        return observations, *evaluator.condition(observations.arrays)

    def _log_prob(
        self, parameters: Mapping[str, Any], observations: Observations, condition: Condition
    ) -> np.ndarray:
        values, batch_shape = check_parameters(self.simulator, parameters, observations)
        result = self.evaluator.log_prob(values, condition).reshape(batch_shape)
        return result if observations.batched else result[0]

    def _draw(
        self, batched: bool, condition: Condition, inputs: Arrays, draws: int, seed: int
    ) -> Draws:
        count = check_integer("Argument 'draws'", draws, do="pass draws=1000")
        require_draws(self.simulator, self.flow)
        values = self.evaluator.sample(condition, count, seeds.tensor_seed(seed, "draws"))
        typical = self.reference.compare(np.asarray(self.model.network.compared(condition)), inputs)
        if batched:
            return Draws(values, typical.p_value, typical.unusual)
        return Draws(
            {name: value[0] for name, value in values.items()},
            typical.p_value[0],
            typical.unusual[0],
        )


def _last_loss(history: pd.DataFrame) -> str:
    """Write the last validation loss, or the loss where there was no validation set."""
    for name, text in (("val_loss", "validation loss"), ("loss", "loss")):
        if name in history and len(known := history[name].dropna()):
            return f", {text} {known.iloc[-1]:.3f}"
    return ""
