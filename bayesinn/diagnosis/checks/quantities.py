"""Test quantities: SBC of functions of parameters and data."""

from bayesinn import plots
from bayesinn.diagnosis.check import SUMMARY, Check
from bayesinn.diagnosis.evidence import Evidence, refuse_names_of_parameters
from bayesinn.diagnostics.calibration import SBCResult, sbc


def _run(given: Evidence) -> SBCResult:
    quantities = given.quantities
    refuse_names_of_parameters(quantities, given.columns)
    truth = {name: of_truth for name, (of_truth, _) in quantities.items()}
    draws = {name: of_draws for name, (_, of_draws) in quantities.items()}
    return sbc(truth, draws, seed=given.seed, level=given.level)


CHECK = Check(
    name="test quantities",
    group="calibration",
    place=70,
    key="quantities",
    run=_run,
    question="SBC of functions of parameters and data.",
    figures={"quantities": plots.ecdf},
    panels=True,
    tolerances_drawn=True,
    captions={
        "quantities": "As the figure of SBC. Above zero throughout: draws too high; below: too low."
    },
    meaning="Test quantities: {columns}.",
    # Not the spread of ranks: near one end, ranks scatter little and say "too low" only.
    deviations=lambda result: [
        one for one in result.deviations if one.measure != "error of spread"
    ],
    remedy=f"These quantities are not to be used: train for more steps; then {SUMMARY}.",
    relies_on=["SBC"],
    reference="Modrák et al. 2023, arXiv:2211.02383",
)
