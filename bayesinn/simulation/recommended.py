"""What a simulator's author found to work: networks and training for those who choose none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesinn.flows import Flow
    from bayesinn.summaries import Summary


@dataclass(frozen=True)
class Recommended:
    """Used in place of the library's defaults wherever the user of a simulator leaves something out.

    Parameters
    ----------
    summary : Summary, or dict of observable to Summary
        As for :class:`AmortizedPosterior`; chosen by the observables' shapes if left out.
    flow : Flow
        Six affine coupling blocks if left out.
    steps, batch_size : int
        Of online training.
    learning_rate : float
    passes : int
        Through simulations that are drawn before the first step, where they cost more than steps; 0 for new ones at
        each step.

    Examples
    --------
    >>> from bayesinn.summaries import MLP
    >>> Recommended(summary=MLP(64), steps=20_000).batch_size
    256
    """

    summary: Summary | Mapping[str, Summary | None] | None = None
    flow: Flow | None = None
    steps: int = 5_000
    batch_size: int = 256
    learning_rate: float = 5e-3
    passes: int = 0
