"""How typical an observation is of the simulations that a network was trained on."""

from dataclasses import dataclass

from bayesinn.posterior.draws import FLAG_LEVEL


@dataclass(frozen=True)
class TypicalityResult:
    """How typical an observation is of the simulations of training, and its least typical part.

    The network was trained on these simulations.

    ``smallest`` is the p-value that no observation can fall below, however odd, with so few
    simulations.
    """

    p_value: float
    unusual: str
    smallest: float = 0.0

    @property
    def out_of_distribution(self) -> bool:
        """Whether the p-value is below 0.01: the posterior then extrapolates; don't trust it."""
        return self.p_value < FLAG_LEVEL

    @property
    def undecided(self) -> bool:
        """Whether the simulations are too few to call any observation an extrapolation."""
        return self.smallest >= FLAG_LEVEL

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        if self.undecided:
            return f"too few simulations to tell: no observation has p < {self.smallest:.2g}"
        odd = f"unlike the simulations in its {self.unusual}, " if self.out_of_distribution else ""
        return f"{odd}p = {self.p_value:.2g}"
