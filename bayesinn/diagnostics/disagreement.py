"""Disagreement: the share of a posterior's variance that lies between members of an ensemble."""

from dataclasses import dataclass

import numpy as np

from bayesinn.core.labels import columns
from bayesinn.diagnostics.arrays import Arrays
from bayesinn.diagnostics.tested import Result

#: Share of the data sets above which members that disagree there are worth a remark.
_OFTEN = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class DisagreementResult(Result):
    """Shares of the variance of each parameter between members: 0 where all agree, at most 1."""

    shown = ("disagreement", "often", "observed")
    _heading = "Share of variance between members of the ensemble"
    share: np.ndarray  #: (n, k), of each data set
    observed: np.ndarray  #: (k,), of the observation; NaN without one
    most: float  #: share above which members disagree

    @property
    def disagreement(self) -> np.ndarray:
        """Mean share (k,) over data sets."""
        return self.share.mean(axis=0)

    @property
    def often(self) -> np.ndarray:
        """Fraction (k,) of the data sets where members disagree."""
        return np.mean(self.share > self.most, axis=0)

    @property
    def flagged(self) -> bool:
        """Whether members disagree at the observation, or on more than 5 % of the data sets."""
        return bool(np.any(self.observed > self.most) or np.any(self.often > _OFTEN))

    @property
    def summary(self) -> str:
        worst = int(np.argmax(self.often))
        text = f"members disagree on {100 * self.often[worst]:.0f} % of data sets "
        text += f"({self.columns[worst]})"
        if np.any(self.observed > self.most):
            worst = int(np.argmax(self.observed))
            text += f", and at the observation ({self.columns[worst]}: "
            text += f"{100 * self.observed[worst]:.0f} % of the variance lies between them)"
        return text


def disagreement(share: Arrays, observed: Arrays | None, most: float) -> DisagreementResult:
    """Gather shares of variance between members, (n, *event), and of an observation (1, *event)."""
    by_column = columns(share, batch_ndim=1)
    seen = columns(observed, batch_ndim=1) if observed is not None else {}
    return DisagreementResult(
        tuple(by_column),
        np.stack([*by_column.values()], axis=-1),
        np.array([seen[name][0] if seen else np.nan for name in by_column]),
        most,
    )
