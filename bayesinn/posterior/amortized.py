"""The amortized posterior: train once, then answer any observation in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesinn.core.errors import InputError
from bayesinn.core.precision import full_precision
from bayesinn.core.storage import held
from bayesinn.core.validation import check_flag, check_type
from bayesinn.flows import Flow
from bayesinn.posterior.building import PILOT_SIMULATIONS, new_model
from bayesinn.posterior.defaults import choose_flow, choose_summaries
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.fitting import measure_reference, plan_fit, run_training
from bayesinn.posterior.streaming import Stream
from bayesinn.posterior.trained import TrainedPosterior
from bayesinn.posterior.training_data import Length
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.identity_rows import once
from bayesinn.simulation.registry import refuse_while_loading
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.training.settings import Checkpoint, Optimization


class AmortizedPosterior(TrainedPosterior):
    """A posterior for every possible observation of a simulator.

    Parameters
    ----------
    simulator : Simulator
    summary : Summary, or dict of observable to Summary
        One network for several observables, such as ``{"cases, deaths": ConvLSTM(64)}``, sees them
        side by side, as channels; a network that isn't in a dict sees all observables so. What is
        left out is chosen by shape: the data themselves for a number or a vector of up to eight,
        Conv + LSTM for more and for (steps, channels), which are taken for series, those of as many
        steps side by side; observables with more axes need a network of yours. Pass ``MLP`` for a
        long vector of unrelated numbers, ``DeepSet`` or ``SetTransformer`` for exchangeable data.
    flow : Flow
        Six affine coupling blocks if left out.

    Attributes
    ----------
    history : DataFrame
        One row per epoch of the last training: step, loss, learning rate, failed simulations, and
        val_loss if there was a validation set. The loss is the mean of -log q(parameters | data) in
        nats, on the parameters' own scale; it may be negative, and it can't get below the
        posterior's expected entropy.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,))
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
    ) -> None:
        example = "decorate the function with @bi.simulator, or fetch one with bi.get(name)"
        check_type("Argument 'simulator'", simulator, Simulator, "a Simulator", example)
        recommended = simulator.recommended
        super().__init__(
            simulator,
            choose_summaries(simulator, recommended.summary if summary is None else summary),
            choose_flow(recommended.flow if flow is None else flow),
        )

    @once()
    def fit(
        self,
        data: Mapping[str, Any] | Bank | Stream | None = None,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        start_from: AmortizedPosterior | None = None,
        validation: float | Mapping[str, Any] | None = None,
        optimization: Optimization = Optimization(),
        checkpoint: str | Path | Checkpoint | None = None,
        progress: bool = True,
    ) -> AmortizedPosterior:
        """Train, from new initial weights or those of another posterior; return the posterior.

        Online (``data`` left out), each step draws fresh simulations, inside the compiled step if
        the simulator is made of TensorFlow operations. Offline, it trains on the arrays given,
        watches a fixed validation set, and keeps the weights that were best on it. What is left out
        is as the simulator recommends.

        Parameters
        ----------
        data : dict of name to array (n, ...), Bank, or Stream
            Simulations to train on, as :meth:`Simulator.sample` returns them: parameters, context
            and observables. Of a simulation bank of more than 256 MiB, batches are read while
            training goes on, steps are as many as online, and the first rows are held out, 65,536
            at most if ``validation`` is left out. ``bi.Stream(bank, ...)`` trains while the bank
            grows, or mixes it with fresh simulations.
        steps : int
            Weight updates; 5,000 online if the simulator recommends nothing.
        epochs : int
            Offline, passes through ``data`` in place of ``steps``; by default those that make 5,000
            steps, from 10 to 300. Online, only beside ``steps``: the number of reports, by default
            50.
        batch_size : int
            256 if the simulator recommends nothing; offline at most 64, and a fourteenth of the
            data.
        seed : int
            Decides initial weights, simulations, shuffling and dropout.
        start_from : AmortizedPosterior
            A posterior with the same networks, parameters and data, to start from its weights and
            scalings: to train longer, or for a simulator that differs a little. Simulations are new
            ones, whatever the seed. A lower learning rate than in its own training loses less of
            what it learned.
        validation : float, or dict of name to array (m, ...)
            Offline: the share of ``data`` set aside (0.1 if left out), or a set of its own.
        optimization : Optimization
            Optimiser, learning rate, early stopping, passes through stored simulations, callbacks,
            and more.
        checkpoint : path, or Checkpoint
            Folder to keep the state of training in; ``bi.Checkpoint(folder, resume=True)``
            continues from it.
        progress : bool

        Raises
        ------
        TrainingError
            When a loss is not finite; the posterior then has the last good weights. So it has when
            training is interrupted, or when a simulator in worker processes raises.
        """
        refuse_while_loading("trains")
        check_type(
            "Argument 'optimization'",
            optimization,
            Optimization,
            "bi.Optimization(...)",
            "pass one",
        )
        check_flag("Argument 'progress'", progress)
        if start_from is not None:
            self._check_start(start_from)
        plan = plan_fit(
            self,
            data,
            Length(steps, epochs, batch_size),
            seed=seed,
            start=start_from,
            validation=validation,
            optimization=optimization,
            checkpoint=Checkpoint.given(checkpoint),
        )
        settings = plan.settings
        # Pilot simulations cost time too: no more of them than training draws.
        most = settings.simulations if settings.passes else PILOT_SIMULATIONS
        with full_precision(), held(plan.folder, "Checkpoint folder"):
            model, pilot = new_model(
                self.simulator, self.summaries, self.flow, settings.seed, plan.data.pilot, most
            )
            result = run_training(plan, self.simulator, model, pilot, progress)
            evaluator = Evaluator(model)
            reference = measure_reference(evaluator, pilot)
        self.adopt(evaluator, reference, result.history, result.record)
        self.identity = plan.simulator_record
        result.raise_error()
        return self

    @classmethod
    def from_networks(
        cls, simulator: Simulator, summaries: Mapping[str, Summary], flow: Flow
    ) -> AmortizedPosterior:
        """Return an untrained posterior with networks as a manifest describes them."""
        return cls(simulator, summaries, flow)

    def _check_start(self, other: AmortizedPosterior) -> None:
        """Refuse any start but a trained posterior with the same networks, parameters, data."""
        subject = "Argument 'start_from'"
        example = "load a saved one with bi.load(folder)"
        check_type(subject, other, AmortizedPosterior, "a trained AmortizedPosterior", example)
        do = "start from a posterior of the same networks, parameters and data, or from new weights"
        ours, theirs = (
            {
                **part.network_configuration(),
                **part.simulator.shapes,
                "lengths": part.simulator.lengths,
            }
            for part in (self, other)
        )
        for name, value in ours.items():
            # Their order is that of the network's inputs and outputs.
            if list(value.items()) != list(theirs[name].items()):
                expected = f"a posterior with the same {name}, in this order: {value}"
                raise InputError(subject, expected=expected, got=f"{theirs[name]}", do=do)
        size = ParameterSpace(self.simulator.prior, 0).dimension
        its_size = other.model.parameters.dimension
        if size != its_size:
            expected = f"a posterior with a prior of {size} unconstrained parameters"
            raise InputError(subject, expected=expected, got=f"one of {its_size}", do=do)
