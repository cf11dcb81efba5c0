"""The split-latent posterior: one bijection maps parameters to observables and a latent."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from bayesinn.bijections import Affine, Bijection
from bayesinn.core import seeds
from bayesinn.core.compilation import full_precision, map_tensors
from bayesinn.core.errors import InputError
from bayesinn.flows import SplitLatentFlow, SplitLosses, coupling
from bayesinn.flows.split_latent import SplitLayout
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.simulation import checks
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_inputs_within
from bayesinn.spaces.parameters import layout_of
from bayesinn.summaries import Identity


class SplitLatent(AmortizedPosterior):
    r"""The posterior from a bijection :math:`[z, y] = f(x)`, parameters to latent and observables.

    The forward direction is a surrogate of the simulator. The backward direction, with given
    observables and normal latents, draws from the posterior. The simulator needs no noise; the
    density of a conditional flow would be unbounded if data restrict parameters to a curve.
    Training, sampling and saving are those of :class:`AmortizedPosterior`. A context is the
    condition of the bijection.

    Parameters
    ----------
    simulator : Simulator
        Its observables have fixed shapes: a few numbers or statistics, all of which are predicted.
    latent : int
        Number of latent elements. By default the number of parameters minus that of observables, at
        least one: correct for a simulator without noise whose observables are not redundant.
        With noise, use the number of parameters.
    width : int
        Length of padded input and output, by default the least; more allows more complex maps.
    chain : Bijection, by default :func:`default_chain`
    objective : {"mmd", "likelihood"}
        - "mmd": trains both directions with the losses of the paper, on batches of 500 or more.
        - "likelihood": maximises the density, with observables normal around the data and padding
          normal around zero. It is steadier and has :meth:`log_prob`, but draws scatter by
          ``losses.observable_noise``, in standardised units. Where the density is sharp, some draws
          diverge; a width of twice the parameters with ``padding_noise=0.1`` cured that in trials.
    losses : SplitLosses
        Weights, noise and kernels of the losses; with "mmd" the history has the weighted sum.

    References
    ----------
    Ardizzone et al. (2019), Analyzing inverse problems with invertible neural networks,
    arXiv:1808.04730.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = SplitLatent(
    ...     bi.get_simulator("linear"), chain=default_chain(blocks=2, hidden=(32,))
    ... )
    >>> posterior.layout
    SplitLayout([parameters 0:2] -> [latent 0:1, observables 1:2])
    >>> _ = posterior.fit(steps=10, batch_size=64, seed=1, progress=False)
    >>> posterior.sample({"y": 1.5}, draws=100, seed=2)["x1"].shape
    (100,)
    >>> posterior.predict({"x1": [0.5, 1.0], "x2": [0.1, 0.0]})["y"].shape
    (2,)
    """

    flow: SplitLatentFlow

    def __init__(
        self,
        simulator: Simulator,
        latent: int | None = None,
        width: int | None = None,
        chain: Bijection | None = None,
        objective: Literal["mmd", "likelihood"] = "mmd",
        losses: SplitLosses = SplitLosses(),
    ) -> None:
        names = simulator.observable_shapes if isinstance(simulator, Simulator) else ()
        super().__init__(simulator, {name: Identity() for name in names}, networks=1)
        if simulator.lengths or simulator.missing is not None:
            raise InputError(
                f"Simulator {simulator.name!r} for SplitLatent",
                expected="observables of a fixed length without missing values, which a bijection "
                "can have as output",
                got=f"varying lengths of {list(simulator.lengths)}, missing={simulator.missing}",
                do="return statistics of the data from the simulator, or use AmortizedPosterior",
            )
        dimension = layout_of(simulator.prior).dimension
        observables = sum(math.prod(shape) for shape in simulator.observable_shapes.values())
        latent = max(1, dimension - observables) if latent is None else latent
        width = max(dimension, latent + observables) if width is None else width
        chain = default_chain() if chain is None else chain
        self.flow = SplitLatentFlow(chain, dimension, latent, observables, width, objective, losses)

    @property
    def layout(self) -> SplitLayout:
        """Positions of parameters, latent, padding and observables in input and output."""
        return self.flow.layout

    def predict(
        self, parameters: Mapping[str, Any], context: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Return observables (n, ...) predicted for parameters and context (n, *event), by name."""
        scalings = self.model.data.scalings
        shapes = self.simulator.observable_shapes
        observables = self._forward(parameters, context)[1]
        parts = tf.split(observables, [math.prod(shape) for shape in shapes.values()], axis=-1)
        return {
            name: scalings[name].invert(part.numpy().reshape(-1, *shape))
            for part, (name, shape) in zip(parts, shapes.items(), strict=True)
        }

    def latent(
        self, parameters: Mapping[str, Any], context: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Return the latent (n, latent) of parameters and context (n, *event).

        It is standard normal over simulations.
        """
        return self._forward(parameters, context)[0].numpy()

    @full_precision()
    def terms(self, data: Mapping[str, Any], *, seed: int = 0) -> dict[str, float]:
        """Return the losses of "mmd" by :class:`SplitLosses` name, to balance their weights.

        ``data`` are simulations in the form of :meth:`Simulator.sample`. The two MMDs are unbiased
        and may be negative.
        """
        model = self.model
        batch = map_tensors(
            tf.convert_to_tensor, checks.check_simulations(self.simulator, data, "Simulations")
        )
        (vector, inputs, masks), _ = model.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        condition = model.network.condition(inputs, masks)["features"]
        terms = self._trained_flow.terms(vector, condition, seeds.tensor_seed(seed, "latent"))
        return {name: float(term) for name, term in terms.items()}

    def __repr__(self) -> str:
        first, *_ = super().__repr__().splitlines()
        return (
            f"{first}\n  {self.layout!r}\n  objective: {self.flow.objective}; chain: "
            f"{self.flow.chain!r}"
        )

    @property
    def _trained_flow(self) -> SplitLatentFlow:
        flow = self.model.network.flow
        assert isinstance(flow, SplitLatentFlow)
        return flow

    @full_precision()
    def _forward(
        self, parameters: Mapping[str, Any], context: Mapping[str, Any] | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return latents and standardised observables.

        The observables of the condition are zero, and not used.
        """
        simulator = self.simulator
        space = self.model.parameters
        arrays = check_inputs_within(simulator, space, parameters, context)
        rows = count_rows(arrays)
        data = {
            name: np.zeros((rows, *shape), np.float32)
            for name, shape in simulator.observable_shapes.items()
        }
        data |= {name: arrays[name] for name in simulator.context_names}
        vector, _ = space.to_vector(space.middle(arrays))
        return self._trained_flow.predict(
            vector, tf.convert_to_tensor(self.evaluator.condition(data)[0]["features"])
        )


def default_chain(blocks: int = 8, hidden: Sequence[int] = (128, 128)) -> Bijection:
    """Return random rotations and affine couplings without ActNorm, with scales from 1/e to e.

    Training covers only part of the output space, but sampling all of it: with larger scales, draws
    diverge outside that part.

    Examples
    --------
    >>> default_chain(blocks=2, hidden=(16,))
    Chain(2 * [Orthogonal(), Coupling(transform=Affine(clamp=1.0), hidden=(16,))])
    """
    return coupling(blocks, hidden, Affine(clamp=1.0), actnorm=False).chain
