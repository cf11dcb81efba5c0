"""Ensembles: the mixture of several posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import scipy.special

from bayesinn.bijections.bijection import Condition
from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_choice, check_draws, check_type, warn
from bayesinn.estimators.estimator import Joined
from bayesinn.posterior.answers import DISAGREEMENT, Given, share_between
from bayesinn.posterior.mode import ModeFinder
from bayesinn.posterior.posterior import DerivedPosterior, Posterior
from bayesinn.posterior.typicality import Typicality
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.derived import check_alike
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations

if TYPE_CHECKING:
    import xarray


# Draws of each member, below which chance may look like disagreement.
_FEWEST = 50


class Mixed(Given):
    """The mixture of the posteriors of n data sets, with weights (k,) of its members."""

    def __init__(
        self, simulator: Simulator, members: Sequence[Given], weights: np.ndarray, data: Arrays
    ) -> None:
        super().__init__(simulator, self.sample, self.log_prob, data)
        self.evaluations = max(member.evaluations for member in members)
        self._members = members
        self._weights = weights

    @property
    def features(self) -> np.ndarray:
        return self._heaviest.features

    @property
    def inputs(self) -> np.ndarray:
        return self._heaviest.inputs

    @property
    def typicality(self) -> Typicality | None:
        """What the members say together; None where one doesn't know.

        The p-value is twice their weighted mean, which is never too small, however they depend on
        each other (Vovk & Wang 2020, Combining p-values via averaging, arXiv:1212.4966).
        """
        known = [part for member in self._members if (part := member.typicality) is not None]
        if len(known) < len(self._members):
            return None
        p_values = np.stack([part.p_value for part in known])
        unusual = np.stack([part.unusual for part in known])
        smallest = 2.0 * np.average([part.smallest for part in known], weights=self._weights)
        least = np.argmin(p_values, axis=0)
        return Typicality(
            np.minimum(2.0 * np.average(p_values, axis=0, weights=self._weights), 1.0),
            unusual[least, np.arange(len(least))],
            min(float(smallest), 1.0),
        )

    @property
    def mode_finder(self) -> tuple[ModeFinder, Sequence[Condition]] | None:
        known = [part for member in self._members if (part := member.mode_finder) is not None]
        if len(known) < len(self._members):
            return None
        models = [model for own, _ in known for model in own.models]
        weights = [
            share * weight
            for (own, _), share in zip(known, self._weights, strict=True)
            for weight in own.weights
        ]
        return ModeFinder(models, weights), [one for _, own in known for one in own]

    def sample(self, draws: int, seed: int, stream: str = "draws") -> Arrays:
        if stream != "draws":
            seed = seeds.integer_seed(seed, stream)
        count = count_rows(self._data)
        chosen = seeds.generator(seed, "ensemble").choice(
            len(self._weights), size=(count, draws), p=self._weights
        )
        values: Arrays = {}
        every = []
        for number, member in enumerate(self._members):
            mask = chosen == number
            counts = mask.sum(axis=1)
            if not counts.any():
                continue
            most = int(counts.max())
            drawn = member.sample(most, seeds.integer_seed(seed, "ensemble", 1 + number))
            every.append(drawn)
            first = np.arange(most) < counts[:, None]
            for name, value in drawn.items():
                shape = (*mask.shape, *value.shape[2:])
                values.setdefault(name, np.empty(shape, value.dtype))[mask] = value[first]
        self.remark = self._compare(every)
        return values

    def log_prob(self, parameters: Arrays) -> np.ndarray:
        densities = np.stack([member.log_prob(parameters) for member in self._members])
        return scipy.special.logsumexp(densities, axis=0, b=self._weights[:, None, None])

    def disagreement(self, draws: int, seed: int) -> Arrays:
        drawn = [
            member.sample(draws, seeds.integer_seed(seed, "ensemble", 1 + number))
            for number, member in enumerate(self._members)
        ]
        return share_between(drawn, self._weights)

    @property
    def _heaviest(self) -> Given:
        return self._members[int(np.argmax(self._weights))]

    def _compare(self, drawn: Sequence[Arrays]) -> str:
        """Say where the members disagree; nothing where they agree, or drew too little to tell."""
        sizes = [next(iter(part.values())).shape[1] for part in drawn]
        if len(drawn) < len(self._members) or min(sizes) < _FEWEST:
            return ""
        shares = {
            name: value.reshape(len(value), -1).max(axis=1)
            for name, value in share_between(drawn, self._weights).items()
        }
        worst = max(shares, key=lambda name: float(shares[name].max()))
        beyond = np.any([value > DISAGREEMENT for value in shares.values()], axis=0)
        if not beyond.any():
            return ""
        where = (
            f"at {beyond.sum():,} of {len(beyond):,} observations" if len(beyond) > 1 else "here"
        )
        return (
            f"The members of the ensemble disagree {where}: of the variance of {worst!r}, "
            f"{100 * shares[worst].max():.0f} % lies between them. They have not learned the "
            "posterior there. Train them for longer, or on more simulations, and look at "
            "disagreement(data)."
        )


# Weights of an ensemble of ten settle to 1e-3 in half this number.
_ITERATIONS = 500


class Ensemble(Joined, DerivedPosterior):
    """The mixture of posteriors of one simulator, such as networks trained with different seeds.

    Its density is the exact mixture density. Its average score is no worse than the mean of its
    members' scores (Jensen's inequality). Where members disagree, the networks have not learned the
    posterior, and draws come with a warning; see :meth:`disagreement`.

    Parameters
    ----------
    posteriors : sequence of Posterior
    weights : sequence of float, or "validation"
        Weights of the members, divided by their sum; by default equal. "validation" makes them
        proportional to exp(-loss), where loss, in nats, is the least validation loss in a member's
        history. Fit all members with the same ``validation``: otherwise they differ by chance, and
        a warning says so. :meth:`weighted` finds the weights that are best on simulations.

    References
    ----------
    Hermans et al. (2022), A trust crisis in simulation-based inference?, arXiv:2110.06581
    (ensembles are calibrated better). Yao et al. (2018), Using stacking to average Bayesian
    predictive distributions, arXiv:1704.02030 (weights).

    Examples
    --------
    >>> import bayesinn as bi
    >>> linear = bi.get_simulator("linear")
    >>> flow = bi.flows.coupling(blocks=1, hidden=(8,))
    >>> members = [
    ...     bi.AmortizedPosterior(linear, flow=flow).fit(steps=20, seed=seed, progress=False)
    ...     for seed in (1, 2)
    ... ]
    >>> posterior = Ensemble(members)
    >>> posterior.sample({"y": 1.5}, draws=100, seed=3)["x1"].shape
    (100,)
    """

    schema: ClassVar[Mapping[str, Any]] = {"weights": [float]}

    def __init__(
        self,
        posteriors: Sequence[Posterior],
        weights: Sequence[float] | Literal["validation"] | None = None,
    ) -> None:
        subject = "Ensemble, argument 'posteriors'"
        do = "pass a list, such as [bi.load(folder) for folder in folders]"
        check_type(subject, posteriors or None, (list, tuple), "a list of posteriors", do)
        for posterior in posteriors:
            check_type(f"{subject}, each", posterior, Posterior, "a posterior", do)
        self.posteriors = tuple(posteriors)
        self.simulator = posteriors[0].simulator
        for posterior in posteriors[1:]:
            check_alike(
                subject, "posteriors of one simulator", self.simulator, posterior.simulator, do
            )
        subject = "Ensemble, argument 'weights'"
        if isinstance(weights, str):
            check_choice(subject, weights, ("validation",))
            weights = scipy.special.softmax([-_held_out_loss(member) for member in posteriors])
            rows = {getattr(member, "training", {}).get("held_out") for member in posteriors}
            if len(posteriors) > 1 and (None in rows or len(rows) > 1):
                warn(
                    "Validation losses of members are of different simulations, so that weights "
                    "differ by chance: fit all members with the same validation={...}, or weight "
                    "them by bi.Ensemble.weighted(posteriors, simulations)."
                )
        given = np.ones(len(posteriors)) if weights is None else numbers(subject, weights)
        if (
            given.shape != (len(posteriors),)
            or not np.all(given >= 0.0)
            or not 0.0 < given.sum() < np.inf
        ):
            raise InputError(
                subject,
                expected=f"{len(posteriors)} numbers from 0, not all of them 0",
                got=f"{weights}",
                do="leave them out",
            )
        self.weights = given / given.sum()

    @classmethod
    def weighted(cls, posteriors: Sequence[Posterior], data: Mapping[str, Any]) -> Ensemble:
        """Return the ensemble whose weights are best: largest mean log density of true parameters.

        ``data`` are simulations in the form of :meth:`Simulator.sample`, on which no member was
        trained; some hundreds are enough. Every member must have a density.
        """
        ensemble = cls(posteriors)
        arrays = check_simulations(ensemble.simulator, data, "Simulations")
        # One draw of each row, as the protocol has it.
        truth = {name: arrays.pop(name)[:, None] for name in ensemble.simulator.prior.names}
        densities = [member.log_prob(truth, arrays)[:, 0] for member in ensemble.posteriors]
        scores = np.stack(densities).astype(np.float64)
        # Truths that no member thinks possible don't tell members apart.
        scores = scores[:, np.isfinite(scores).any(axis=0)]
        if not scores.size:
            raise InputError(
                "Ensemble.weighted, argument 'data'",
                expected="simulations whose true parameters have a density under some member",
                got="none",
                do="leave out the weights, and train the members for longer",
            )
        weights = ensemble.weights
        for _ in range(_ITERATIONS):
            # Expectation maximisation, whose likelihood has one maximum.
            shares = scipy.special.softmax(scores + np.log(weights + 1e-300)[:, None], axis=0)
            weights = shares.mean(axis=1)
        return cls(posteriors, weights.tolist())

    @property
    def members(self) -> Sequence[Posterior]:
        return self.posteriors

    def entries(self) -> dict[str, Any]:
        return {"weights": self.weights.tolist()}

    @classmethod
    def from_members(cls, members: Sequence[Posterior], entries: Mapping[str, Any]) -> Self:
        ensemble = cls(members, entries["weights"])
        if abs(sum(entries["weights"]) - 1.0) > 1e-6:
            raise ValueError(f"weights {entries['weights']}, which don't add up to 1")
        # As saved, to the last bit: dividing by the sum once more may change it.
        ensemble.weights = np.asarray(entries["weights"], float)
        return ensemble

    @property
    def density(self) -> str | None:
        """None if a member has no density, "costly" if one is costly, else "exact"."""
        kinds = {member.density for member in self.posteriors}
        return next((kind for kind in (None, "costly") if kind in kinds), "exact")

    def infer(self, data: Mapping[str, Any], **options: Any) -> xarray.DataTree:
        """Return draws of the mixture and all that ArviZ needs; see :meth:`Posterior.infer`."""
        if any(member.grouped for member in self.posteriors):
            raise InputError(
                "infer of an Ensemble",
                expected="posteriors of one simulator's parameters",
                got="hierarchical ones, which answer for each member of a group",
                do="mix the draws that sample_all(data) of each posterior returns",
            )
        return super().infer(data, **options)

    def given(self, data: Mapping[str, Any] | Observations) -> Mixed:
        """Return the mixture for these data; what its members need of them is computed once."""
        observations = self.check_data(data)
        used = np.flatnonzero(self.weights)
        members = [self.posteriors[number].given(observations) for number in used]
        return Mixed(self.simulator, members, self.weights[used], observations.arrays)

    def require_trained(self) -> None:
        for member in self.posteriors:
            member.require_trained()

    def check_data(self, data: Mapping[str, Any] | Observations) -> Observations:
        return self.posteriors[0].check_data(data)

    def disagreement(
        self, data: Mapping[str, Any], *, draws: int = 1_000, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Return the share of each parameter's variance that lies between members, (n_obs, *event).

        Zero if all have the same mean, near one if they exclude each other. More than 0.2 means
        that the networks have not learned the posterior there.
        """
        observations = self.check_data(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count, least=2)
        return observations.all_like_data(self.given(observations).disagreement(count, seed))

    def __repr__(self) -> str:
        members = "\n".join(
            f"  {weight:.2g}: {member!r}"
            for weight, member in zip(self.weights, self.posteriors, strict=True)
        )
        return (
            f"Ensemble of {len(self.posteriors)} posteriors of {self.simulator.name!r}\n{members}"
        )


def _held_out_loss(posterior: Posterior) -> float:
    """Return the least loss on held-out simulations in the history of a training, in nats."""
    history = posterior.history
    if history is None or "val_loss" not in history or not posterior.nats:
        raise InputError(
            "Ensemble, weights='validation'",
            expected="members trained with a validation set, whose losses are in nats",
            got=f"{posterior!r}",
            do="use bi.Ensemble.weighted(posteriors, simulations), or leave weights out",
        )
    return float(history["val_loss"].min())
