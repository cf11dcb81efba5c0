"""SBC: whether truths take every rank among their draws equally often."""

from bayesinn import plots
from bayesinn.diagnosis.check import TRAIN, Check
from bayesinn.diagnostics.calibration import sbc

CHECK = Check(
    name="SBC",
    group="calibration",
    place=10,
    run=lambda given: sbc(given.truth, given.draws, seed=given.seed, level=given.level),
    question="Simulation-based calibration: the truth should take every rank among posterior draws "
    "equally often. Each column is judged by itself in the figures: of many columns, some leave "
    "the band by chance.",
    figures={"sbc_ecdf": plots.ecdf, "sbc_histogram": plots.sbc_histogram},
    panels=True,
    tolerances_drawn=True,
    captions={
        "sbc_ecdf": "Cumulative distribution of the ranks, minus that of uniform ranks. A correct "
        "posterior stays in the grey band. Above zero throughout: posteriors too high; below: too "
        "low. Above, then below: too narrow; below, then above: too wide. Lines: the curves of "
        "posteriors with as much error as is allowed.",
        "sbc_histogram": "The same ranks as a histogram, relative to the count expected. High at "
        "both ends: posteriors too narrow; high in the middle: too wide; a slope: shifted. Single "
        "bars outside the grey area happen by chance when there are many.",
    },
    meaning="Marginal posteriors: over the whole prior, truths are where the draws say they are.",
    # About a third of all errors each: 1,000 simulations just tell a shift of 0.2 sd from one
    # of 0.07 sd, and a spread that is off by 15 % from 5 %; others are farther from tolerance.
    weights={"shift": 20.0, "error of spread": 18.0},
    remedy=TRAIN,
    reference="Talts et al. 2018, arXiv:1804.06788; bands of Säilynoja, Bürkner & Vehtari "
    "2022, arXiv:2103.10522",
    overview={"shift": "Shift [sd]", "error of spread": "Error of spread [%]"},
)
