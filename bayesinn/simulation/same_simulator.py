"""What a simulator must share with the one of a saved posterior or of a simulation bank: shapes and prior."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import BayesinnError, SavedPosteriorError
from bayesinn.simulation.simulator import Simulator

_DRAWS, _MOST_COLUMNS = 4_096, 100
_LEVELS = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
#: Draws may differ between machines: those of TensorFlow's truncated normal even with the number of threads.
_ROUNDING, _STANDARD_ERRORS = 8 / _DRAWS, 5.0


class Owner(NamedTuple):
    """What a simulator is checked for: its name in messages, what to do about another, and the error to raise."""

    name: str
    do: str
    error: type[BayesinnError]


_POSTERIOR = Owner(
    "a saved posterior",
    "load with the version of the simulator that the posterior was trained on, or train again",
    SavedPosteriorError,
)

#: Entries of the manifest.
SCHEMA = {
    "packages": {str: str},
    "parameters": {str: [int]},
    "observables": {str: [int]},
    "context": {str: [int]},
    "prior": {str: [[float]]},
}


def shared_entries(simulator: Simulator) -> dict[str, Any]:
    """Return what manifests say of a simulator: shapes, and quantiles of fixed draws from prior and context."""
    shapes = {kind: {name: list(shape) for name, shape in own.items()} for kind, own in simulator.shapes.items()}
    quantiles = {
        # Draws themselves, so that they compare with other draws by counting.
        name: np.quantile(values, _LEVELS, axis=0, method="inverted_cdf").T.tolist()
        for name, values in _draws(simulator).items()
    }
    return {**shapes, "prior": quantiles}


def check_same(entries: Mapping[str, Any], simulator: Simulator, owner: Owner = _POSTERIOR) -> None:
    """Raise unless names, shapes, order and prior of all variables are those of :func:`shared_entries`."""
    for kind, shapes in simulator.shapes.items():
        now = {name: list(shape) for name, shape in shapes.items()}
        # Their order is that of the network's inputs and outputs.
        if list(now.items()) != list(entries[kind].items()):
            raise _other(owner, simulator, f"{kind} {entries[kind]}", f"{now}")
    tolerance = _STANDARD_ERRORS * np.sqrt(2.0 * _LEVELS * (1.0 - _LEVELS) / _DRAWS) + _ROUNDING
    draws = _draws(simulator) if entries["prior"] else {}
    for name in draws.keys() & entries["prior"].keys():
        saved, columns = entries["prior"][name], draws[name].T
        if [len(quantiles) for quantiles in saved] != [len(_LEVELS)] * len(columns):
            expected = f"{len(_LEVELS)} quantiles of {len(columns)} columns of {name!r}"
            raise _other(owner, simulator, expected, repr(saved)[:200])
        for column, (values, quantiles) in enumerate(zip(columns, np.asarray(saved), strict=True)):
            slack = 1e-6 * np.abs(quantiles)
            # Shares of draws below each saved quantile, and up to it: equal values, as of integers, lie between.
            below = np.mean(values[:, None] < quantiles - slack, axis=0)
            up_to = np.mean(values[:, None] <= quantiles + slack, axis=0)
            if np.any(below - tolerance > _LEVELS) or np.any(up_to + tolerance < _LEVELS):
                label = f"{name!r}" if len(columns) == 1 else f"{name!r}, element {column},"
                got = f"prior {_text(np.quantile(values, _LEVELS))}"
                raise _other(owner, simulator, f"{label} with prior {_text(quantiles)}", got)


def _draws(simulator: Simulator) -> dict[str, np.ndarray]:
    """Return fixed draws (n, columns) of each parameter and context variable; of many columns the first."""
    return {
        name: value.numpy().reshape(_DRAWS, -1)[:, :_MOST_COLUMNS].astype(np.float64)
        for prior in (simulator.prior, simulator.context)
        if prior is not None
        for name, value in prior.sample(_DRAWS, seeds.tensor_seed(0, "prior")).items()
    }


def _text(quantiles: np.ndarray) -> str:
    return "quantiles " + ", ".join(f"{level:.0%} {q:.4g}" for level, q in zip(_LEVELS, quantiles, strict=True))


def _other(owner: Owner, simulator: Simulator, expected: str, got: str) -> BayesinnError:
    subject = f"Simulator {simulator.name!r} for {owner.name}"
    return owner.error(subject, expected=expected, got=got, do=owner.do)
