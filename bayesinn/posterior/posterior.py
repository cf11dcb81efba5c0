"""The protocol of posteriors: what diagnosis, reports, reference and ensembles ask for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, warn
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_type
from bayesinn.posterior.answers import Given, answer, inference_data
from bayesinn.simulation.simulations import copied
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import Observations, check_observations, check_parameters
from bayesinn.spaces.parameters import layout_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray

    from bayesinn.posterior.another_prior import AnotherPrior
    from bayesinn.simulation.prior import Entry


@runtime_checkable
class Posterior(Protocol):
    """A posterior for every observation of a simulator, whoever made it.

    A derived class needs a ``simulator`` and :meth:`sample`; the rest has defaults. A posterior
    with densities declares so in :attr:`density`, and has :meth:`log_prob`.
    :class:`bayesinn.SampledPosterior` makes a posterior of a function that draws.

    Examples
    --------
    >>> import bayesinn as bi
    >>> class Prior(bi.Posterior):
    ...     simulator = bi.get_simulator("linear")
    ...
    ...     def sample(self, data, *, draws=1_000, seed=0):
    ...         prior = self.simulator.sample(len(data["y"]) * draws, seed)
    ...         return {name: prior[name].reshape(-1, draws) for name in ("x1", "x2")}
    >>> diagnosis = bi.diagnose(Prior(), simulations=60, draws=20, seed=1, progress=False)
    >>> diagnosis["latent"] is None
    True
    """

    simulator: Simulator
    #: One row per epoch of a training, with its loss; None without a training.
    history: pd.DataFrame | None = None
    #: Whether :meth:`infer` answers for each member of a group, not for one simulation.
    grouped: ClassVar[bool] = False

    @abstractmethod
    def sample(
        self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0
    ) -> Mapping[str, np.ndarray]:
        """Draw from the posterior of each observation.

        Parameters
        ----------
        data : dict of name to array (n_obs, ...), observables and context
        draws : int, number of draws for each observation
        seed : int

        Returns
        -------
        dict of parameter to array (n_obs, draws, *event)
        """

    @property
    def nats(self) -> bool:
        """Whether the loss of a training is a negative log density in nats."""
        return True

    @property
    def unfinished(self) -> str:
        """What the training lacks, in a sentence; empty if nothing is known to be missing."""
        return ""

    @property
    def density(self) -> str | None:
        """Kind of density of :meth:`log_prob`: "exact", "costly", or None without one."""
        return None

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return the log density (n_obs, draws) of parameters (n_obs, draws, *event), in nats."""
        raise InputError(
            f"log_prob of {self!r}",
            expected="a posterior with a density",
            got="one without",
            do="use sample(), or another posterior",
        )

    def map(
        self, data: Mapping[str, Any] | Observations, *, draws: int = 1_000, seed: int = 0
    ) -> Mapping[str, np.ndarray]:
        """Return the parameters of the highest density: maximum a posteriori.

        The density is that of :meth:`log_prob`, on the parameters' own scale; on another scale,
        such as the logarithm of a rate, the highest point is elsewhere. Gradient ascent starts from
        the best draws. Of several modes, only the highest is returned.

        Parameters
        ----------
        data : as for :meth:`sample`
        draws : int, 2 or more, among which starting points are chosen
        seed : int

        Returns
        -------
        dict of parameter to array (n_obs, *event), or (*event)
            A trained posterior returns :class:`~bayesinn.posterior.Draws`, with ``p_value``,
            ``unusual`` and ``out_of_distribution`` for each observation.

        Raises
        ------
        InputError
            If the density has no gradients (integers, functions), or if it is costly.

        Examples
        --------
        >>> import bayesinn as bi
        >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
        >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
        >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
        >>> posterior.map({"y": 1.5})["x1"].shape
        ()
        """
        observations = self.check_data(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count, least=2)
        given = self.given(observations)
        if (known := given.mode_finder) is None:
            integers = layout_of(self.simulator.prior).integers > 0
            got = f"one with density {self.density!r}"
            do = "take means or quantiles of draws"
            if integers:
                got = "one of integers, too, whose density has no gradients"
            else:
                do += ", or train with a flow such as bi.flows.coupling()"
            raise InputError(
                f"map of {type(self).__name__}",
                expected="a trained posterior of continuous parameters, whose density costs little",
                got=got,
                do=do,
            )
        finder, conditions = known
        values = finder.find(given.sample(count, seed), given.log_prob, conditions)
        return answer(values, given.typicality, observations)

    def infer(
        self,
        data: Mapping[str, Any],
        *,
        draws: int = 1_000,
        seed: int = 0,
        predictive: bool = True,
        progress: bool = False,
    ) -> xarray.DataTree:
        """Return posterior draws and all that ArviZ needs; ``data`` is as for :meth:`sample`.

        Parameters
        ----------
        predictive : bool
            Whether to simulate data from each draw, which takes long with a slow simulator; left
            out without a function to simulate with.
        progress : bool
            Whether to show how far worker processes are with these simulations.

        Returns
        -------
        xarray.DataTree
            With one chain; several observations have a dimension ``observation``. Units and labels
            are attributes of the variables. Groups:

            - posterior, prior, posterior_predictive, observed_data
            - constant_data: the context
            - sample_stats: log density ``lp``, if it costs little; ``out_of_distribution_p`` of the
              observation, if the simulations of a training are known

        Raises
        ------
        InputError
            As for :meth:`sample`.

        Examples
        --------
        >>> import bayesinn as bi
        >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
        >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
        >>> tree = posterior.fit(steps=1, progress=False).infer({"y": 1.5}, draws=100)
        >>> dict(tree["posterior"].sizes)
        {'chain': 1, 'draw': 100}
        """
        observations = self.check_data(data)
        shapes = dict(self.simulator.prior.event_shapes)
        if predictive and self.simulator.simulates:
            shapes |= self.simulator.observable_shapes
        count = check_draws(draws, shapes, observations.count)
        given = self.given(observations)
        values = given.sample(count, seed)
        for remark in filter(None, (given.remark, self.unfinished)):
            warn(remark)
        log_density = given.log_prob(values) if self.density == "exact" else None
        return inference_data(
            self.simulator,
            observations,
            values,
            log_density,
            given.typicality,
            seed,
            predictive,
            progress,
        )

    def with_prior(self, prior: Mapping[str, Entry]) -> AnotherPrior:
        """Return the posterior under another prior, without training.

        Draws are weighted by the ratio of the priors, and smoothed (Pareto-smoothed importance
        sampling); k-hat says whether they can be trusted, and a warning if not. The result is a
        posterior: diagnose it, plot it, refine it.

        Parameters
        ----------
        prior : dict of name to distribution
            Of the parameters whose prior is another one; others keep theirs. It must lie within
            that of the training.

        Raises
        ------
        InputError
            If the new prior has mass where the old one has none.

        References
        ----------
        Vehtari et al. (2024), Pareto smoothed importance sampling, JMLR 25.

        Examples
        --------
        >>> import bayesinn as bi
        >>> import tensorflow_probability as tfp
        >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
        >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
        >>> _ = posterior.fit(steps=20, progress=False)
        >>> other = posterior.with_prior({"x1": tfp.distributions.Normal(0.5, 0.8)})
        >>> other.sample({"y": 1.5}, draws=100, seed=2)["x1"].shape
        (100,)
        """
        from bayesinn.posterior.another_prior import AnotherPrior

        return AnotherPrior(self, prior)

    def given(self, data: Mapping[str, Any] | Observations) -> Given:
        """Return the posterior of these data (n_obs, ...), for repeated use."""
        arrays = self.check_data(data).arrays
        return Given(self.simulator, self.sample, self.log_prob, arrays)

    def require_trained(self) -> None:
        """Raise an InputError if it can't answer before it is trained."""
        return

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        """Return checked observations, from whatever form of data this posterior takes."""
        return check_observations(self.simulator, data)

    def about(self) -> dict[str, str]:
        """Return what a report says about the posterior: texts by heading."""
        return {"Posterior": type(self).__name__}


def check_posterior(subject: str, value: object) -> None:
    """Refuse what is no posterior; say how else it answers, if it is another estimator."""
    do = getattr(
        value,
        "ask",
        "train one with bi.AmortizedPosterior(simulator).fit(), load one with bi.load(folder), or "
        "pass bi.SampledPosterior(simulator, sample)",
    )
    if isinstance(getattr(value, "posterior", None), Posterior):
        do = "pass result.posterior"
    check_type(subject, value, Posterior, "a posterior", do)


class SampledPosterior(Posterior):
    """A posterior that any function draws from: another library's, an exact one, a corrected one.

    Parameters
    ----------
    simulator : Simulator
    sample : function ``(data, draws, seed)``
        Takes observables and context by name, arrays (n_obs, ...), a number of draws and a seed.
        Returns draws by parameter, arrays (n_obs, draws, *event), the same for the same seed.
    log_prob : function ``(parameters, data)``
        Takes draws as ``sample`` returns them, and the data; returns exact log densities (n_obs,
        draws), in nats. If left out, a diagnosis leaves out what needs densities.

    Raises
    ------
    InputError
        On use, if draws or densities have wrong names or shapes, or are not finite.

    Examples
    --------
    >>> import bayesinn as bi
    >>> def sample(data, draws, seed):
    ...     noise = np.random.default_rng(seed).normal(size=(2, len(data["y"]), draws))
    ...     return {
    ...         "x1": data["y"][:, None] / 2 + noise[0],
    ...         "x2": data["y"][:, None] / 2 + noise[1],
    ...     }
    >>> posterior = SampledPosterior(bi.get_simulator("linear"), sample)
    >>> posterior.sample({"y": 1.5}, draws=100, seed=2)["x1"].shape
    (100,)
    >>> bi.diagnose(posterior, simulations=100, draws=50, seed=1, progress=False).grade
    'outside'
    """

    def __init__(
        self,
        simulator: Simulator,
        sample: Callable[[Arrays, int, int], Mapping[str, Any]],
        log_prob: Callable[[Arrays, Arrays], Any] | None = None,
    ) -> None:
        check_simulator(simulator)
        if not callable(sample):
            raise InputError(
                "Argument 'sample'",
                expected="a function",
                got=repr(sample),
                do="pass sample(data, draws, seed), which returns a dict of arrays",
            )
        self.simulator = simulator
        self._sample = sample
        self._log_prob = log_prob

    @property
    def density(self) -> str | None:
        return None if self._log_prob is None else "exact"

    def sample(
        self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Draw (n_obs, draws, *event) of each parameter, checked; (draws, *event) for one."""
        observations = check_observations(self.simulator, data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        drawn = self._sample(observations.arrays, count, seeds.check_seed(seed))
        values, shape = check_parameters(self.simulator, drawn, replace(observations, batched=True))
        if shape != (observations.count, count):
            raise InputError(
                "Draws of a posterior",
                expected=f"{count} draws for each of {observations.count} observations",
                got=f"{shape}",
                do="return arrays (n_obs, draws, *event)",
            )
        for name, value in values.items():
            infinite = int(np.sum(np.isinf(value)))
            if infinite:
                raise InputError(
                    f"Draws of a posterior, parameter {name!r}",
                    expected="finite numbers",
                    got=f"{infinite:,} infinite ones",
                    do="look where 'sample' divides by zero, or overflows",
                )
        return observations.all_like_data(copied(values))

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return log densities (n_obs, draws) of parameters (n_obs, draws, *event), in nats.

        One observation without batch axis has no axis n_obs.
        """
        if self._log_prob is None:
            return super().log_prob(parameters, data)
        observations = check_observations(self.simulator, data)
        values, shape = check_parameters(self.simulator, parameters, observations)
        density = np.array(self._log_prob(values, observations.arrays), float)
        count = len(next(iter(values.values()))[0])
        if density.shape != (observations.count, count) or np.isnan(density).any():
            got = f"shape {density.shape}"
            if np.isnan(density).any():
                got += ", with NaN"
            raise InputError(
                "Densities of a posterior",
                expected=f"numbers of shape {(observations.count, count)}",
                got=got,
                do="return one for each draw",
            )
        return observations.like_data(density.reshape(shape))
