"""What a trained posterior answers: draws, densities, inference data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.configuration import Registered, describe, public_name
from bayesinn.core.errors import InputError
from bayesinn.core.storage import write_model
from bayesinn.core.validation import check_integer
from bayesinn.flows import Flow
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.inference_data import inference_data
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation import identity
from bayesinn.simulation.identity_rows import once
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations, check_observations, check_parameters
from bayesinn.summaries import Summary
from bayesinn.training.arrays import fingerprint

if TYPE_CHECKING:
    import pandas as pd
    import xarray

#: Kind of model in the manifest; the entry "class" says which posterior it is.
KIND = "AmortizedPosterior"


class TrainedPosterior(Registered):
    """The answers of a posterior; :class:`AmortizedPosterior` adds how it is trained."""

    def __init__(self, simulator: Simulator, summaries: dict[str, Summary], flow: Flow) -> None:
        import pandas as pd

        self.simulator = simulator
        self.summaries = summaries
        self.flow = flow
        self.history = pd.DataFrame()
        self.training: dict[str, Any] = {}
        #: What the simulator did when this was trained, in plain values; None if that is not known.
        self.identity: dict[str, Any] | None = None
        self._trained: _Trained | None = None

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

    def infer(
        self,
        data: Mapping[str, Any],
        *,
        draws: int = 1_000,
        seed: int = 0,
        predictive: bool = True,
        progress: bool = False,
    ) -> xarray.DataTree:
        """Return all about the posterior of ``data``, observations as in :meth:`sample`, for ArviZ.

        Parameters
        ----------
        predictive : bool
            Whether to simulate data from each draw, which takes long where simulations do.
        progress : bool
            Whether to show how far such simulations in worker processes have come.

        Returns
        -------
        xarray.DataTree
            Groups posterior, prior, posterior_predictive, observed_data, constant_data (context)
            and sample_stats (log density ``lp``, where the flow has one that costs little;
            ``out_of_distribution_p`` of the observation), with one chain. Units and labels are
            attributes of the variables. Several observations have a dimension ``observation``.
        """
        observations, condition, inputs = self._encoded(data)
        sampled = self._draw(observations.batched, condition, inputs, draws, seed)
        exact = self.evaluator.density == "exact"
        log_density = self._log_prob(sampled, observations, condition) if exact else None
        return inference_data(
            self.simulator, observations, sampled, log_density, seed, predictive, progress
        )

    @property
    def has_log_prob(self) -> bool:
        """Whether :meth:`log_prob` has densities: the flow has, with at most three integers."""
        return self.evaluator.density is not None

    @property
    def evaluator(self) -> Evaluator:
        """Compiled evaluation of the trained model, for code that works with conditions."""
        return self._require_trained().evaluator

    @property
    def model(self) -> PosteriorModel:
        """The trained model: parameter space, data space and network."""
        return self.evaluator.model

    @property
    def reference(self) -> Reference:
        """What observations are compared with to tell how typical they are."""
        return self._require_trained().reference

    @once()
    def save(self, folder: str | Path) -> Path:
        """Write the posterior into a folder for :func:`bayesinn.load`.

        The files are ``manifest.json`` and its weights.
        """
        entries = {
            "class": public_name(type(self)),
            "simulator": self.simulator.reference(),
            **(self.identity or identity.entries(self.simulator)),
            "network": self.network_configuration(),
            "compression": {
                name: scaling.compress for name, scaling in self.model.data.scalings.items()
            },
            "training": self.training,
            "history": self.history.to_dict(orient="list"),
        }
        reference = {f"reference/{name}": value for name, value in self.reference.arrays().items()}
        return write_model(
            folder, KIND, entries, {**self.model.arrays(), **reference}, self.model.network
        )

    def network_configuration(self) -> dict[str, Any]:
        """Return summaries and flow in plain values, enough to build them again."""
        return {"summaries": describe(self.summaries), "flow": describe(self.flow)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trained network's weights."""
        return fingerprint(
            {
                str(number): value.numpy()
                for number, value in enumerate(self.model.network.variables)
            }
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse pickle, deepcopy and joblib, which can't hold compiled functions."""
        subject = f"Copy of the posterior of {self.simulator.name!r}"
        expected = "a folder, which keeps every bit"
        do = "call posterior.save(folder), and bi.load(folder) where it is needed"
        raise InputError(subject, expected=expected, got="pickle, copy or joblib", do=do)

    @property
    def trained(self) -> bool:
        """Whether there is anything to sample from."""
        return self._trained is not None

    @property
    def steps_done(self) -> int:
        """Number of steps the last training took: fewer than planned if it ended early.

        Patience or an error may have ended it.
        """
        # Older posteriors know the end of the last report only.
        return int(
            self.training.get("steps_done", self.history["step"].max() if len(self.history) else 0)
        )

    def __repr__(self) -> str:
        state = "not trained"
        if self._trained is not None:
            state = f"trained for {self.steps_done:,} steps{_last_loss(self.history)}"
        lines = [f"{type(self).__name__} of {self.simulator.name!r}, {state}"]
        lines += [f"  {name}: {summary!r}" for name, summary in self.summaries.items()]
        return "\n".join([*lines, f"  flow: {self.flow!r}"])

    def adopt(
        self,
        evaluator: Evaluator,
        reference: Reference,
        history: pd.DataFrame,
        training: dict[str, Any],
    ) -> None:
        """Use trained parts, from training or from a saved folder."""
        self.history = history
        self.training = training
        self._trained = _Trained(evaluator, reference)

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
        self.require_draws()
        values = self.evaluator.sample(condition, count, seeds.tensor_seed(seed, "draws"))
        typical = self.reference.compare(np.asarray(self.model.network.compared(condition)), inputs)
        if not batched:
            return Draws(
                {name: value[0] for name, value in values.items()},
                typical.p_value[0],
                typical.unusual[0],
            )
        return Draws(values, *typical)

    def require_draws(self) -> None:
        """Refuse a flow that declares that it can't draw."""
        if not self.flow.draws:
            subject = f"Draws from the posterior of {self.simulator.name!r}"
            expected = "a flow that can draw"
            do = "use another flow, or ask this one for what it declares"
            raise InputError(subject, expected=expected, got=repr(self.flow), do=do)

    def _require_trained(self) -> _Trained:
        if self._trained is None:
            expected = "a trained posterior"
            got = "one that was never trained"
            do = "call fit(...) first, or bi.load(folder)"
            raise InputError(
                f"Posterior of {self.simulator.name!r}", expected=expected, got=got, do=do
            )
        return self._trained


def _last_loss(history: pd.DataFrame) -> str:
    """Write the last validation loss, or the loss where there was no validation set."""
    for name, text in (("val_loss", "validation loss"), ("loss", "loss")):
        if name in history and len(known := history[name].dropna()):
            return f", {text} {known.iloc[-1]:.3f}"
    return ""


class _Trained(NamedTuple):
    """What training leaves behind."""

    evaluator: Evaluator
    reference: Reference
