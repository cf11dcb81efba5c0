"""Coverage: how often intervals of single parameters hold the truth."""

from bayesinn import plots
from bayesinn.diagnosis.check import TRAIN, Check
from bayesinn.diagnostics.coverage import coverage

CHECK = Check(
    name="coverage",
    group="calibration",
    place=20,
    run=lambda given: coverage(given.truth, given.draws, seed=given.seed, level=given.level),
    question="How often central posterior intervals hold the truth. The calibration error is the "
    "median difference of observed and nominal coverage over all nominal ones.",
    figures={"coverage": plots.coverage},
    panels=True,
    tolerances_drawn=True,
    captions={
        "coverage": "Observed minus nominal coverage, in percentage points. Above zero: "
        "posteriors too wide; below: too narrow or shifted. A correct posterior stays in the grey "
        "band; grey lines judge each nominal coverage by itself, and black ones are what is "
        "allowed. A curve that leaves its panel is more than five times the band away."
    },
    meaning="Over the whole prior, intervals of single parameters hold the truth as often as "
    "they should.",
    remedy=TRAIN,
    # Central intervals may pass in spite of a shift.
    relies_on=["SBC"],
    reference="Calibration error: Radev et al. 2020, arXiv:2003.06281",
    heads={f"coverage_{level}": f"In the {level} % interval" for level in (50, 90, 95)},
    overview={"coverage error": "Coverage error [points]"},
)
