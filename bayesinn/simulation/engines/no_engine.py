"""The engine of a model without a function: everything that would simulate says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.simulation.engines.engine import Engine
from bayesinn.simulation.engines.model import Declaration
from bayesinn.simulation.engines.outcome import Outcome
from bayesinn.simulation.simulations import Arrays, Simulations


class NoEngine(Engine):
    """Refuses to simulate; ``shapes`` and ``dtypes`` of its observables are declared."""

    kind = "arrays"
    simulates = False

    def __init__(
        self,
        declared: Declaration,
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, np.dtype],
    ) -> None:
        super().__init__(declared)
        self._shapes = dict(shapes)
        self._dtypes = dict(dtypes)

    def trial(self, rows: int) -> Arrays:
        return {
            name: np.zeros((rows, *shape), self._dtypes.get(name, np.float32))
            for name, shape in self._shapes.items()
        }

    def simulate(
        self, parameters: Arrays, context: Arrays, entropy: list[int], progress: bool = False
    ) -> Outcome:
        raise no_function(self.declared.name)

    def start(self, n: int, entropy: list[int]) -> Callable[[], Simulations]:
        raise no_function(self.declared.name)

    def renew(self, declared: Declaration, workers: int | None = None) -> Self:
        return type(self)(declared, self._shapes, self._dtypes)


class NoFunction:
    """What stands in the place of the function of a model that has none."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, parameters: Any, *others: Any) -> Any:
        """Refuse: there is nothing to simulate with."""
        raise no_function(self.__name__)


def no_function(name: str) -> InputError:
    """Return the error of whatever would have to simulate."""
    return InputError(
        f"Simulations of {name!r}",
        expected="a function that simulates",
        got="a model of bi.from_arrays, which has none",
        do=(
            "pass arrays: posterior.fit(arrays), bi.diagnose(posterior, data=held_out); or write "
            "the function and declare it with @bi.simulator"
        ),
    )
