"""Dependence: correlations between pairs of parameters."""

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnostics.sbc import dependence

CHECK = Check(
    name="dependence",
    group="calibration",
    place=50,
    run=lambda given: (
        dependence(given.truth, given.draws, seed=given.seed, level=given.level)
        if len(given.columns) > 1
        else None
    ),
    question="SBC of the product of each pair of parameters. The error is that of the "
    "correlation of normal "
    "scores. The table lists the pairs that leave the band.",
    figures={"dependence": plots.dependence},
    captions={
        "dependence": "Blue: the posterior's correlation is too low; red: too high. Of a "
        "correct posterior, 19 in "
        "20 numbers lie between -2 and 2; frames mark pairs that fail."
    },
    table=lambda result: None if result.passed else result.to_dataframe()[~result.inside],
    meaning="Correlations between pairs of parameters.",
    remedy="Use marginal posteriors only, until this passes; more flow blocks, with "
    "rotations, learn correlations.",
    reference="Products as test quantities: Modrák et al. 2023, arXiv:2211.02383",
)
