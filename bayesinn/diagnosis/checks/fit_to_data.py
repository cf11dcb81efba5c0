"""Fit to the data: whether draws explain the data as well as the truth does."""

from bayesinn import plots
from bayesinn.diagnosis.check import SUMMARY, Check
from bayesinn.diagnostics.likelihood import fit_to_data

CHECK = Check(
    name="fit to the data",
    group="calibration",
    place=60,
    part=True,
    key="fit_to_data",
    run=lambda given: fit_to_data(
        given.log_likelihood, len(given.columns), seed=given.seed, level=given.level
    ),
    question="Do draws explain the data as well as the true parameters do? SBC of the log "
    "likelihood, which is sensitive to whatever the posterior forgets of the data.",
    figures={"fit_to_data": plots.fit_to_data},
    tolerances_drawn=True,
    captions={
        "fit_to_data": "Log likelihood of each truth minus the median of its draws, in nats. Its "
        "median, the point with its interval, should lie between the dotted lines. To the right: "
        "truths explain the data better than draws do; to the left: draws fit too closely. "
        "A tenth of the data sets lies beyond the panel."
    },
    meaning="Draws explain the data as well as the true parameters do.",
    remedy="The posterior makes too little of the data, or its joint shape is wrong: train "
    "for more steps; then "
    f"{SUMMARY}; then give the flow more blocks.",
    relies_on=["SBC"],
    reference="Modrák et al. 2023, arXiv:2211.02383",
)
