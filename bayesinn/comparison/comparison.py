"""Amortized comparison of models: the probability of each simulator, given data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from bayesinn.bijections.condition import FEATURES
from bayesinn.comparison.compatible import check_simulators, check_weights
from bayesinn.comparison.model import MODEL, ComparisonModel, ModelFlow
from bayesinn.comparison.rows import Rows
from bayesinn.core import seeds
from bayesinn.core.configuration import clone
from bayesinn.core.environment import check_precision
from bayesinn.core.errors import InputError
from bayesinn.core.precision import full_precision
from bayesinn.core.storage import SavedModel
from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.model_calibration import ModelCalibration, model_calibration
from bayesinn.estimators.facts import state_text
from bayesinn.estimators.fitting import training_seed
from bayesinn.estimators.loading import SIMULATOR
from bayesinn.estimators.training_data import pilot_rows
from bayesinn.posterior.building import measured_data, new_summaries
from bayesinn.posterior.defaults import choose_summaries, refuse_trained_first
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.posterior.saved import SCHEMA, saved_data, two_data_sets
from bayesinn.posterior.summarised import Summarised
from bayesinn.simulation import checks, identity
from bayesinn.simulation.simulations import join, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.summaries import Summary
from bayesinn.training.settings import Checkpoint, Optimization
from bayesinn.training.trainable import count_weights

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
    >>> comparison = bi.ModelComparison([bi.get("linear"), wide])
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
        self.weights = check_weights(weights, self.names)
        self._identities: list[dict[str, Any] | None] = [None] * len(self.simulators)
        flow = ModelFlow(len(self.simulators), hidden)
        summaries = choose_summaries(self.declares, summary).networks
        refuse_trained_first(summaries)
        super().__init__(None, summaries, flow)

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

    @classmethod
    def from_configuration(cls, simulator: Any, configuration: Mapping[str, Any]) -> Self:
        """Return an untrained one of these simulators, from a :meth:`configuration`."""
        flow = configuration["flow"]
        return cls(simulator, configuration["summaries"], configuration["weights"], flow.hidden)

    def untrained(self) -> Self:
        return self.from_configuration(self.simulators, self.configuration())

    def trainable(self, rows: Arrays, seed: int) -> ComparisonModel:
        """Return summaries and classifier, standardised on rows (n, ...)."""
        pilot = pilot_rows(rows)
        return self._model_of(measured_data(self.declares, self.summaries, pilot))

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

    def restore(self, saved: SavedModel) -> ComparisonModel:
        self._identities = [identity.kept_in(part) for part in saved.entries["models"]]
        model = self._model_of(saved_data(saved, self.declares, self.summaries))
        inputs = model.data.to_network(two_data_sets(self.declares))
        model.network.build_weights(tf.zeros((2, 1)), *inputs)
        return model

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.names))
        title = f"{type(self).__name__} of {names}, {state_text(self)}"
        return self.list_networks(title, f"classifier: {self.flow!r}")

    def _model_of(self, data: DataSpace) -> ComparisonModel:
        check_precision()
        networks = new_summaries(self.declares, self.summaries)
        return ComparisonModel(data, PosteriorNetwork(networks, clone(self.flow)))

    @full_precision()
    def _log_probs(self, features: np.ndarray) -> np.ndarray:
        flow = self.model.network.flow
        assert isinstance(flow, ModelFlow)
        # In double precision, where a probability is near one.
        return log_softmax(np.asarray(flow.log_probs(features), np.float64), axis=1)
