"""The positions of elements on both sides of a split-latent bijection."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from bayesinn.core.errors import InputError


@dataclass(frozen=True)
class SplitLayout:
    """The positions of parameters, latent, padding and observables in input and output.

    - Input: ``parameters`` elements of the standardised unconstrained parameter vector, then
      padding.
    - Output: ``latent`` elements, then padding, then ``observables`` standardised numbers.

    Both have ``width`` elements.

    Examples
    --------
    >>> SplitLayout(parameters=4, latent=2, observables=2, width=6)
    SplitLayout([parameters 0:4, padding 4:6] -> [latent 0:2, padding 2:4, observables 4:6])
    """

    parameters: int
    latent: int
    observables: int
    width: int

    def __post_init__(self) -> None:
        needed = max(self.parameters, self.latent + self.observables)
        if self.latent < 1 or self.width < needed:
            expected = f"one latent element or more, and a width of at least {needed}"
            numbers = f"{self.parameters} parameters and {self.observables} observables"
            raise InputError(
                "Split of the output",
                expected=expected,
                got=f"{self.latent} latent elements and width {self.width} for {numbers}",
                do="leave out 'latent' and 'width', or enlarge 'width'",
            )

    @property
    def inputs(self) -> dict[str, int]:
        """Numbers of elements in the input, in order."""
        return {"parameters": self.parameters, "padding": self.width - self.parameters}

    @property
    def outputs(self) -> dict[str, int]:
        """Numbers of elements in the output, in order."""
        padding = self.width - self.latent - self.observables
        return {"latent": self.latent, "padding": padding, "observables": self.observables}

    def __repr__(self) -> str:
        return f"SplitLayout([{_ranges(self.inputs)}] -> [{_ranges(self.outputs)}])"


def _ranges(sizes: Mapping[str, int]) -> str:
    stops = itertools.accumulate(sizes.values())
    parts = zip(sizes.items(), stops, strict=True)
    return ", ".join(f"{name} {stop - size}:{stop}" for (name, size), stop in parts if size)
