"""The amortized posterior: train once, then answer any observation with the same network."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_draws, check_integer, warn
from bayesinn.core.files import SavedModel
from bayesinn.core.process import Background
from bayesinn.estimators.estimator import Estimator
from bayesinn.estimators.fitting_data import pilot_rows, require_simulator
from bayesinn.flows import Flow
from bayesinn.posterior.answers import Draws, Evaluator, TrainedGiven, density_of, require_draws
from bayesinn.posterior.damage import KINDS, NO_TREES
from bayesinn.posterior.defaults import choose_count, choose_flow, choose_summaries, warn_of_sets
from bayesinn.posterior.measurement import (
    SCHEMA,
    Compared,
    build_model,
    compared_rows,
    describe_model,
    detect_damage,
    measure_reference,
    measured_data,
    saved_data,
    saved_reference,
    two_data_sets,
)
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.digits import warn_of_lost_digits
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.observations import (
    Observations,
    check_observations,
    check_parameters,
    warn_of_missing,
)
from bayesinn.spaces.parameters import layout_of
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import seen_raw

if TYPE_CHECKING:
    import pandas as pd


class Summarised(Estimator):
    """An estimator with summary networks, and a flow that is conditioned on their features.

    It also measures how typical an observation is among the training simulations.
    """

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    #: Why networks were chosen that the user has left out.
    _reasons: Mapping[str, str] = {}

    def assemble(self, simulator: Simulator | None, configuration: Mapping[str, Any]) -> None:
        super().__init__(simulator)
        self.summaries: dict[str, Summary] = configuration["summaries"]
        self.flow: Flow = configuration["flow"]
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
        return describe_model(self.declares.name, model, self._reasons)

    def compared_rows(self, model: PosteriorModel, rows: Arrays) -> Compared:
        """Return those of the training rows (n, ...) that observations are compared with."""
        return compared_rows(model, rows)

    def prepare(self, model: PosteriorModel, rows: Arrays) -> None:
        """Start to train the detectors of damage, in a thread; look whether data have an order."""
        chosen = {key: self.summaries[key] for key in self._reasons}
        warn_of_sets(self.declares, chosen, pilot_rows(rows))
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

    def trainable(self, rows: Arrays, seed: int) -> PosteriorModel:
        """Return the flow given summaries of data, standardised on rows (n, ...)."""
        return self.model_of(self.measured_data(pilot_rows(rows)), seed)

    def model_of(self, data: DataSpace, seed: int) -> PosteriorModel:
        """Return a model with a space of data and new networks, which have no weights yet."""
        return build_model(self.declares, self.summaries, self.flow, data, seed)

    def measured_data(self, rows: Arrays) -> DataSpace:
        """Return the space of the data, standardised on rows (n, ...)."""
        warn_of_lost_digits(self.declares, rows, seen_raw(self.summaries))
        return measured_data(self.declares, self.summaries, rows)

    def saved_data(self, saved: SavedModel) -> DataSpace:
        """Return the space of the data as it was saved."""
        return saved_data(saved, self.declares, self.summaries)

    def unbuilt(self, saved: SavedModel) -> PosteriorModel:
        """Return the model of a saved folder with networks that have no weights yet."""
        return self.model_of(self.saved_data(saved), 0)

    def built(self, saved: SavedModel) -> PosteriorModel:
        model = self.unbuilt(saved)
        inputs = model.data.to_network(two_data_sets(self.declares))
        model.network.build_weights(tf.zeros((2, model.width)), *inputs)
        return model

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
        >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
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
        return int(self.training["seed"])

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
        state = self.state_text
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


# Each is built and trained by itself: more would take hours before the first step.
_MOST = 100


class SeveralNetworks(Estimator):
    """An estimator that trains a number of networks, which the user may leave open.

    A constructor calls :meth:`set_count`.
    """

    networks: int
    #: Summary networks, by what they see; empty if the data are seen as they are.
    summaries: dict[str, Summary]

    def set_count(self, networks: int | None) -> None:
        """Take the number of networks; None leaves it to the number of stored simulations."""
        self._automatic = networks is None
        self.networks = 1
        if networks is not None:
            self.networks = check_integer(
                "Argument 'networks'", networks, most=_MOST, do="pass networks=3"
            )

    def adapt(self, rows: int | None, start: Self | None = None) -> None:
        """Choose the number of networks, if the user left it out."""
        if self._automatic and start is None:
            self.networks = choose_count(rows, self.summaries)

    def check_start(self, other: Any) -> None:
        """Take the number of the networks to start from, if the user left it out; then check."""
        if self._automatic and isinstance(other, type(self)):
            self.networks = other.networks
        super().check_start(other)

    def configuration(self) -> dict[str, Any]:
        """Return what other estimators do, and the number of networks if it is not one."""
        several = {"networks": self.networks} if self.networks > 1 else {}
        return {**super().configuration(), **several}

    def untrained(self) -> Self:
        new = super().untrained()
        new._automatic = self._automatic
        return new


class AmortizedPosterior(SeveralNetworks, TrainedPosterior):
    """A posterior for every possible observation of a simulator.

    Parameters
    ----------
    simulator : Simulator
    summary : Summary, or dict of observable to Summary
        A network outside a dict sees all observables side by side, as channels. In a dict, a
        network sees its own observable, or several: ``{"cases, deaths": ConvLSTM(64)}``. Where none
        is given, the declared observables decide, and training prints why:

        - up to 20 numbers, or 8 of a series: left as they are
        - series (with coordinates, with lengths, or (steps, channels)): ``ConvLSTM``, which knows
          the place of each step, and adds a linear map of all, where coordinates are declared;
          series of as many steps are seen side by side
        - other vectors: ``MLP``
        - (height, width, channels): ``ConvImage``

        Pass ``DeepSet`` or ``SetTransformer`` for exchangeable data, ``Transformer`` for steps at
        irregular times, and your own network for more axes. A warning tells where a default reads
        rows in order although simulations show none.
    flow : Flow
        By default four coupling blocks of an affine map and a spline; for more than 12 parameters,
        six affine blocks. Between blocks parameters are rotated, or permuted if some are integers.
        For a parameter that is an image, pass ``bi.flows.image(shape=...)``.
    networks : int
        Number of networks (summaries and flow) of equal shape, trained independently on the same
        simulations. The posterior is the mean of their densities. Several overfit less than one;
        training takes as many times longer. By default three for up to 200,000 simulations that are
        given as arrays or in a bank that fits into memory, as many as ``start_from`` has, else one.
        A loaded posterior keeps its number.

    Attributes
    ----------
    history : DataFrame
        One row per epoch of the last training: step, loss, learning rate, failed simulations, and
        val_loss if there was a validation set. The loss is the mean of -log q(parameters | data) in
        nats, on the parameters' own scale. It may be negative; it can't fall below the expected
        entropy of the posterior. Of several networks, ``loss`` is the mean of their losses, and
        ``val_loss`` that of their mean density. Flows that declare ``nats = False`` have losses
        of their own.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,))
    ... )
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> posterior.sample({"y": 1.5}, draws=100, seed=2)["x1"].shape
    (100,)
    """

    def __init__(
        self,
        simulator: Simulator,
        summary: Summary | Mapping[str, Summary | None] | None = None,
        flow: Flow | None = None,
        networks: int | None = None,
    ) -> None:
        check_simulator(simulator)
        recommended = simulator.recommended
        summary = recommended.summary if summary is None else summary
        choice = choose_summaries(simulator, summary)
        flow = recommended.flow if flow is None else flow
        flow = choose_flow(flow, layout_of(simulator.prior))
        self.assemble(simulator, {"summaries": choice.networks, "flow": flow, "networks": networks})
        self._reasons = choice.reasons

    def assemble(self, simulator: Simulator | None, configuration: Mapping[str, Any]) -> None:
        super().assemble(simulator, configuration)
        self.set_count(configuration.get("networks", 1))

    def model_of(self, data: DataSpace, seed: int) -> PosteriorModel:
        return build_model(self.simulator, self.summaries, self.flow, data, seed, self.networks)

    def check_start(self, other: Any) -> None:
        """Refuse also a start with another number of unconstrained parameters."""
        super().check_start(other)
        size = layout_of(self.simulator.prior).dimension
        its_size = other.model.parameters.dimension
        if size != its_size:
            raise InputError(
                "Argument 'start_from'",
                expected=f"a posterior with a prior of {size} unconstrained parameters",
                got=f"one of {its_size}",
                do="start from a posterior of the same parameters, or from new weights",
            )
