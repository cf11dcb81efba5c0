"""The amortized posterior: train once, then answer any observation with the same network.

First the estimators; the last is the one that users train. Then what an estimator with summaries
measures on simulations, or reads again: the space of its data, its model, and what observations are
compared with.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.compilation import check_precision, map_tensors
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError, check_draws, check_integer, warn
from bayesinn.core.files import FLOATS, SavedModel
from bayesinn.core.process import Background
from bayesinn.estimators.estimator import Estimator
from bayesinn.estimators.fitting_data import PILOT_SIMULATIONS, pilot_rows, require_simulator
from bayesinn.flows import Flow
from bayesinn.posterior.answers import Draws, Evaluator, TrainedGiven, density_of, require_draws
from bayesinn.posterior.damage import KINDS, NO_TREES, damaged_copies
from bayesinn.posterior.defaults import (
    choose_count,
    choose_posterior_flow,
    choose_summaries,
    warn_of_sets,
)
from bayesinn.posterior.model import PosteriorModel, PosteriorNetwork
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import Reference, grow_trees, learnable_damage
from bayesinn.simulation.digits import warn_of_lost_digits
from bayesinn.simulation.simulations import take
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.spaces.observations import (
    Observations,
    check_observations,
    check_parameters,
    data_shapes,
    warn_of_missing,
)
from bayesinn.spaces.parameters import ParameterSpace, layout_of
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import masked_gaps, observables_of, scaled_alike, seen_raw
from bayesinn.training.trainable import count_weights

if TYPE_CHECKING:
    import pandas as pd


#: Entries of a posterior's manifest beside those that all estimators have.
SCHEMA = {
    "network": {"summaries": {str: dict}, "flow": dict},
    "compression": {str: (float, type(None))},
}


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
            It is -inf outside the support. For integer parameters it is a probability; of integers
            without an end, or of more than 256 values, the integral over the interval that stands
            for the integer.

        Raises
        ------
        InputError
            As for :meth:`sample`, and if parameters don't match the data, the flow has no density,
            or there are more than three such integrals, as these would take too long.

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

        There is none for more than three angles, unit vectors and integers of many values together.
        """
        if self.trained:
            return self.evaluator.density
        layout = layout_of(self.simulator.prior)
        return density_of(self.flow, layout.auxiliary - self.flow.categorical * layout.categories)

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
          series of as many steps are seen side by side; ``Steps`` where parameters have the
          coordinates of the series, and are series themselves
        - other vectors: ``MLP``
        - (height, width, channels): ``ConvImage``

        Pass ``DeepSet`` or ``SetTransformer`` for exchangeable data, ``Transformer`` for steps at
        irregular times, and your own network for more axes. A warning tells where a default reads
        rows in order although simulations show none.
    flow : Flow
        By default four coupling blocks of an affine map and a spline; for more than 12 parameters,
        six affine blocks. Between blocks parameters are rotated, or permuted if some are integers.
        Integers of at most 256 values get a probability for each: ``bi.flows.Categorical`` is put
        around a flow that reads features alone. Parameters (steps,) with the coordinates of a
        series of data get ``bi.flows.Path``.
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
        flow = recommended.flow if flow is None else flow
        flow = choose_posterior_flow(flow, simulator)
        choice = choose_summaries(simulator, summary, flow)
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


def measured_data(
    simulator: Simulator, summaries: Mapping[str, Summary], rows: Arrays
) -> DataSpace:
    """Return the space of the data that these networks see, standardised on rows (n, ...)."""
    return DataSpace.fit(
        rows,
        observables=tuple(simulator.observable_shapes),
        context=simulator.context_names,
        lengths=simulator.lengths,
        raw=seen_raw(summaries),
        missing=simulator.missing is not None,
        alike=scaled_alike(summaries),
        gaps=left_out(simulator, summaries),
    )


def saved_data(
    saved: SavedModel, simulator: Simulator, summaries: Mapping[str, Summary]
) -> DataSpace:
    """Return the space of the data that a simulator declares, with the scalings that were saved."""
    shapes = data_shapes(simulator)
    scalings = {}
    one_scale = {*simulator.lengths, *scaled_alike(summaries)}
    for name, shape in shapes.items():
        # One number for each channel, or for all steps of a series of varying length.
        own = () if name in one_scale and len(shape) == 1 else shape[-1:]
        scalings[name] = saved_scaling(saved, "data", name, own)
    return DataSpace(
        scalings,
        observables=tuple(simulator.observable_shapes),
        context=simulator.context_names,
        lengths=simulator.lengths,
        raw=seen_raw(summaries),
        missing=simulator.missing is not None,
        gaps=left_out(simulator, summaries),
    )


def saved_scaling(saved: SavedModel, group: str, name: str, shape: tuple[int, ...]) -> Scaling:
    """Return the scaling of a variable, with mean and scale of a shape in a group of the file.

    A ValueError refuses a compression that no scaling has.
    """
    compress = saved.entries["compression"][name]
    if compress is not None and not 0.0 < compress < float("inf"):
        raise ValueError(f"compression {compress!r} of {name!r}")
    place = f"{group}/{name}"
    # In double precision where single precision would rob data of digits.
    mean, scale = (saved.array(f"{place}/{part}", shape, FLOATS) for part in ("mean", "scale"))
    return Scaling(compress, mean, scale)


def left_out(simulator: Simulator, summaries: Mapping[str, Summary]) -> dict[str, list[str]]:
    """Return the observables without any value at a step that their network leaves out."""
    if simulator.missing is None:
        return {}
    # A share of zero leaves the pattern to the simulator.
    return masked_gaps(summaries, at_random=simulator.missing > 0.0)


def new_summaries(simulator: Simulator, summaries: Mapping[str, Summary]) -> dict[str, Summary]:
    """Return copies that have no weights yet, and know the coordinates of their data."""
    copies = {key: clone(value) for key, value in summaries.items()}
    for key, summary in copies.items():
        known = simulator.labels.coordinates.get(observables_of(key)[0])
        if known is not None:
            summary.locate(known.numbers)
    return copies


def build_model(
    simulator: Simulator,
    summaries: Mapping[str, Summary],
    flow: Flow,
    data: DataSpace,
    seed: int,
    networks: int = 1,
) -> PosteriorModel:
    """Return a model with new networks that have no weights yet; the same for the same seed."""
    check_precision()
    parameters = ParameterSpace(simulator.prior, seed, flow.categorical)
    with seeds.seeded_initial_weights(seed):
        members = [_new_network(simulator, parameters, summaries, flow) for _ in range(networks)]
        return PosteriorModel(parameters, data, members)


def _new_network(
    simulator: Simulator, parameters: ParameterSpace, summaries: Mapping[str, Summary], flow: Flow
) -> PosteriorNetwork:
    """Return a network of copies that have no weights yet."""
    own_summaries = new_summaries(simulator, summaries)
    for summary in own_summaries.values():
        summary.bind(parameters)
    own_flow = clone(flow)
    own_flow.bind(parameters)
    return PosteriorNetwork(own_summaries, own_flow)


def describe_model(name: str, model: PosteriorModel, reasons: Mapping[str, str] = {}) -> str:
    """Write what is about to be trained: scalings, networks and reasons for them, weights."""
    count = model.parameters.dimension
    lines = [f"{name}: {count} unconstrained parameter{'s' * (count != 1)}"]
    summaries = model.network.summaries
    keys = {observable: key for key in summaries for observable in observables_of(key)}
    for variable, scaling in model.data.scalings.items():
        key = keys.get(variable)
        if key is None:
            network = "context"
        elif key == variable:
            network = f"{summaries[key]!r}{_because(reasons.get(key))}"
        else:
            network = f"network of {key}"
        seen = "as simulated" if variable in model.data.raw else str(scaling)
        lines.append(f"  {variable}: {seen}; {network}")
    for key, summary in summaries.items():
        if key not in keys:
            lines.append(f"  {key}: {summary!r}{_because(reasons.get(key))}")
    several = f"{len(model.members)} networks; " if len(model.members) > 1 else ""
    flow = model.members[0].flow
    lines.append(f"  flow: {flow!r}; {several}{count_weights(model):,} weights in all")
    return "\n".join(lines)


def _because(reason: str | None) -> str:
    return "" if reason is None else f" ({reason})"


def _observables_in(summaries: Mapping[str, Summary], order: str) -> list[str]:
    """Return the observables that summaries of sets, or of series, see."""
    chosen = [key for key, summary in summaries.items() if summary.order == order]
    return [name for key in chosen for name in observables_of(key)]


class Compared(NamedTuple):
    """Simulations (n, ...) that new observations are compared with.

    Elements of ``pooled`` observables are exchangeable or vary in number, those of ``series`` have
    an order; ``counts`` names the number of valid elements of others.
    """

    data: Arrays
    pooled: Sequence[str]
    series: Sequence[str]
    counts: Mapping[str, str]


def compared_rows(model: PosteriorModel, rows: Arrays) -> Compared:
    """Return the first 4,096 of rows (n, ...) with at least observables and context."""
    summaries = model.network.summaries
    data = {name: rows[name][:PILOT_SIMULATIONS] for name in model.data.scalings}
    pooled = _observables_in(summaries, "set")
    series = _observables_in(summaries, "series")
    return Compared(data, pooled, series, model.data.lengths)


def detect_damage(space: DataSpace, compared: Compared) -> list[np.ndarray]:
    """Train trees that detect damaged data; nothing of it depends on the networks."""
    data = compared.data
    first = _standardised(space, take(data, slice(2)))
    # Copies of many images would not fit into memory, and nothing is learned of them.
    kinds = learnable_damage(first, compared.pooled, compared.series)
    copies = damaged_copies(data, space.observables, compared.series, compared.counts, kinds)
    inputs = _standardised(space, data)
    damaged = {kind: _standardised(space, copy) for kind, copy in copies.items()}
    return grow_trees(inputs, damaged, compared.pooled, compared.series)


def measure_reference(
    evaluator: Evaluator, compared: Compared, trees: Sequence[np.ndarray]
) -> Reference:
    """Return what new observations are compared with; ``trees`` are of :func:`detect_damage`."""
    condition, inputs = evaluator.condition(compared.data)
    vectors = np.asarray(evaluator.model.network.compared(condition))
    return Reference.fit(vectors, inputs, compared.pooled, compared.series, trees)


def _standardised(space: DataSpace, data: Arrays) -> Arrays:
    return map_tensors(np.asarray, space.standardise(map_tensors(tf.convert_to_tensor, data)))


def saved_reference(saved: SavedModel, model: PosteriorModel, simulator: Simulator) -> Reference:
    """Return what observations are compared with."""
    # Statistics of simulations that overflow are infinite.
    reference = Reference(
        **{
            name: saved.array(f"reference/{name}", (None,) * axes, kind, name != "held_out")
            for name, (axes, kind) in Reference.FIELDS.items()
        }
    )
    ones = two_data_sets(simulator)
    # What doesn't fit would fail with the first observation.
    with saved.explained_weights():
        inputs = {name: value.numpy() for name, value in model.data.standardise(ones).items()}
        condition = model.network.placeholder_condition(*model.data.to_network(ones))
        reference.check(model.network.compared(condition).numpy(), inputs)
    return reference


def two_data_sets(simulator: Simulator) -> dict[str, tf.Tensor]:
    """Return two observations of ones."""
    shapes = data_shapes(simulator)
    return {name: tf.ones((2, *shape)) for name, shape in shapes.items()}
