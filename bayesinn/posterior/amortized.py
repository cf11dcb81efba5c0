"""The amortized posterior: train once, then answer any observation with the same network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from bayesinn.core.errors import InputError
from bayesinn.estimators.training_data import pilot_rows, require_simulator
from bayesinn.flows import Flow
from bayesinn.posterior.building import measured_model
from bayesinn.posterior.defaults import choose_flow, choose_summaries, warn_of_sets
from bayesinn.posterior.measuring import describe_model
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.several import SeveralNetworks
from bayesinn.posterior.trained import TrainedPosterior
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.parameters import layout_of
from bayesinn.summaries import Summary


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
        networks: int | None = None,
    ) -> None:
        check_simulator(simulator)
        recommended = simulator.recommended
        summary = recommended.summary if summary is None else summary
        choice = choose_summaries(simulator, summary)
        flow = recommended.flow if flow is None else flow
        flow = choose_flow(flow, layout_of(simulator.prior))
        super().__init__(simulator, choice.networks, flow)
        self._reasons = choice.reasons
        self.set_count(networks)

    def trainable(self, rows: Arrays, seed: int) -> PosteriorModel:
        """Return the flow of parameters given summaries of data, standardised on rows (n, ...)."""
        pilot = pilot_rows(rows)
        chosen = {key: self.summaries[key] for key in self._reasons}
        warn_of_sets(self.simulator, chosen, pilot, seed)
        return measured_model(self.simulator, self.summaries, self.flow, pilot, seed, self.networks)

    def describe_training(self, model: PosteriorModel) -> str:
        return describe_model(self.simulator.name, model, self._reasons)

    @classmethod
    def from_configuration(
        cls, simulator: Simulator | None, configuration: Mapping[str, Any]
    ) -> Self:
        """Return an untrained posterior with summaries and flow as a manifest describes them."""
        return cls(
            require_simulator(simulator),
            configuration["summaries"],
            configuration["flow"],
            configuration.get("networks", 1),
        )

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
