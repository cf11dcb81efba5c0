"""The protocol of posteriors: what diagnosis, reports, reference and ensembles ask for."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_draws, check_type, warn
from bayesinn.core.weights import MOST_K_HAT, Weights, population_draws
from bayesinn.posterior.answers import Given, answer, inference_data, prior_terms
from bayesinn.posterior.typicality import Typicality
from bayesinn.simulation.declaration import check_known
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.prior import Entry
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulations import copied, flatten_draws
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import Observations, check_observations, check_parameters
from bayesinn.spaces.parameters import ParameterSpace, layout_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray

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
            - log_prior of each parameter and log_likelihood of all observables, up to a number that
              draws don't change, if the log density costs little: for prior sensitivity
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
            log_prior=None if log_density is None else prior_terms(given.space, values),
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
        return AnotherPrior(self, prior)

    def given_parameters(self, values: Mapping[str, Any]) -> ConditionalPosterior:
        """Return the posterior of the other parameters, where the values of some are known.

        Its density is that of all parameters, normalised: no training is needed. Draws are weighted
        by it (adaptive importance sampling, Pareto-smoothed); k-hat says whether they can be
        trusted, and a warning if not. The result is a posterior of the other parameters: diagnose
        it, plot it.

        Parameters
        ----------
        values : dict of name to number or array (*event)
            For some of the parameters, within their prior.

        Raises
        ------
        InputError
            If the density is not exact, no parameter is left, a value has no prior density, or the
            prior of a fixed parameter depends on one that isn't fixed.

        Examples
        --------
        >>> import bayesinn as bi
        >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
        >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
        >>> _ = posterior.fit(steps=20, progress=False)
        >>> rest = posterior.given_parameters({"x1": 0.5})
        >>> {name: draws.shape for name, draws in rest.sample({"y": 1.5}, draws=100).items()}
        {'x2': (100,)}
        """
        return ConditionalPosterior(self, values)

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
        # Copies: what the function writes into them is nobody else's.
        drawn = self._sample(copied(observations.arrays), count, seeds.check_seed(seed))
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
        given = copied(values), copied(observations.arrays)
        density = np.array(self._log_prob(*given), float)
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


class DerivedPosterior(Posterior):
    """A posterior that is made of others; an author writes :meth:`given` and :attr:`density`."""

    @abstractmethod
    def given(self, data: Mapping[str, Any] | Observations) -> Given: ...

    def sample(
        self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Draw (n_obs, draws, *event) of each parameter, or (draws, *event) for one observation.

        If p-values of observations are known, the draws have ``p_value``, ``unusual`` and
        ``out_of_distribution``, like those of a trained posterior. A warning says where they can't
        be trusted: members disagree, or weights are worth too few draws.
        """
        observations = self.check_data(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        given = self.given(observations)
        values = given.sample(count, seed)
        if given.remark:
            warn(given.remark)
        return answer(values, given.typicality, observations)

    def log_prob(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        """Return the log density in nats; shapes are those of :meth:`Posterior.log_prob`."""
        if self.density is None:
            return super().log_prob(parameters, data)
        observations = self.check_data(data)
        values, shape = check_parameters(self.simulator, parameters, observations)
        return observations.like_data(self.given(observations).log_prob(values).reshape(shape))


# Proposals for each draw, and the fewest for an observation: k-hat needs a tail of a hundred.
_PROPOSALS = 5
_FEWEST = 2_500
# A vector whose round trip is off by more prior sds lies in the last bits of a support.
_ROUND_TRIP = 0.1
# Draws of the new prior that must lie where the old one has mass.
_TRIALS = 4_000


class AnotherPrior(DerivedPosterior):
    """The posterior under another prior; made by :meth:`bayesinn.Posterior.with_prior`.

    The constant of its density is that of 2,500 weighted draws.

    Attributes
    ----------
    simulator : Simulator, with the new prior
    posterior : Posterior, the one that was trained under the old prior
    """

    def __init__(self, posterior: Posterior, prior: Mapping[str, Entry]) -> None:
        if posterior.grouped:
            raise InputError(
                f"with_prior of {type(posterior).__name__}",
                expected="a posterior of one simulation's parameters",
                got="one of a population and its members",
                do="train with the new prior",
            )
        subject = "Argument 'prior'"
        do = "pass for example {'rate': tfd.LogNormal(-1.0, 0.3)}; others keep theirs"
        check_type(subject, prior or None, Mapping, "a dict of distributions", do)
        old = posterior.simulator.prior
        check_known(subject, prior, old.names)
        self.posterior = posterior
        self.simulator = derived_simulator(posterior.simulator, prior={**old.entries, **prior})
        if (new := self.simulator.prior).event_shapes != old.event_shapes:
            raise InputError(
                subject,
                expected=f"parameters of the shapes {old.event_shapes}",
                got=f"{new.event_shapes}",
                do="give each parameter a distribution of its old shape",
            )
        self._old, self._new = (
            ParameterSpace(simulator.prior, 0)
            for simulator in (posterior.simulator, self.simulator)
        )
        self._refuse_beyond(subject)

    def _refuse_beyond(self, subject: str) -> None:
        """Refuse a prior with mass where the old one has none: no draw can be there."""
        draws = self.simulator.prior.sample(_TRIALS, seeds.tensor_seed(0, "prior"))
        density = self._old.prior_log_prob(draws).numpy()
        share = float(np.mean(~np.isfinite(density)))
        if share:
            raise InputError(
                subject,
                expected="a prior within the one of the training",
                got=f"one with {100 * share:.2g} % of its mass outside",
                do="take one inside, or train with the new prior",
            )

    @property
    def density(self) -> str | None:
        return self.posterior.density

    def log_weight(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the log ratio (n, draws) of the priors, new to old, at (n, draws, *event)."""
        shape = next(iter(parameters.values())).shape[:2]
        flat = flatten_draws(parameters)
        new, old = (space.prior_log_prob(flat).numpy() for space in (self._new, self._old))
        return np.where(np.isfinite(old), new - old, -np.inf).reshape(shape)

    def given(self, data: Mapping[str, Any] | Observations) -> PriorGiven:
        observations = self.check_data(data)
        return PriorGiven(self, self.posterior.given(observations), observations.arrays)

    def require_trained(self) -> None:
        self.posterior.require_trained()

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        return self.posterior.check_data(data)

    def about(self) -> dict[str, str]:
        return {**self.posterior.about(), "Prior": "another one, by weights"}


class WeightedGiven(Given):
    """The posterior of n data sets by weighted draws; an author writes ``weigh`` and ``log_prob``.

    Parameters
    ----------
    base : Given, the posterior that it is made of, for the same data
    reason : str, why weights may fail
    advice : str, what to do then
    """

    def __init__(
        self, simulator: Simulator, base: Given, data: Arrays, reason: str, advice: str
    ) -> None:
        super().__init__(simulator, self.sample, self.log_prob, data)
        self._base = base
        self._reason = reason
        self._advice = advice
        self.evaluations = base.evaluations

    @property
    def features(self) -> np.ndarray:
        return self._base.features

    @property
    def inputs(self) -> np.ndarray:
        return self._base.inputs

    @property
    def typicality(self) -> Typicality | None:
        return self._base.typicality

    @property
    def count(self) -> int:
        """Number of data sets."""
        return len(next(iter(self._data.values())))

    @abstractmethod
    def weigh(self, count: int, seed: int, stream: str) -> tuple[Arrays, list[Weights]]:
        """Return draws (n, count, *event), and the weights of those of each data set."""

    def sample(self, draws: int, seed: int, stream: str = "draws") -> Arrays:
        count = max(_PROPOSALS * draws, _FEWEST)
        check_draws(count, self._simulator.prior.event_shapes, self.count)
        proposals, weights = self.weigh(count, seed, stream)
        distrusted = [not one.trustworthy for one in weights]
        if any(distrusted):
            worst = max(one.k_hat for one in weights)
            self.remark = (
                f"At {sum(distrusted):,} of {len(weights):,} observations {self._reason}: k-hat is "
                f"{worst:.2f}, and can be trusted up to {MOST_K_HAT}. {self._advice}"
            )
        rows = [
            seeds.generator(seed, stream, 1 + number).choice(
                len(one.weights), size=draws, p=one.weights
            )
            for number, one in enumerate(weights)
        ]
        chosen = np.stack(rows)
        each = np.arange(len(chosen))[:, None]
        return {name: value[each, chosen] for name, value in proposals.items()}

    @functools.cached_property
    def constants(self) -> np.ndarray:
        """Log of the mean ratio of densities (n,), always by the same draws."""
        return np.array([one.log_evidence for one in self.weigh(_FEWEST, 0, "draws")[1]])


class PriorGiven(WeightedGiven):
    """The posterior of n data sets under another prior."""

    def __init__(self, posterior: AnotherPrior, base: Given, data: Arrays) -> None:
        reason = "the new prior is too far from the draws of the posterior"
        advice = "Train with the new prior; with a likelihood, use bi.refine."
        super().__init__(posterior.simulator, base, data, reason, advice)
        self._posterior = posterior

    def log_prob(self, parameters: Arrays) -> np.ndarray:
        ratio = self._posterior.log_weight(parameters)
        return self._base.log_prob(parameters) + ratio - self.constants[:, None]

    def weigh(self, count: int, seed: int, stream: str) -> tuple[Arrays, list[Weights]]:
        proposals = self._base.sample(count, seed, stream)
        ratios = self._posterior.log_weight(proposals)
        if not np.isfinite(ratios).any(axis=1).all():
            raise InputError(
                "Observations under another prior",
                expected="draws of the old posterior where the new prior has mass",
                got=f"none of {count:,} at some observation",
                do="train with the new prior",
            )
        return proposals, [Weights.smooth(row) for row in ratios.astype(float)]


# Draws of all parameters, of which those nearest to the fixed ones make the first proposals.
_NEIGHBOURS = 2_000
_NEAREST = 200


class ConditionalPosterior(DerivedPosterior):
    """The posterior given some parameters; made by :meth:`bayesinn.Posterior.given_parameters`.

    The constant of its density is that of 2,500 weighted draws.

    Attributes
    ----------
    simulator : Simulator of the other parameters; those that are fixed have their values
    posterior : Posterior of all parameters
    fixed : dict of name to array (*event)
    """

    def __init__(self, posterior: Posterior, values: Mapping[str, Any]) -> None:
        if posterior.grouped or posterior.density != "exact":
            raise InputError(
                f"given_parameters of {type(posterior).__name__}",
                expected="a posterior of one simulation's parameters, with an exact density",
                got="one of a population and its members"
                if posterior.grouped
                else f"one with density {posterior.density!r}",
                do="train bi.AmortizedPosterior with a flow such as bi.flows.coupling()",
            )
        subject = "Argument 'values'"
        do = "pass for example {'t0': 0.3}"
        check_type(subject, values or None, Mapping, "a dict of values by parameter", do)
        prior = posterior.simulator.prior
        check_known(subject, values, prior.names)
        if len(values) == len(prior.names):
            raise InputError(
                subject,
                expected=f"some of the parameters {list(prior.names)}",
                got="all of them",
                do="leave out those whose posterior is asked for",
            )
        self.posterior = posterior
        self.fixed = {
            name: self._check_value(name, values) for name in prior.names if name in values
        }
        self.simulator = derived_simulator(posterior.simulator, fixed=self.fixed)

    def _check_value(self, name: str, values: Mapping[str, Any]) -> np.ndarray:
        """Return the value (*event) of a parameter, which must have a prior density."""
        prior = self.posterior.simulator.prior
        subject = f"Parameter {name!r}, which is fixed"
        if free := [need for need in prior.needs[name] if need not in values]:
            raise InputError(
                subject,
                expected="values, too, of the parameters that its prior depends on",
                got=f"none of {free}",
                do=f"fix {free}, too, or declare the prior in another order",
            )
        event = prior.event_shapes[name]
        value = numbers(subject, values[name])
        if value.shape != event:
            raise InputError(
                subject,
                expected=f"one value, of shape {event}",
                got=f"shape {value.shape}",
                do="call given_parameters for each of several values",
            )
        whole = prior.sample(2, seeds.tensor_seed(0, "prior"))
        known = {need: np.asarray(values[need]) for need in prior.needs[name]}
        whole |= {key: np.stack([one, one]) for key, one in {**known, name: value}.items()}
        space = ParameterSpace(prior, 0)
        fraction = name in space.discrete and np.any(value != np.floor(value))
        if fraction or not np.isfinite(space.prior_log_prob(whole, [name])).all():
            raise InputError(
                subject,
                expected="a value that its prior can have",
                got=f"{value.tolist()}",
                do=f"check its unit; {prior_text(prior)}",
            )
        return value.astype(prior.dtypes[name])

    def log_marginal(self, data: Mapping[str, Any]) -> np.ndarray:
        """Return the log posterior density (n_obs,) of the values that are fixed, in nats.

        That is the constant of the density. At several values, it is a profile: the marginal
        posterior of what is fixed.

        Examples
        --------
        >>> import bayesinn as bi
        >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
        >>> posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
        >>> _ = posterior.fit(steps=20, progress=False)
        >>> rest = [posterior.given_parameters({"x1": value}) for value in (0.5, 6.0)]
        >>> middle, far = [one.log_marginal({"y": 1.5}) for one in rest]
        >>> bool(middle > far)
        True
        """
        observations = self.check_data(data)
        return observations.like_data(self.given(observations).constants)

    @property
    def density(self) -> str | None:
        return "exact"

    def given(self, data: Mapping[str, Any] | Observations) -> ConditionalGiven:
        observations = self.check_data(data)
        return ConditionalGiven(self, self.posterior.given(observations), observations.arrays)

    def require_trained(self) -> None:
        self.posterior.require_trained()

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        return self.posterior.check_data(data)

    def about(self) -> dict[str, str]:
        values = ", ".join(f"{name} = {value}" for name, value in self.fixed.items())
        return {**self.posterior.about(), "Fixed parameters": values}


class ConditionalGiven(WeightedGiven):
    """The posterior of n data sets given some parameters.

    Vectors are those of the space of all parameters, of which only some elements vary.
    """

    def __init__(self, posterior: ConditionalPosterior, base: Given, data: Arrays) -> None:
        reason = "draws differ too much from the density of the parameters that are left"
        advice = "The data may contradict the values that are fixed."
        super().__init__(posterior.simulator, base, data, reason, advice)
        self._fixed = posterior.fixed
        self._whole = base.space
        self._free = self._whole.elements_of(posterior.simulator.prior.names) > 0.0

    def log_prob(self, parameters: Arrays) -> np.ndarray:
        draws = next(iter(parameters.values())).shape[1]
        return self._joint(parameters, draws) - self.constants[:, None]

    def weigh(self, count: int, seed: int, stream: str) -> tuple[Arrays, list[Weights]]:
        generators = [
            seeds.generator(seed, f"{stream} from kernels", number) for number in range(self.count)
        ]
        starts = self._starts(seed, stream)
        vectors, weights = population_draws(self._log_density, starts, count, generators)
        flat = self._augmented(vectors)
        plain = self._whole.plain(flat)
        dtypes = self._simulator.prior.dtypes
        names = self._simulator.prior.names
        shape = vectors.shape[:2]
        return {
            name: np.asarray(plain[name], dtypes[name]).reshape(*shape, *plain[name].shape[1:])
            for name in names
        }, weights

    def _starts(self, seed: int, stream: str) -> list[np.ndarray]:
        """Return for each data set draws (k, d) of what is left, near the fixed values.

        They are moved along the regression on what is fixed (Beaumont, Zhang and Balding 2002).
        """
        draws = self._base.sample(_NEIGHBOURS, seed, f"{stream} to start from")
        vectors = self._whole.vectors(flatten_draws(draws)).astype(float)
        first = {name: value[:1, 0] for name, value in draws.items()}
        values = self._whole.middle({**first, **self._spread(1)})
        place = self._whole.to_vector(values)[0].numpy().astype(float)[:, ~self._free]
        starts = []
        for rows in vectors.reshape(self.count, -1, self._whole.dimension):
            fixed = rows[:, ~self._free]
            free = rows[:, self._free]
            away = place - fixed
            design = fixed - fixed.mean(axis=0)
            slopes = np.linalg.lstsq(design, free - free.mean(axis=0), rcond=1e-6)[0]
            scaled = away / np.maximum(design.std(axis=0), 1e-12)
            nearest = np.argsort(np.sum(scaled**2, axis=1))[:_NEAREST]
            starts.append(free[nearest] + away[nearest] @ slopes)
        return starts

    def _spread(self, rows: int) -> Arrays:
        return {name: np.repeat(value[None], rows, axis=0) for name, value in self._fixed.items()}

    def _augmented(self, vectors: np.ndarray) -> Mapping[str, Any]:
        """Return parameters (n m, *event), augmented, of vectors (n, m, d) of what is left."""
        rows = vectors.shape[0] * vectors.shape[1]
        whole = np.zeros((rows, self._whole.dimension), np.float32)
        whole[:, self._free] = vectors.reshape(rows, -1)
        fixed = self._whole.middle(
            {**self._whole.from_vector(tf.constant(whole)), **self._spread(rows)}
        )
        given = {name: fixed[name] for name in self._fixed}
        names = self._simulator.prior.names
        return {**given, **self._whole.augmented(tf.constant(whole), names, given)}

    def _log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Return log densities (n, m) of vectors (n, m, d) of what is left, not normalised."""
        values = self._augmented(vectors)
        back, log_det = self._whole.to_vector(values, self._simulator.prior.names)
        # Past the last bits of a bounded support the density would stop falling.
        moved = np.abs(back.numpy()[:, self._free] - vectors.reshape(len(back), -1))
        exact = np.all(moved < _ROUND_TRIP, axis=1)
        plain = self._whole.plain(values)
        shape = vectors.shape[:2]
        parameters = {
            name: np.asarray(plain[name]).reshape(*shape, *plain[name].shape[1:])
            for name in self._simulator.prior.names
        }
        density = self._joint(parameters, shape[1]) - log_det.numpy().reshape(shape)
        return np.where(exact.reshape(shape), density, -np.inf)

    def _joint(self, parameters: Arrays, draws: int) -> np.ndarray:
        """Return log densities (n, draws) of all parameters; others (n, draws, *event)."""
        spread = {
            name: np.broadcast_to(value, (self.count, draws, *value.shape))
            for name, value in self._fixed.items()
        }
        return self._base.log_prob({**parameters, **spread})
