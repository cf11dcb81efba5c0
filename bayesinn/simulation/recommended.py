"""Networks and training settings that a simulator's author recommends."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recommended:
    """Defaults of a simulator, used in place of the library's where its user chooses nothing.

    Parameters
    ----------
    summary : Summary, or dict of observable to Summary, as for :class:`AmortizedPosterior`
    flow : Flow, by default that of :class:`AmortizedPosterior`
    steps, batch_size : int, for online training
    learning_rate : float
    passes : int
        Number of passes through simulations that are drawn before the first step, for simulators
        slower than a training step; 0 draws new simulations at each step.

    Examples
    --------
    >>> from bayesinn.summaries import MLP
    >>> Recommended(summary=MLP(64), steps=20_000).batch_size
    256
    """

    summary: Any = None
    flow: Any = None
    steps: int = 5_000
    batch_size: int = 256
    learning_rate: float = 5e-3
    passes: int = 0
