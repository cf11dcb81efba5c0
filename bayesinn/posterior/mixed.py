"""The posterior of some data sets by an ensemble, and how far its members agree there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.special

from bayesinn.bijections.condition import Condition
from bayesinn.core import seeds
from bayesinn.posterior.disagreement import DISAGREEMENT, share_between
from bayesinn.posterior.given import Given
from bayesinn.posterior.mode import ModeFinder
from bayesinn.posterior.typicality import Typicality
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator

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
