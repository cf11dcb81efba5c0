"""P-values from repetitions that are exchangeable with what was observed: exact, whatever the statistic.

What was observed counts as one of them (Phipson & Smyth 2010, arXiv:1603.05766): no p-value is below
1 / (1 + repetitions).
"""

from __future__ import annotations

import numpy as np

from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.arrays import check_level


def check_repetitions(name: str, number: int, level: float) -> int:
    """Return how many repetitions it takes to fail at a level, after checking that there are as many."""
    least = int(np.ceil(1.0 / (1.0 - check_level(level)) - 1e-6)) - 1
    check_integer(f"Argument {name!r}", number, least, do=f"take more, or a lower level: fewer can't fail at {level:g}")
    return least


def p_values(observed: np.ndarray, null: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Return the shares (k,) of observed (k,) and null (repetitions, k) that are as large as the observed ones.

    Numbers that agree within the tolerance are ties, and ties count.
    """
    return np.asarray((1 + np.sum(null >= observed - tolerance, axis=0)) / (1 + len(null)))
