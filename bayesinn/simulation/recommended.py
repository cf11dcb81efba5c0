"""Networks and training settings that a simulator's author recommends."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recommended:
    """Defaults of a simulator, in place of the library's, for whatever its user leaves out.

    Parameters
    ----------
    summary : Summary, or dict of observable to Summary, as for :class:`AmortizedPosterior`
    flow : Flow, by default six affine coupling blocks
    steps, batch_size : int, of online training
    learning_rate : float
    passes : int
        Through simulations drawn before the first step, where they cost more than steps; 0: new at
        each step.

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
