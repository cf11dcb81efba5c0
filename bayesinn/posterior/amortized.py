"""The amortized posterior: train once, then answer any observation in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.configuration import clone, describe
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.posterior.defaults import check_estimate, choose_flow, choose_summaries
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.learner import Learner
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.posterior.offline import check_consistent, check_support, fingerprint, offline_arrays
from bayesinn.posterior.pilot_reference import pilot_reference
from bayesinn.posterior.plan import training_plan
from bayesinn.posterior.sampling import Sampler
from bayesinn.posterior.typicality import Reference
from bayesinn.posterior.warm_start import check_start, later_seed, take_over
from bayesinn.simulation import checks
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.observations import check_observations, check_parameters
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import seen_raw
from bayesinn.training.checkpoint import has_ended, prepare_folder
from bayesinn.training.round_trip import posterior_monitor
from bayesinn.training.settings import TrainingSettings, training_length
from bayesinn.training.sources import ArraySource, Source, training_source
from bayesinn.training.stored import stored_source, with_what_is_known
from bayesinn.training.train import TrainingResult, broken_training, train

if TYPE_CHECKING:
    import xarray

_PILOT_SIMULATIONS, _FEWEST_PILOT_SIMULATIONS = 2048, 512


class AmortizedPosterior:
    """A posterior for every possible observation of a simulator.

    Parameters
    ----------
    simulator : Simulator
    summary : Summary, or dict of observable to Summary
        One network for several observables, such as ``{"cases, deaths": ConvLSTM(64)}``, sees them side by side, as
        channels; a network that isn't in a dict sees all observables so. What is left out is chosen by shape: the data
        themselves for a number or a vector of up to eight, Conv + LSTM for more and for (steps, channels), which are
        taken for series, those of as many steps side by side; observables with more axes need a network of yours. Pass
        ``MLP`` for a long vector of unrelated numbers, ``DeepSet`` or ``SetTransformer`` for exchangeable data.
    flow : Flow
        Six affine coupling blocks if left out.

    Attributes
    ----------
    history : DataFrame
        One row per epoch of the last training: step, loss, learning rate, failed simulations, and val_loss if there
        was a validation set. The loss is the mean of -log q(parameters | data) in nats, on the parameters' own
        scale; it may be negative, and it can't get below the posterior's expected entropy.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(bi.get("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,)))
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> posterior.sample({"y": 1.5}, draws=100, seed=2)["x1"].shape
    (100,)
    """

    def __init__(
        self,
        simulator: Simulator,
        summary: Summary | Mapping[str, Summary | None] | None = None,
        flow: Flow | None = None,
    ) -> None:
        if not isinstance(simulator, Simulator):
            raise InputError(
                "Argument 'simulator'",
                expected="a Simulator",
                got=type(simulator).__name__,
                do="decorate the function with @bi.simulator, or fetch one with bi.get(name)",
            )
        self.simulator = simulator
        self.summaries = choose_summaries(simulator, simulator.recommended.summary if summary is None else summary)
        self.flow = choose_flow(simulator.recommended.flow if flow is None else flow)
        check_estimate(self.summaries, self.flow)
        self.history = pd.DataFrame()
        self.training: dict[str, Any] = {}
        self._trained: _Trained | None = None

    def fit(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        passes: int | None = None,
        seed: int = 0,
        start_from: AmortizedPosterior | None = None,
        validation: float | Mapping[str, Any] | None = None,
        patience: int | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        learning_rate: float | None = None,
        clip_norm: float = 1.0,
        average: float = 0.999,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        progress: bool = True,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        xla: Literal["auto"] | bool = "auto",
    ) -> AmortizedPosterior:
        """Train, from new initial weights or from those of another posterior.

        Online (``data`` left out), each step draws fresh simulations, inside the compiled step if the simulator is
        made of TensorFlow operations. Offline, it trains on the arrays given, watches a fixed validation set, and
        keeps the weights that were best on it.

        Parameters
        ----------
        data : dict of name to array (n, ...)
            Simulations to train on, as :meth:`Simulator.sample` returns them: parameters, context and observables.
        steps : int
            Weight updates; online, what the simulator recommends if left out, 5,000 if it doesn't.
        epochs : int
            Passes through ``data``, in place of ``steps``; 30 by default offline. Online, the number of reports.
        batch_size : int
            What the simulator recommends if left out, 256 if it doesn't.
        passes : int
            Online: draw simulations before the first step, only as many as so many passes through them need, and keep
            them in memory; for simulators that take longer than steps. 0 for new ones at each step. What the simulator
            recommends if left out, 0 if it doesn't. With few simulations, more than a few passes overfit. Before
            these, 512 to 4,096 others are drawn, as always, for scalings. A run that is resumed draws the same ones
            again.
        seed : int
            Decides initial weights, simulations, shuffling and dropout.
        start_from : AmortizedPosterior
            A trained posterior with the same networks, parameters and data, to start from its weights and scalings:
            to train longer, or for a simulator that differs a little. Simulations are new ones, whatever the seed. A
            lower ``learning_rate`` than that of its own training loses less of what it learned.
        validation : float, or dict of name to array (m, ...)
            Offline: the share of ``data`` set aside (0.1 if left out), or a set of its own.
        patience : int
            Offline: stop after so many epochs without a better validation loss.
        optimizer : Keras optimizer
            Adam by default, with ``learning_rate`` reached in a linear warm-up over 5 % of the steps (at most 500)
            and left on a cosine to zero.
        learning_rate : float
            What the simulator recommends if left out, 5e-3 if it doesn't.
        clip_norm : float
            Largest global norm of a gradient.
        average : float
            Decay of the moving average of weights that the posterior uses; 0 for none.
        callbacks : Keras callbacks
            Get the loss at the end of each epoch; an epoch online is a fiftieth of the steps.
        progress : bool
        checkpoint : path
            Folder to keep the state of training in.
        resume : bool
            Continue from the state in ``checkpoint``, if there is one, as though training had never stopped.
        xla : "auto", True or False
            Whether to compile the simulator with XLA.

        Returns
        -------
        AmortizedPosterior, itself

        Raises
        ------
        TrainingError
            When a loss is not finite; the posterior then has the last good weights. So it has when training is
            interrupted, or when a simulator in worker processes raises.
        """
        seed = seeds.check_seed(seed)
        check_consistent(data, steps, epochs, passes, validation, patience, checkpoint, resume)
        arrays, held_out = offline_arrays(self.simulator, data, validation, seed)
        if start_from is not None:
            check_start(self, start_from)
            # Only now: what was held out there must be held out here.
            seed = later_seed(seed, start_from)
        rows = None if arrays is None else len(next(iter(arrays.values())))
        recommended = self.simulator.recommended
        if rows is None:
            steps = recommended.steps if steps is None else steps
            passes = recommended.passes if passes is None else passes
        batch_size = recommended.batch_size if batch_size is None else batch_size
        learning_rate = recommended.learning_rate if learning_rate is None else learning_rate
        length = training_length(rows, steps, epochs, batch_size)
        # NumPy numbers as plain ones, which JSON files can hold.
        learning_rate, clip_norm, average = (
            value.item() if isinstance(value, np.generic) else value for value in (learning_rate, clip_norm, average)
        )
        patience = int(patience) if isinstance(patience, np.integer) else patience
        xla = bool(xla) if isinstance(xla, np.bool_) else xla
        settings = TrainingSettings(*length, seed, learning_rate, clip_norm, average, patience, xla, passes or 0)
        # No more than a fit of few, slow simulations is to have.
        most = settings.simulations if settings.passes else 2 * _PILOT_SIMULATIONS
        learner, pilot = self.new_learner(seed, arrays, max(most, _FEWEST_PILOT_SIMULATIONS))
        if start_from is not None:
            take_over(learner, start_from._require_trained().learner)
        for part in (arrays, held_out):
            if part is not None:
                check_support(learner.parameters, part)
        if progress:
            print(training_plan(self.simulator, self.summaries, learner, settings), flush=True)
        identity = {
            "simulator": self.simulator.name,
            "network": self.network_configuration(),
            "optimizer": None if optimizer is None else keras.saving.serialize_keras_object(optimizer),
            "data": None if arrays is None else fingerprint(arrays),
            "start_from": None if start_from is None else start_from.fingerprint,
        }
        folder = None if checkpoint is None else Path(checkpoint)
        # Now, and not after minutes of simulations.
        resumes = folder is not None and prepare_folder(folder, {**asdict(settings), **identity}, resume)
        stored = arrays is not None or settings.passes > 0
        if folder is not None and resumes and has_ended(folder, settings):
            source: Source = ArraySource(pilot, settings)
        elif stored:
            source = stored_source(
                self.simulator, learner, settings, arrays, learns=start_from is None, progress=progress
            )
            if held_out is not None and learner.network.works_beforehand:
                held_out, _ = with_what_is_known(learner, held_out, settings.batch_size)
        else:
            source = training_source(self.simulator, None, settings, progress)
        with learner.network.fixed_estimate() if stored else nullcontext():
            result = train(
                learner,
                source,
                settings,
                identity=identity,
                validation=held_out,
                optimizer=optimizer,
                callbacks=[posterior_monitor(learner, pilot, seed), *callbacks],
                progress=progress,
                checkpoint=folder,
                resume=resume,
            )
        self._finish(learner, result, {**identity, "settings": settings}, pilot)
        if result.error is not None:
            raise result.error
        if result.bad_step is not None:
            raise broken_training(result, settings, source.finite(result.bad_step))
        return self

    def sample(self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0) -> Draws:
        """Draw from the posterior of each observation.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), observables and context
            Or one observation, without the first axis.
        draws : int
        seed : int

        Returns
        -------
        Draws
            Dict of parameter to array (n_obs, draws, *event), or (draws, *event) for one observation without batch
            axis, all inside the prior's support; with ``p_value``, ``unusual`` and ``out_of_distribution`` for each
            observation. Draws that lie too far out are put back, in each unconstrained element, to twice as far from
            the centre as any of 8,192 prior draws; :meth:`log_prob` knows nothing of that.
        """
        trained = self._require_trained()
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise InputError("Argument 'draws'", expected="a positive integer", got=repr(draws), do="pass draws=1000")
        seeds.check_seed(seed)
        observations = check_observations(self.simulator, data)
        condition, inputs = trained.sampler.condition(observations.arrays)
        values = trained.sampler.sample(condition, int(draws), seeds.tensor_seed(seed, "draws"))
        typical = trained.reference.compare(condition, inputs)
        if not observations.batched:
            return Draws({name: value[0] for name, value in values.items()}, typical.p_value[0], typical.unusual[0])
        return Draws(values, *typical)

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Log posterior density, on the parameters' own scale.

        Parameters
        ----------
        parameters : dict of name to array (n_obs, draws, *event), as :meth:`sample` returns, or (n_obs, *event)
            Without the first axis for one observation without batch axis.
        data : dict of name to array (n_obs, ...)

        Returns
        -------
        array (n_obs, draws), (n_obs,), (draws,) or a number, to match; in nats, exact. -inf outside the support.
            For integer parameters it is a probability, by quadrature over the interval that stands for the integer.

        Raises
        ------
        InputError
            With more than three integers, over whose intervals the quadrature would take too long.
        """
        trained = self._require_trained()
        observations = check_observations(self.simulator, data)
        values, batch_shape = check_parameters(self.simulator, parameters, observations)
        condition, _ = trained.sampler.condition(observations.arrays)
        result = trained.sampler.log_prob(values, condition).reshape(batch_shape)
        return result if observations.batched else result[0]

    def summarize(self, data: Mapping[str, Any]) -> np.ndarray:
        """What the flow sees of each observation: the summaries, then the context.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), or one observation without the first axis

        Returns
        -------
        array (n_obs, c), or (c,)
        """
        observations = check_observations(self.simulator, data)
        condition, _ = self._require_trained().sampler.condition(observations.arrays)
        return condition if observations.batched else condition[0]

    def infer(self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0) -> xarray.DataTree:
        """Everything about the posterior of an observation, for ArviZ.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), or one observation without the first axis
        draws : int
        seed : int

        Returns
        -------
        xarray.DataTree
            Groups posterior, prior, posterior_predictive, observed_data, constant_data (context) and sample_stats
            (log density ``lp``, where :meth:`log_prob` can tell it; ``out_of_distribution_p`` of the observation), with
            one chain. Units and labels are attributes of the variables. Several observations have a dimension
            ``observation``.
        """
        from bayesinn.posterior.inference_data import inference_data

        values = self.sample(data, draws=draws, seed=seed)
        log_density = self._log_density(values, data)
        return inference_data(self.simulator, check_observations(self.simulator, data), values, log_density, seed)

    def _log_density(self, draws: Draws, data: Mapping[str, Any]) -> np.ndarray | None:
        """Of draws, or None where there is no density."""
        return self.log_prob(draws, data) if self._require_trained().sampler.integers_are_few else None

    def save(self, folder: str | Path) -> Path:
        """Write the posterior into a folder (``manifest.json`` and ``weights.h5``) for :func:`bayesinn.load`."""
        from bayesinn.posterior.saving import save

        return save(self, folder)

    def network_configuration(self) -> dict[str, Any]:
        """Summaries and flow in plain values, enough to build them again."""
        return {"summaries": describe(self.summaries), "flow": describe(self.flow)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trained network's weights."""
        variables = self._require_trained().learner.network.variables
        return fingerprint({str(number): variable.numpy() for number, variable in enumerate(variables)})

    @property
    def trained(self) -> bool:
        """Whether there is anything to sample from."""
        return self._trained is not None

    def __repr__(self) -> str:
        state = "not trained"
        if self._trained is not None:
            loss = "" if self.history.empty else f", loss {self.history['loss'].iloc[-1]:.3f}"
            state = f"trained for {self.training['settings']['steps']:,} steps{loss}"
        lines = [f"AmortizedPosterior of {self.simulator.name!r}, {state}"]
        lines += [f"  {name}: {summary!r}" for name, summary in self.summaries.items()]
        return "\n".join([*lines, f"  flow: {self.flow!r}"])

    def build_learner(self, data_space: DataSpace, seed: int) -> Learner:
        """A learner with new networks, not built yet; the same for the same seed."""
        parameters = ParameterSpace(self.simulator.prior, seed)
        with seeds.seeded_initial_weights(seed):
            summaries = {name: clone(value) for name, value in self.summaries.items()}
            for summary in summaries.values():
                summary.bind(parameters)
            network = PosteriorNetwork(summaries, clone(self.flow))
        return Learner(parameters, data_space, network)

    def adopt(self, learner: Learner, reference: Reference, history: pd.DataFrame, training: dict[str, Any]) -> None:
        """Take over trained parts, from training or from a saved folder."""
        self.history = history
        self.training = training
        self._trained = _Trained(learner, reference)

    def _require_trained(self) -> _Trained:
        if self._trained is None:
            raise InputError(
                f"Posterior of {self.simulator.name!r}",
                expected="a trained posterior",
                got="one that was never trained",
                do="call fit(...) first, or bi.load(folder)",
            )
        return self._trained

    def new_learner(
        self, seed: int, arrays: Arrays | None, most: int = 2 * _PILOT_SIMULATIONS
    ) -> tuple[Learner, Arrays]:
        """A built learner, standardised on pilot simulations or on the arrays given; and those simulations."""
        if arrays is None:
            simulations = self.simulator.draw(min(most, 2 * _PILOT_SIMULATIONS), seed, "pilot")
            checks.check_finite(self.simulator, simulations)
            pilot = simulations.flat()
        else:
            pilot = {name: value[: 2 * _PILOT_SIMULATIONS] for name, value in arrays.items()}
        simulator = self.simulator
        data_space = DataSpace.fit(
            pilot,
            tuple(simulator.observable_shapes),
            simulator.context_names,
            simulator.lengths,
            seen_raw(self.summaries),
        )
        learner = self.build_learner(data_space, seed)
        first = {name: tf.convert_to_tensor(value[:_PILOT_SIMULATIONS]) for name, value in pilot.items()}
        with seeds.seeded_initial_weights(seed):
            learner.initialize(first, seed)
        return learner, pilot

    def _finish(self, learner: Learner, result: TrainingResult, training: dict[str, Any], pilot: Arrays) -> None:
        reference = pilot_reference(learner, Sampler(learner), self.summaries, pilot)
        settings: TrainingSettings = training.pop("settings")
        training = {
            **training,
            "settings": {name: getattr(settings, name) for name in settings.__dataclass_fields__},
            "seconds": round(result.seconds, 1),
            "failed_simulations": result.failed_simulations,
        }
        self.adopt(learner, reference, result.history, training)


class _Trained:
    """What training leaves behind."""

    def __init__(self, learner: Learner, reference: Reference) -> None:
        self.learner = learner
        self.reference = reference
        self.sampler = Sampler(learner)
