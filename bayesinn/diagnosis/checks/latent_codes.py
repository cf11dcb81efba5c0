"""Latent codes: whether the flow maps truths to draws from the latent distribution."""

from bayesinn import plots
from bayesinn.diagnosis.check import TRAIN, Check
from bayesinn.diagnostics.calibration import latent_codes

CHECK = Check(
    name="latent codes",
    group="calibration",
    place=80,
    key="latent",
    run=lambda given: latent_codes(*given.latent, seed=given.seed, level=given.level),
    question="The flow maps the truths to codes, which should be draws from the latent "
    "distribution.",
    figures={"latent": plots.ecdf},
    panels=True,
    tolerances_drawn=True,
    captions={
        "latent": "Ranks of the codes, and of their distance from the centre: below zero "
        "throughout, the posterior is too narrow, or its shape is wrong."
    },
    deviations=lambda result: result.deviations[-1:],
    meaning="The flow's latent codes have the distribution they should have.",
    remedy=TRAIN,
)
