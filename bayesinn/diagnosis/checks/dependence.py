"""Dependence: correlations between pairs of parameters."""

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnostics.calibration import dependence

CHECK = Check(
    name="dependence",
    group="calibration",
    place=50,
    run=lambda given: (
        dependence(given.truth, given.draws, seed=given.seed, level=given.level)
        if len(given.columns) > 1
        else None
    ),
    question="SBC of the product of each pair of parameters. The error is that of the correlation "
    "of normal scores. If pairs leave the band, a table lists them.",
    figures={"dependence": plots.dependence},
    tolerances_drawn=True,
    captions={
        "dependence": "Error of each correlation. Blue: the posterior's correlation is too low; "
        "red: too high. Lines in the colour bar: what is allowed. A frame marks a pair outside "
        "tolerance, a dashed one a pair that is undecided."
    },
    table=lambda result: None if result.passed else result.to_dataframe()[~result.inside],
    meaning="Correlations between pairs of parameters{left_out}.",
    remedy="Use marginal posteriors only, until this passes; more flow blocks, with "
    "rotations, learn correlations.",
    reference="Products as test quantities: Modrák et al. 2023, arXiv:2211.02383",
)
