"""Amortized comparison of models: the probability of each simulator, given data."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
from scipy import stats
from scipy.special import log_softmax

from bayesinn.bijections.bijection import FEATURES
from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.compilation import check_precision, full_precision
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.core.files import SavedModel
from bayesinn.diagnostics.model_calibration import ModelCalibration, model_calibration
from bayesinn.estimators.estimator import training_seed
from bayesinn.estimators.fitting_data import (
    InMemory,
    TrainingData,
    Validation,
    training_data,
)
from bayesinn.estimators.loading import SIMULATOR
from bayesinn.flows import Flow
from bayesinn.posterior.amortized import SCHEMA, Summarised, measured_data, new_summaries
from bayesinn.posterior.answers import Draws
from bayesinn.posterior.defaults import choose_summaries, refuse_trained_first
from bayesinn.posterior.model import Inputs, PosteriorModel, PosteriorNetwork
from bayesinn.simulation import checks, identity
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.prior_text import prior_text, same_laws
from bayesinn.simulation.simulations import join, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.summaries import Summary
from bayesinn.training.settings import Checkpoint, Optimization
from bayesinn.training.trainable import Batch, count_weights

#: Number of the model that simulated a row.
MODEL = "model"


class ModelFlow(Flow):
    """The distribution of the number of a model, an event (1,), given features: a softmax.

    Parameters
    ----------
    classes : int, number of models
    hidden : sequence of int, units of hidden layers
    activation : str, name of a Keras activation
    """

    draws = False

    def __init__(
        self, classes: int, hidden: Sequence[int] = (64, 64), activation: str = "silu"
    ) -> None:
        super().__init__()
        self.classes = check_integer("ModelFlow, argument 'classes'", classes, least=2)
        self.hidden = tuple(hidden)
        self.activation = activation

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        layers = [keras.layers.Dense(units, self.activation) for units in self.hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(self.classes)])
        self.network.build((None, condition_shape[0]))
        super().build(event_shape, condition_shape)

    def log_probs(self, features: tf.Tensor) -> tf.Tensor:
        """Return log probabilities (n, classes) given features (n, c)."""
        return tf.nn.log_softmax(self.network(features))

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        chosen = tf.cast(x[:, 0], tf.int32)
        return tf.gather(self.log_probs(condition), chosen, batch_dims=1)


class ComparisonModel(PosteriorModel):
    """The parts of q(model | data); its loss is the log score, which is proper."""

    def __init__(self, data: DataSpace, network: PosteriorNetwork) -> None:
        self.data = data
        self.network = network
        self._members = (network,)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return models (n, 1), inputs and masks of a raw batch, and zero (n,)."""
        vector = tf.cast(batch[MODEL], tf.float32)[:, None]
        return (vector, *self.data.to_network(batch)), tf.zeros_like(vector[:, 0])

    @property
    def width(self) -> int:
        return 1

    def arrays(self) -> dict[str, np.ndarray]:
        return self.data.arrays()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Do nothing: there are no parameters."""


# Smallest p-value, over all models, of frequencies that may still be those of the weights.
_LEAST_LIKELY = 1e-6


@dataclass(frozen=True)
class Rows:
    """Arrays (n, ...) that a user gave: data as a simulator declares them, and which model's.

    Models have the probabilities ``weights`` (models,).
    """

    arrays: Any
    simulator: Simulator
    weights: np.ndarray

    def checked(self, subject: str) -> Arrays:
        """Return them, or say what is wrong."""
        arrays = check_simulations(self.simulator, self.arrays, subject, {MODEL: ()})
        count = len(self.weights)
        if not np.isin(arrays[MODEL], np.arange(count)).all():
            raise InputError(
                subject,
                expected=f"numbers from 0 to {count - 1} as {MODEL!r}",
                got=f"{arrays[MODEL].min()} to {arrays[MODEL].max()}",
                do="pass what simulate(n, seed) returns",
            )
        self._check_frequencies(arrays[MODEL].astype(int).ravel(), f"{subject}, {MODEL!r}")
        return arrays

    def _check_frequencies(self, models: np.ndarray, subject: str) -> None:
        """Refuse models (n,) that are not as frequent as their weights say.

        The classifier would learn these frequencies, and Bayes factors divide by the weights.
        """
        counts = np.bincount(models, minlength=len(self.weights))
        # Exact tests: those of expected counts below one have no chi-square distribution.
        p_values = [
            stats.binomtest(int(count), len(models), float(weight)).pvalue
            for count, weight in zip(counts, self.weights, strict=True)
        ]
        if len(counts) * min(p_values) >= _LEAST_LIKELY:
            return
        raise InputError(
            subject,
            expected=f"models as often as their weights say: {_listed(self.weights)}",
            got=f"shares {_listed(counts / len(models))} of {len(models):,} rows",
            do="pass weights=[...] with the shares, or as many rows of each as weights say",
        )


def _listed(shares: np.ndarray) -> str:
    return ", ".join(f"{share:.3g}" for share in shares)


@training_data.register
def _(data: Rows, simulator: None, validation: Validation, seed: int) -> TrainingData:
    apart = isinstance(validation, Mapping)
    given = InMemory(None, data.checked("Training data"), 0.0 if apart else validation, seed)
    if apart:
        given.held_out = replace(data, arrays=validation).checked("Validation data")
    return given


def check_weights(
    weights: Sequence[float] | Mapping[str, float] | None, names: Sequence[str]
) -> np.ndarray:
    """Return prior probabilities of the models, in their order."""
    if weights is None:
        return np.full(len(names), 1.0 / len(names))
    subject = "ModelComparison, argument 'weights'"
    wrong = InputError(
        subject,
        expected=f"{len(names)} positive numbers, one for each of {', '.join(map(repr, names))}",
        got=f"{weights}",
        do="leave them out if all models are equally probable",
    )
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise wrong
        weights = [weights[name] for name in names]
    given = numbers(subject, weights)
    if given.shape != (len(names),) or not np.all(given > 0.0) or not np.isfinite(given).all():
        raise wrong
    return given / given.sum()


def check_simulators(simulators: Any) -> tuple[Simulator, ...]:
    """Return simulators that can be compared: of different names, with the same data."""
    subject = "ModelComparison, argument 'simulators'"
    do = "pass a list of two or more simulators, such as [bi.get_simulator('a'), other]"
    check_type(subject, simulators, (list, tuple), "a list of simulators", do)
    for simulator in simulators:
        check_type(f"{subject}, each", simulator, Simulator, "a Simulator", do)
    if len({simulator.name for simulator in simulators}) < max(2, len(simulators)):
        raise InputError(
            subject,
            expected="two or more, of different names",
            got=f"{[simulator.name for simulator in simulators]}",
            do=do,
        )
    for first, other in itertools.combinations(simulators, 2):
        _check_pair(subject, first, other)
    if MODEL in simulators[0].observable_shapes or MODEL in simulators[0].context_names:
        raise InputError(
            subject,
            expected=f"no variable of the name {MODEL!r}, which numbers the simulators",
            got="one",
            do="rename it",
        )
    return tuple(simulators)


def _check_pair(subject: str, first: Simulator, other: Simulator) -> None:
    """Refuse two models whose data differ in more than how they are made.

    Units and coordinates that one model leaves out are taken from the other.
    """
    data = {name for kind in ("observables", "context") for name in first.shapes[kind]}
    measured = data & first.labels.units.keys() & other.labels.units.keys()
    placed = data & first.labels.coordinates.keys() & other.labels.coordinates.keys()
    expected = _declared(first, measured, placed)
    got = _declared(other, measured, placed)
    for kind, value in expected.items():
        if got[kind] != value:
            raise InputError(
                subject,
                expected=f"the same {kind} of all models: {value}",
                got=f"{got[kind]} of {other.name!r}",
                do="declare and return the same with each simulator",
            )
    # Otherwise context alone would favour a model.
    contexts = [part.context for part in (first, other) if part.context]
    if not same_laws(*contexts):
        laws = [prior_text(context) for context in contexts]
        raise InputError(
            subject,
            expected=f"the same distributions of context in all models: {laws[0]}",
            got=f"{laws[1]} in {other.name!r}",
            do="declare the same context={...} with each simulator",
        )


def _declared(
    simulator: Simulator, measured: Collection[str], placed: Collection[str]
) -> dict[str, Any]:
    """Return what all models must declare alike, by kind.

    Units and coordinates are those of the variables that both models declare them for.
    """
    labels = simulator.labels
    return {
        "observables": simulator.shapes["observables"],
        "context": simulator.shapes["context"],
        "lengths": simulator.lengths,
        # The share of lost values alone would tell models apart.
        "missing values": simulator.missing,
        "units": {name: labels.units[name] for name in sorted(measured)},
        "coordinates": {name: labels.coordinates[name].values.tolist() for name in sorted(placed)},
    }


# By default, to train on and to calibrate on.
_TRAINING_ROWS = 20_000
_CALIBRATION_ROWS = 10_000


class ModelComparison(Summarised):
    """Probabilities of several simulators, given data, and their Bayes factors.

    Models share summary networks. These are trained with a classifier on simulations of all models,
    with the log score: the exact probabilities minimise it. Data that no model makes have
    probabilities, too: look at the p-value. Where simulations that fail are drawn again, a model's
    prior is that of parameters that succeed.

    Parameters
    ----------
    simulators : sequence of Simulator
        Two or more, with different names and the same observables and context, in the same units.
        Distributions of the context must be equal.
    summary : Summary, or dict of observable to Summary
        As for :class:`AmortizedPosterior`, but without losses of its own.
    weights : sequence of float, or dict of name of a model to float
        Prior probabilities of the models, or numbers in their ratio; by default equal.
    hidden : sequence of int, units of the hidden layers of the classifier

    References
    ----------
    Radev et al. (2021), Amortized Bayesian model comparison with evidential deep learning,
    arXiv:2004.10629. Elsemueller et al. (2024), A deep learning method for comparing Bayesian
    hierarchical models, arXiv:2301.11873.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow_probability as tfp
    >>> wide = bi.simulator(prior={"x1": tfp.distributions.Normal(0.0, 3.0)}, name="wide")(
    ...     lambda parameters, seed: {"y": parameters["x1"]}
    ... )
    >>> comparison = bi.ModelComparison([bi.get_simulator("linear"), wide])
    >>> _ = comparison.fit(comparison.simulate(500, seed=1), epochs=2, seed=1, progress=False)
    >>> probabilities = comparison.probabilities({"y": 9.0})
    >>> round(float(sum(probabilities.values())), 5), sorted(probabilities)
    (1.0, ['linear', 'wide'])
    """

    schema: ClassVar[Mapping[str, Any]] = {**SCHEMA, "models": [{"simulator": SIMULATOR}]}
    ask = (
        "bayesinn models --saved FOLDER --data FILE asks it; in Python, bi.load(folder) has "
        "probabilities(data), and calibration() in place of bi.diagnose"
    )
    flow: ModelFlow

    def __init__(
        self,
        simulators: Sequence[Simulator],
        summary: Summary | Mapping[str, Summary | None] | None = None,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        self.simulators = check_simulators(simulators)
        choice = choose_summaries(self.declares, summary)
        refuse_trained_first(choice.networks)
        configuration = {
            "summaries": choice.networks,
            "flow": ModelFlow(len(self.simulators), hidden),
            "weights": check_weights(weights, self.names),
        }
        self.assemble(self.simulators, configuration)
        self._reasons = choice.reasons

    def assemble(self, simulator: Any, configuration: Mapping[str, Any]) -> None:
        super().assemble(None, configuration)
        self.simulators = tuple(simulator)
        self.weights = np.array(configuration["weights"])
        self._identities: list[dict[str, Any] | None] = [None] * len(self.simulators)

    @property
    def declares(self) -> Simulator:
        """The simulator with the most declared coordinates: they are those of all models."""
        return max(self.simulators, key=lambda simulator: len(simulator.labels.coordinates))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(simulator.name for simulator in self.simulators)

    def simulate(self, n: int, seed: int, stream: str = "simulations") -> Arrays:
        """Return observables and context (n, ...) of all models, and ``model``, a number (n,).

        Models are drawn with their prior probabilities.
        """
        check_integer("Number of simulations", n, least=len(self.names))
        generator = seeds.generator(seed, "models", seeds.stream_number(stream))
        counts = generator.multinomial(n, self.weights)
        parts = []
        for number, (simulator, count) in enumerate(zip(self.simulators, counts, strict=True)):
            if not count:
                continue
            drawn = simulator.draw(int(count), seed, f"{stream} of model {number}")
            checks.check_finite(simulator, drawn)
            model = np.full(count, number, np.int32)
            typed = drawn.cast(simulator.observable_types)
            parts.append({**typed.observables, **typed.context, MODEL: model})
        order = generator.permutation(n)
        # In a type for the numbers of all models: one may count what another measures.
        return take(join(parts), order)

    def fit(  # type: ignore[override]
        self,
        data: Mapping[str, Any] | None = None,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        start_from: Self | None = None,
        validation: float | Mapping[str, Any] | None = None,
        optimization: Optimization = Optimization(),
        checkpoint: str | Path | Checkpoint | None = None,
        progress: bool = True,
    ) -> Self:
        """Train on the output of :meth:`simulate`, by default 20,000 simulations.

        All other arguments are as for other estimators that are trained on arrays.
        """
        if data is None:
            if start_from is not None:
                self.check_start(start_from)
            data = self.simulate(_TRAINING_ROWS, training_seed(seed, start_from))
        # Now: a program may be another when this is saved.
        identities = [identity.entries(simulator) for simulator in self.simulators]
        super().fit(
            Rows(data, self.declares, self.weights),  # type: ignore[arg-type]
            steps=steps,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            start_from=start_from,
            validation=validation,
            optimization=optimization,
            checkpoint=checkpoint,
            progress=progress,
        )
        self._identities = [*identities]
        return self

    def probabilities(self, data: Mapping[str, Any]) -> Draws:
        """Return the posterior probability of each model.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), observables and context
            Or one observation, without the first axis.

        Returns
        -------
        Draws
            Dict of model to array (n_obs,), or to a number; with ``p_value``, ``unusual`` and
            ``out_of_distribution`` for each observation. A small p-value means that no model makes
            such data: the probabilities then mean nothing.
        """
        observations, condition, inputs = self.encode_data(data)
        values = np.exp(self._log_probs(condition[FEATURES]))
        typical = self.reference.compare(np.asarray(self.model.network.compared(condition)), inputs)
        rows = dict(zip(self.names, values.T, strict=True))
        return Draws.of(rows, typical, observations)

    def log_bayes_factors(self, data: Mapping[str, Any], against: str | None = None) -> Arrays:
        """Return the log Bayes factor of each model against one model, by default the first.

        The result is a dict of model to array (n_obs,), or to a number, in nats.
        """
        name = self.names[0] if against is None else against
        if name not in self.names:
            raise InputError(
                "Argument 'against'",
                expected=f"a model out of {list(self.names)}",
                got=repr(name),
                do="name one",
            )
        observations, condition, _ = self.encode_data(data)
        # Without the prior odds.
        evidence = self._log_probs(condition[FEATURES]) - np.log(self.weights)
        factors = evidence - evidence[:, [self.names.index(name)]]
        return dict(zip(self.names, observations.like_data(factors).T, strict=True))

    def calibration(
        self,
        simulations: int | None = None,
        seed: int = 0,
        *,
        data: Mapping[str, Any] | None = None,
    ) -> ModelCalibration:
        """Return how far probabilities can be trusted, on fresh simulations of all models.

        Parameters
        ----------
        simulations : int, by default 10,000
        seed : int
        data : dict of name to array (n, ...)
            Simulations to use in place of fresh ones, as of :meth:`simulate`, that the comparison
            was not trained on.
        """
        if data is None:
            count = _CALIBRATION_ROWS if simulations is None else simulations
            rows = self.simulate(count, seed, "diagnosis")
        elif simulations is None:
            rows = dict(Rows(data, self.declares, self.weights).checked("Argument 'data'"))
        else:
            raise InputError(
                "Simulations to calibrate on",
                expected="data, or a number",
                got=f"both, simulations={simulations!r}",
                do="leave one of them out",
            )
        truth = rows.pop(MODEL).astype(int)
        found = self.probabilities(rows)
        probabilities = np.stack(list(found.values()), axis=1)
        return model_calibration(truth, probabilities, self.names, seed=seed)

    @property
    def model(self) -> ComparisonModel:
        """The trained model: data space and network."""
        model = super().model
        assert isinstance(model, ComparisonModel)
        return model

    def configuration(self) -> dict[str, Any]:
        """Return summaries, classifier and prior probabilities, by name."""
        weights = tuple(self.weights.tolist())
        return {"summaries": self.summaries, "flow": self.flow, "weights": weights}

    def untrained(self) -> Self:
        return self.from_configuration(self.simulators, self.configuration())

    def model_of(self, data: DataSpace, seed: int) -> ComparisonModel:
        check_precision()
        networks = new_summaries(self.declares, self.summaries)
        return ComparisonModel(data, PosteriorNetwork(networks, clone(self.flow)))

    def measured_data(self, rows: Arrays) -> DataSpace:
        return measured_data(self.declares, self.summaries, rows)

    def check_rows(self, model: ComparisonModel, rows: Arrays) -> None:  # type: ignore[override]
        """Do nothing: rows were checked when they were given."""

    def describe_training(self, model: ComparisonModel) -> str:  # type: ignore[override]
        return f"{self!r}; {count_weights(model):,} weights"

    def entries(self) -> dict[str, Any]:
        known = zip(self.simulators, self._identities, strict=True)
        models = [
            {"simulator": simulator.reference(), **(kept or identity.entries(simulator))}
            for simulator, kept in known
        ]
        return {**super().entries(), "models": models}

    def built(self, saved: SavedModel) -> PosteriorModel:
        self._identities = [identity.kept_in(part) for part in saved.entries["models"]]
        return super().built(saved)

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.names))
        title = f"{type(self).__name__} of {names}, {self.state_text}"
        return self.list_networks(title, f"classifier: {self.flow!r}")

    @full_precision()
    def _log_probs(self, features: np.ndarray) -> np.ndarray:
        flow = self.model.network.flow
        assert isinstance(flow, ModelFlow)
        # In double precision, where a probability is near one.
        return log_softmax(np.asarray(flow.log_probs(features), np.float64), axis=1)
