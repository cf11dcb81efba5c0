"""Quantiles of priors, which early versions of banks and posteriors kept."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.simulation.simulator import Simulator

_DRAWS = 4_096
_MOST_COLUMNS = 100
_LEVELS = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
#: Draws may differ between machines.
_ROUNDING = 8 / _DRAWS
_STANDARD_ERRORS = 5.0


def check_quantiles(
    saved: Any,
    simulator: Simulator,
    refusal: Callable[[Simulator, str], Exception],
) -> None:
    """Raise a ``refusal`` unless draws of prior and context have the quantiles that were saved."""
    tolerance = _STANDARD_ERRORS * np.sqrt(2.0 * _LEVELS * (1.0 - _LEVELS) / _DRAWS) + _ROUNDING
    draws = fixed_draws(simulator) if saved else {}
    for name in draws.keys() & saved.keys():
        columns = draws[name].T
        if [len(quantiles) for quantiles in saved[name]] != [len(_LEVELS)] * len(columns):
            got = f"{len(_LEVELS)} quantiles of {len(columns)} columns of {name!r}"
            raise refusal(simulator, f"{got} in place of {saved[name]!r:.200}")
        pairs = zip(columns, np.asarray(saved[name]), strict=True)
        for column, (values, quantiles) in enumerate(pairs):
            slack = 1e-6 * np.abs(quantiles)
            # Shares of draws below each saved quantile, and up to it: equal values, as of integers,
            # lie between.
            below = np.mean(values[:, None] < quantiles - slack, axis=0)
            up_to = np.mean(values[:, None] <= quantiles + slack, axis=0)
            if np.any(below - tolerance > _LEVELS) or np.any(up_to + tolerance < _LEVELS):
                label = f"{name!r}" if len(columns) == 1 else f"{name!r}, element {column},"
                got = f"{label} with prior {_text(np.quantile(values, _LEVELS))}"
                raise refusal(simulator, f"{got} in place of {_text(quantiles)}")


def fixed_draws(simulator: Simulator) -> dict[str, np.ndarray]:
    """Return fixed draws (n, columns) of parameters and context; of many columns the first."""
    found = {}
    for prior in simulator.priors:
        drawn = prior.sample(_DRAWS, seeds.tensor_seed(0, "prior"))
        for name, value in drawn.items():
            flat = value.numpy().reshape(_DRAWS, -1)
            found[name] = flat[:, :_MOST_COLUMNS].astype(np.float64)
    return found


def _text(quantiles: np.ndarray) -> str:
    pairs = zip(_LEVELS, quantiles, strict=True)
    return "quantiles " + ", ".join(f"{100 * level:.0f} % {value:.4g}" for level, value in pairs)
