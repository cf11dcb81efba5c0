"""Test quantities: functions of parameters and data, checked and evaluated."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.core.validation import check_type
from bayesinn.diagnosis.evidence import MissingEvidence, Pair
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.simulations import Arrays

#: A function of parameters, a dict of name to array (m, *event), and of one observation; returns
#: (m,).
Quantity = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Any]


def check_quantities(quantities: Mapping[str, Quantity] | None, prior: Prior) -> None:
    """Refuse what are no functions by name, and names of parameters or their columns."""
    do = "pass {'name': function of parameters and data}"
    subject = "Argument 'quantities'"
    check_type(subject, quantities, (Mapping, type(None)), "a dict of functions", do)
    if quantities is None:
        return
    for name, quantity in quantities.items():
        check_type(f"{subject}, each name", name, str, "a text", do)
        if not callable(quantity):
            raise InputError(
                f"test quantity {name!r}", expected="a function", got=repr(quantity), do=do
            )
    events = {name: np.empty(shape) for name, shape in prior.event_shapes.items()}
    refuse_names_of_parameters(quantities, columns(events, batch_ndim=0))


def refuse_names_of_parameters(names: Iterable[str], parameters: Collection[str]) -> None:
    """Refuse test quantities with the name of a column of parameters."""
    for name in names:
        if name in parameters:
            raise InputError(
                f"test quantity {name!r}",
                expected="a name that no parameter has",
                got=f"parameters {list(parameters)}",
                do="give it another name",
            )


def evaluate_finite(
    quantities: Mapping[str, Quantity], truth: Arrays, draws: Arrays, data: Arrays
) -> dict[str, Pair]:
    """Return each quantity of the truths (n,) and of the draws (n, L), all of them finite."""
    found = evaluate(quantities, truth, draws, data)
    for name, (of_truth, of_draws) in found.items():
        undefined = ~np.isfinite(of_truth) | ~np.isfinite(of_draws).all(axis=1)
        if undefined.any():
            raise MissingEvidence(
                f"test quantity {name!r} is NaN or infinite for {undefined.sum():,} of "
                f"{len(undefined):,} data sets"
            )
    return found


def evaluate(
    quantities: Mapping[str, Quantity], truth: Arrays, draws: Arrays, data: Arrays
) -> dict[str, Pair]:
    """Return each quantity of the truths (n,) and of the draws (n, L)."""
    # One call for each data set: the truth first, then its draws.
    both = {name: np.concatenate([truth[name][:, None], draws[name]], axis=1) for name in draws}
    count, size = next(iter(both.values())).shape[:2]
    result = {}
    for name, quantity in quantities.items():
        rows = np.empty((count, size))
        for index in range(count):
            # Copies: a quantity that changes what it gets must not change what the next one gets.
            parameters = {key: value[index].copy() for key, value in both.items()}
            observation = {key: np.array(value[index]) for key, value in data.items()}
            row = np.asarray(quantity(parameters, observation), dtype=float)
            if row.shape != (size,):
                raise InputError(
                    f"test quantity {name!r}",
                    expected=f"one number for each of {size} sets of parameters: shape ({size},)",
                    got=f"shape {row.shape}",
                    do="compute on the first axis of the parameters; the data are one observation, "
                    "without batch axis",
                )
            rows[index] = row
        result[name] = rows[:, 0], rows[:, 1:]
    return result
