"""What the diagnostics found about one observation: is it like the simulations, and is its posterior right?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesinn.diagnostics.local import LocalC2STResult
from bayesinn.diagnostics.posterior_sbc import PosteriorSBCResult
from bayesinn.diagnostics.predictive import PredictiveResult
from bayesinn.diagnostics.tested import Tested
from bayesinn.posterior.draws import FLAG_LEVEL


@dataclass(frozen=True, eq=False, repr=False)
class ObservationDiagnosis:
    """Diagnostics around one observation.

    Parameters
    ----------
    p_value : float
        How typical the observation is of the simulations that the network was trained on.
    unusual : str
        In what it is least typical.
    local : LocalC2STResult
        Whether the posterior is right at the observation.
    local_draws : dict of name to array (m, *event)
        The posterior draws at which the classifier was asked.
    posterior_sbc : PosteriorSBCResult, or None without densities
        Whether it is calibrated on data sets like the observation.
    predictive : PredictiveResult, or None where simulations from the posterior are not finite
        Whether data simulated from its posterior look like the observation. A measure, not a test.
    """

    p_value: float
    unusual: str
    local: LocalC2STResult
    local_draws: Mapping[str, np.ndarray]
    posterior_sbc: PosteriorSBCResult | None
    predictive: PredictiveResult | None

    @property
    def out_of_distribution(self) -> bool:
        """Whether the p-value is below 0.01: the posterior is then an extrapolation, and not to be trusted."""
        return self.p_value < FLAG_LEVEL

    @property
    def tests(self) -> dict[str, Tested]:
        """The diagnostics that can fail, by name."""
        tests: dict[str, Tested | None] = {"L-C2ST": self.local, "posterior SBC": self.posterior_sbc}
        return {name: test for name, test in tests.items() if test is not None}

    @property
    def measures(self) -> dict[str, tuple[str, float, str]]:
        """Rows for the table of verdicts: verdict, p-value, what was found."""
        found = f"p = {self.p_value:.2g}"
        if self.out_of_distribution:
            found = f"unlike the simulations in its {self.unusual}, {found}"
        rows = {"observation": ("FAILED" if self.out_of_distribution else "passed", self.p_value, found)}
        if self.predictive is not None:
            flagged = bool(self.predictive.flagged.any())
            smallest = float(self.predictive.p_value.min())
            rows["predictive"] = ("doubtful" if flagged else "", smallest, self.predictive.summary)
        return rows
