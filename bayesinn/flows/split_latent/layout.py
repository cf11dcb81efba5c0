"""The positions of elements on both sides of a split-latent bijection."""

from __future__ import annotations

from dataclasses import dataclass

from bayesinn.core.errors import InputError


@dataclass(frozen=True)
class SplitLayout:
    """The positions of parameters, latent, padding and observables in input and output.

    Input: ``parameters`` elements of the standardised unconstrained parameter vector, then padding. Output: ``latent``
    elements, then padding, then ``observables`` standardised numbers. Both have ``width`` elements.

    Examples
    --------
    >>> layout = SplitLayout(parameters=4, latent=2, observables=2, width=6)
    >>> layout.latent_slots, layout.padding_slots, layout.observable_slots
    (slice(0, 2, None), slice(2, 4, None), slice(4, 6, None))
    >>> layout
    SplitLayout([parameters 0:4, padding 4:6] -> [latent 0:2, padding 2:4, observables 4:6])
    """

    parameters: int
    latent: int
    observables: int
    width: int

    def __post_init__(self) -> None:
        needed = max(self.parameters, self.latent + self.observables)
        if self.latent < 1 or self.width < needed:
            raise InputError(
                "Split of the output",
                expected=f"one latent element or more, and a width of at least {needed}",
                got=f"{self.latent} latent elements and width {self.width} for {self.parameters} parameters and "
                f"{self.observables} observables",
                do="leave out 'latent' and 'width', or enlarge 'width'",
            )

    @property
    def latent_slots(self) -> slice:
        """Output elements that hold the latent."""
        return slice(0, self.latent)

    @property
    def padding_slots(self) -> slice:
        """Output elements of the padding."""
        return slice(self.latent, self.width - self.observables)

    @property
    def observable_slots(self) -> slice:
        """Output elements that hold the observables."""
        return slice(self.width - self.observables, self.width)

    @property
    def input_padding(self) -> int:
        """Input elements after the parameters."""
        return self.width - self.parameters

    @property
    def output_padding(self) -> int:
        """Output elements between latent and observables."""
        return self.width - self.latent - self.observables

    def __repr__(self) -> str:
        def part(name: str, start: int, stop: int) -> list[str]:
            return [f"{name} {start}:{stop}"] if stop > start else []

        edge = self.width - self.observables
        left = part("parameters", 0, self.parameters) + part("padding", self.parameters, self.width)
        right = part("latent", 0, self.latent) + part("padding", self.latent, edge)
        right += part("observables", edge, self.width)
        return f"SplitLayout([{', '.join(left)}] -> [{', '.join(right)}])"
