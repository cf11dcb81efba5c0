"""The estimator of posterior means, covariances and quantiles, by proper scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES
from bayesinn.bijections.subnet import Perceptron
from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.core.files import SavedModel
from bayesinn.core.precision import full_precision
from bayesinn.estimators.fitting_data import pilot_rows
from bayesinn.flows import Flow
from bayesinn.points.estimates import (
    Estimate,
    Moments,
    ParameterVector,
    Quantiles,
    Result,
    calibration_table,
    estimates_tree,
)
from bayesinn.posterior.amortized import Summarised
from bayesinn.posterior.defaults import recommended_summaries, refuse_trained_first
from bayesinn.posterior.model import Inputs, PosteriorModel
from bayesinn.simulation import checks
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.summaries import Summary
from bayesinn.training.trainable import Batch, Trainable

if TYPE_CHECKING:
    import pandas as pd
    import xarray


class PointFlow(Flow):
    """Outputs for all estimates, from one perceptron of the features; no density, no draws.

    Its events are parameters in both scales side by side, (n, 2 d).

    Parameters
    ----------
    estimates : sequence of Estimate
    hidden : sequence of int, units of the hidden layers
    activation : str, name of a Keras activation
    """

    nats = False
    density = None
    draws = False

    def __init__(
        self,
        estimates: Sequence[Estimate],
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.estimates = tuple(estimates)
        self.perceptron = Perceptron(hidden, activation)

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        self.parts = [estimate.size(event_shape[0] // 2) for estimate in self.estimates]
        inputs = condition_shape[0]
        self.network = self.perceptron.network(inputs, sum(self.parts), self.dtype)
        self.network.build((None, inputs))
        super().build(event_shape, condition_shape)

    def outputs(self, features: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Return outputs (n, size) of each estimate, given features (n, c)."""
        return tf.split(self.network(features, training=training), self.parts, axis=-1)

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        plain, squeezed = tf.split(x, 2, axis=-1)
        outputs = self.outputs(condition, training)
        return tf.add_n(
            [
                estimate.score(own, plain, squeezed)
                for estimate, own in zip(self.estimates, outputs, strict=True)
            ]
        )


class PointModel(PosteriorModel):
    """The parts of point estimates; its loss is the sum of their scores."""

    def __init__(self, vector: ParameterVector, parts: PosteriorModel) -> None:
        super().__init__(parts.parameters, parts.data, parts.members)
        self.vector = vector

    @property
    def width(self) -> int:
        return 2 * len(self.vector.scale)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return parameters (n, 2 d), inputs and masks of a raw batch, and zero (n,)."""
        x = self.vector.to_vectors(batch)
        return (x, *self.data.to_network(batch)), tf.zeros_like(x[:, 0])

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), **self.vector.arrays()}

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, PointModel)
        # Scalings are taken over, not the bounds: the prior may be another.
        start = trained.vector
        self.vector = ParameterVector(self.parameters.prior, start.plain, start.squeezed)
        super().copy_weights(trained)


_SIMULATIONS = 2_000


class PointEstimator(Summarised):
    """Posterior means, covariances and quantiles of any observation, without a posterior.

    A network learns each of them from simulations by a proper score. It is smaller than a flow and
    learns faster, but there is no density, and there are no draws. Integers may have fractional
    means; their quantiles are whole.

    Parameters
    ----------
    simulator : Simulator
    summary : Summary, or dict of observable to Summary
        As for :class:`AmortizedPosterior`, but without losses of its own. By default it is what the
        simulator recommends, like the settings of training.
    estimates : sequence of Estimate
        Estimates to learn. The mean is that of :class:`Moments` or of :class:`Mean`.
    hidden : sequence of int, units of the hidden layers of the network for all estimates

    References
    ----------
    Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA
    102. Sainsbury-Dale, Zammit-Mangion and Huser (2024), Likelihood-free parameter estimation with
    neural Bayes estimators, arXiv:2208.12942.

    Examples
    --------
    >>> import bayesinn as bi
    >>> estimator = bi.PointEstimator(bi.get_simulator("linear"), hidden=(16,))
    >>> _ = estimator.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> found = estimator.estimate({"y": [0.1, 1.5]})
    >>> found["mean"]["x1"].shape, found["quantiles"]["x1"].dims
    ((2,), ('observation', 'level'))
    """

    ask = (
        "ask it in Python for bi.load(folder).estimate(data), and for .calibration() in place of "
        "bi.diagnose"
    )
    simulator: Simulator
    simulated = True
    flow: PointFlow

    def __init__(
        self,
        simulator: Simulator,
        summary: Summary | Mapping[str, Summary | None] | None = None,
        estimates: Sequence[Estimate] = (Moments(), Quantiles()),
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        check_simulator(simulator)
        flow = PointFlow(_check_estimates(estimates), hidden)
        choice = recommended_summaries(simulator, summary)
        refuse_trained_first(choice.networks)
        self.assemble(simulator, {"summaries": choice.networks, "flow": flow})
        self._reasons = choice.reasons

    def trainable(self, rows: Arrays, seed: int) -> PointModel:
        """Return summaries and the network of estimates, standardised on rows (n, ...)."""
        vector = ParameterVector.fit(self.simulator.prior, pilot_rows(rows))
        return PointModel(vector, super().trainable(rows, seed))

    @full_precision()
    def estimate(self, data: Mapping[str, Any]) -> xarray.DataTree:
        """Return all estimates for observations, in the units of the parameters.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), observables and context
            Or one observation, without the first axis.

        Returns
        -------
        xarray.DataTree
            One group for each result, and the p-value. Several observations have a dimension
            ``observation``.

            - ``mean``, ``standard_deviation``: datasets of the parameters
            - ``covariance``: a matrix of all their numbers
            - ``quantiles``: with a dimension ``level`` (``level_`` if a parameter has that name)
            - ``sample_stats``: ``out_of_distribution_p``, the p-value of the observation; below
              0.01, estimates are extrapolations
        """
        observations, condition, inputs = self.encode_data(data)
        compared = np.asarray(self.model.network.compared(condition))
        p_value = self.reference.compare(compared, inputs).p_value
        results = self._results(condition[FEATURES])
        return estimates_tree(self.simulator, results, p_value, observations.batched)

    def calibration(
        self, data: Mapping[str, Any] | None = None, simulations: int = _SIMULATIONS, seed: int = 0
    ) -> pd.DataFrame:
        """Return how good estimates are on simulations, one row for each number.

        Parameters
        ----------
        data : dict of name to array (n, ...)
            Simulations that it was not trained on; by default fresh ones.
        simulations, seed : int
            Number of fresh simulations, and their seed.

        Returns
        -------
        DataFrame
            - ``explained``: share of the variance that the mean explains
            - ``z_mean``, ``z_sd``: mean and sd of (truth - mean) / sd; 0 and 1 if both are correct
            - ``below 0.25``, one for each level of quantiles: share of true values below it. As
              many of those equal to it count, such as integers, as bring the share to its level.
        """
        if data is None:
            count = check_integer("Argument 'simulations'", simulations, least=2)
            drawn = self.simulator.draw(count, seed, "diagnosis")
            checks.check_finite(self.simulator, drawn)
            data = drawn.flat()
        arrays = checks.check_simulations(self.simulator, data, "Simulations")
        truth = {name: arrays.pop(name).astype(float) for name in self.simulator.prior.names}
        return calibration_table(self._results(self.encode_data(arrays)[1][FEATURES]), truth)

    def sample(self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0) -> NoReturn:
        """Raise an InputError: there are no draws."""
        raise self._absent("sample")

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NoReturn:
        """Raise an InputError: there is no density."""
        raise self._absent("log_prob")

    def infer(self, data: Mapping[str, Any], **options: Any) -> NoReturn:
        """Raise an InputError: there are no draws."""
        raise self._absent("infer")

    def map(self, data: Mapping[str, Any], **options: Any) -> NoReturn:
        """Raise an InputError: there is no density."""
        raise self._absent("map")

    @property
    def model(self) -> PointModel:
        """The trained model: parameter vector, data space and network."""
        model = super().model
        assert isinstance(model, PointModel)
        return model

    def unbuilt(self, saved: SavedModel) -> PointModel:
        vector = ParameterVector.saved(self.simulator.prior, saved)
        return PointModel(vector, super().unbuilt(saved))

    def __repr__(self) -> str:
        name = self.simulator.name
        title = f"PointEstimator of {name!r}, {self.state_text}: no density, no draws"
        estimates = ", ".join(map(repr, self.flow.estimates))
        return self.list_networks(title, f"estimates: {estimates}")

    def _results(self, features: np.ndarray) -> dict[str, Result]:
        model = self.model
        flow: Any = model.network.flow
        results: dict[str, Result] = {}
        for estimate, outputs in zip(self.flow.estimates, flow.outputs(features), strict=True):
            results |= estimate.read(outputs, model.vector)
        return results

    def _absent(self, method: str) -> InputError:
        return InputError(
            f"{method} of a PointEstimator of {self.simulator.name!r}",
            expected="a posterior with draws or a density",
            got="point estimates: no density, no draws",
            do="ask for estimate(data), and for calibration() in place of bi.diagnose; or train a "
            "bi.AmortizedPosterior",
        )


def _check_estimates(estimates: Any) -> tuple[Estimate, ...]:
    subject = "PointEstimator, argument 'estimates'"
    do = "pass for example [bi.points.Moments(), bi.points.Quantiles((0.05, 0.5, 0.95))]"
    check_type(subject, estimates or None, (list, tuple), "a list of estimates", do)
    for estimate in estimates:
        check_type(f"{subject}, each", estimate, Estimate, "an Estimate", do)
    names = [name for estimate in estimates for name in estimate.names]
    if len(set(names)) < len(names):
        raise InputError(subject, expected="each result once", got=", ".join(names), do=do)
    return tuple(estimates)
