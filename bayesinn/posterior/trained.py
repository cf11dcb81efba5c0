"""What a trained posterior answers: draws, densities, inference data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn.bijections.condition import Condition
from bayesinn.core import seeds
from bayesinn.core.memory import check_draws
from bayesinn.estimators.facts import state_text
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.evaluator import density_of
from bayesinn.posterior.given import TrainedGiven, require_draws
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.summarised import Summarised
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations, check_parameters
from bayesinn.spaces.parameters import layout_of

if TYPE_CHECKING:
    import pandas as pd


class TrainedPosterior(Summarised, Posterior):
    """The answers of a posterior; :class:`AmortizedPosterior` adds which networks it has."""

    kind = "AmortizedPosterior"
    simulated = True
    simulator: Simulator

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
            observation without batch axis; with ``p_value``, ``unusual`` and
            ``out_of_distribution`` for each observation. All draws lie inside the prior's support.
            Draws that lie too far out are put back, in each unconstrained element, to twice as far
            from the centre as any of 8,192 prior draws; :meth:`log_prob` ignores that.

        Raises
        ------
        InputError
            If the posterior is not trained, its flow can't draw, or the data lack names, have other
            shapes, are not finite, or have context outside its support.
        """
        observations, condition, inputs = self.encode_data(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        require_draws(self.simulator, self.flow)
        values = self.evaluator.sample(condition, count, seeds.tensor_seed(seed, "draws"))
        typical = self.reference.compare(np.asarray(self.model.network.compared(condition)), inputs)
        return Draws.of(values, typical, observations)

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return the log posterior density, on the parameters' own scale.

        Parameters
        ----------
        parameters : dict of name to array (n_obs, draws, *event)
            As :meth:`sample` returns, or (n_obs, *event); without n_obs for one observation without
            batch axis.
        data : dict of name to array (n_obs, ...)

        Returns
        -------
        array (n_obs, draws), (n_obs,), (draws,) or a number, to match; in nats
            Exact, unless :attr:`density` is "costly": then with the error of a solver and, beyond
            20 numbers, that of an estimated trace.
            It is -inf outside the support. For integer parameters it is a probability: the integral
            over the interval that stands for the integer.

        Raises
        ------
        InputError
            As for :meth:`sample`, and if parameters don't match the data, the flow has no density,
            or there are more than three integers, as that would take too long.

        Examples
        --------
        >>> import bayesinn as bi
        >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
        >>> posterior = bi.AmortizedPosterior(bi.get("linear"), flow=flow)
        >>> _ = posterior.fit(steps=1, progress=False)
        >>> draws = posterior.sample({"y": [0.5, 1.5]}, draws=100, seed=2)
        >>> draws["x1"].shape, posterior.log_prob(draws, {"y": [0.5, 1.5]}).shape
        ((2, 100), (2, 100))
        """
        observations, condition, _ = self.encode_data(data)
        return self._log_prob(parameters, observations, condition)

    @property
    def nats(self) -> bool:
        return self.flow.nats

    @property
    def density(self) -> str | None:
        """Kind of density of :meth:`log_prob`, that of the flow: "exact", "costly" or None.

        There is none for more than three integer parameters.
        """
        if self.trained:
            return self.evaluator.density
        return density_of(self.flow, layout_of(self.simulator.prior).integers)

    @property
    def training_seed(self) -> int:
        """Seed that the last training was given."""
        # Older posteriors know that of the settings, which also depends on the start.
        return int(self.training.get("seed", self.training["settings"]["seed"]))

    def require_trained(self) -> None:
        # It raises without one.
        _ = self.model

    def given(self, data: Mapping[str, Any] | Observations) -> TrainedGiven:
        """Return the posterior of these data; what it needs of them is computed once."""
        observations = self.check_data(data)
        return TrainedGiven(self.simulator, self.evaluator, self.reference, observations)

    def about(self) -> dict[str, str]:
        """Return networks and training in words, by heading, for reports."""
        settings = self.training["settings"]
        parts = [*(f"{name}: {value!r}" for name, value in self.summaries.items()), repr(self.flow)]
        if len(self.model.members) > 1:
            parts.append(f"{len(self.model.members)} such networks")
        before = f" after {self.steps_before:,} before" if self.steps_before else ""
        return {
            "Network": textwrap.shorten("; ".join(parts), 160, placeholder=" ..."),
            "Training": f"{self.steps_done:,} steps of {settings['batch_size']:,}{before}, seed "
            f"{self.training_seed}",
        }

    def __repr__(self) -> str:
        state = state_text(self)
        if self.trained:
            state += _last_loss(self.history)
        title = f"{type(self).__name__} of {self.simulator.name!r}, {state}"
        return self.list_networks(title, f"flow: {self.flow!r}")

    def _log_prob(
        self, parameters: Mapping[str, Any], observations: Observations, condition: Condition
    ) -> np.ndarray:
        values, batch_shape = check_parameters(self.simulator, parameters, observations)
        result = self.evaluator.log_prob(values, condition).reshape(batch_shape)
        return observations.like_data(result)


def _last_loss(history: pd.DataFrame) -> str:
    """Write the validation loss of the weights that were kept, else the last loss."""
    if "val_loss" in history and history["val_loss"].notna().any():
        return f", validation loss {history['val_loss'].min():.3f}"
    if "loss" in history and len(known := history["loss"].dropna()):
        return f", loss {known.iloc[-1]:.3f}"
    return ""
