"""The sections on calibration."""

from __future__ import annotations

from bayesinn import plots
from bayesinn.diagnostics import Diagnosis, SBCResult
from bayesinn.workflow.report.section import Figure, Section, named


def calibration_sections(diagnosis: Diagnosis) -> list[Section]:
    """SBC, coverage, all parameters together, test quantities."""
    sections = [_sbc(diagnosis), _coverage(diagnosis), _joint(diagnosis)]
    if diagnosis.quantities is not None:
        sections.append(_quantities(diagnosis, diagnosis.quantities))
    return sections


def _sbc(diagnosis: Diagnosis) -> Section:
    result = diagnosis.sbc
    chance = len(result.columns) * (1.0 - result.level)
    names = {
        "p_value": "ECDF p-value",
        "chi_square_p_value": "Histogram p-value",
        "inside": "Inside the band",
        "reading": "What it means",
    }
    return Section(
        "Calibration: SBC",
        "Simulation-based calibration: among posterior draws the truth should take every rank equally often. Each "
        f"column is judged by itself here; of a right posterior's columns ({len(result.columns)}), {chance:.2g} are "
        f"expected outside the {result.level:.0%} band.",
        table=named(result.to_dataframe(), names),
        labels=diagnosis.labels,
        figures=[
            Figure(
                plots.ecdf(result, labels=diagnosis.labels),
                "Cumulative distribution of the ranks, minus that of uniform ranks. A right posterior stays in the "
                f"grey band everywhere with a probability of {result.level:.0%}. Above zero throughout: posteriors "
                "too high; below: too low. Above, then below: too narrow; below, then above: too wide.",
            ),
            Figure(
                plots.sbc_histogram(result, labels=diagnosis.labels),
                "The same ranks as a histogram, relative to the count expected. High at both ends: posteriors too "
                "narrow; high in the middle: too wide; a slope: shifted. Single bars outside the grey area happen by "
                "chance when there are many.",
            ),
        ],
    )


def _coverage(diagnosis: Diagnosis) -> Section:
    result = diagnosis.coverage
    names = {"calibration_error": "Calibration error"}
    names |= {
        name: f"In the {name.removeprefix('coverage_')}% interval"
        for name in result.to_dataframe()
        if name.startswith("coverage_")
    }
    names |= {"p_value": "p-value", "inside": "Inside the band"}
    return Section(
        "Calibration: coverage",
        "How often central posterior intervals hold the truth. The calibration error is the median difference between "
        "the coverage found and the coverage promised, over all levels.",
        table=named(result.to_dataframe(), names),
        labels=diagnosis.labels,
        figures=[
            Figure(
                plots.coverage(result, labels=diagnosis.labels),
                "Coverage found minus coverage promised, in percentage points. At zero: intervals keep their promise. "
                "Above: posteriors too wide; below: too narrow or shifted. A right posterior stays in the grey band "
                f"with a probability of {result.level:.0%}; dotted lines judge each level by itself. A curve that "
                "leaves its panel is more than five times the band away.",
            )
        ],
    )


def _joint(diagnosis: Diagnosis) -> Section:
    level = diagnosis.sbc.level
    figures = []
    if diagnosis.joint_coverage is not None:
        figures.append(
            Figure(
                plots.coverage(diagnosis.joint_coverage),
                "Coverage of the joint regions of highest posterior density. Below zero: too sure, or correlations "
                "missed; above: not sure enough.",
            )
        )
    figures.append(
        Figure(
            plots.ecdf(diagnosis.tarp, value="share of draws nearer than the truth"),
            "TARP: how many draws lie nearer than the truth to a reference point, which is a rough estimate of the "
            "parameters from the data. A posterior that is no more than the prior fails here and nowhere above. "
            f"A right one stays in the grey band with a probability of {level:.0%}.",
        )
    )
    if diagnosis.dependence is not None:
        figures.append(
            Figure(
                plots.dependence(diagnosis.dependence, labels=diagnosis.labels),
                "Dependence: SBC of the product of each pair of parameters. Blue: the posterior's correlation is too "
                "low; red: too high. Of a right posterior, 19 in 20 numbers lie between -2 and 2; frames mark pairs "
                "that fail.",
            )
        )
    if diagnosis.latent is not None:
        figures.append(
            Figure(
                plots.ecdf(diagnosis.latent),
                "Latent codes of the truths, which should be draws from the latent distribution, and their distance "
                "from its centre. Distance below zero throughout: the posterior is too narrow, or its shape is wrong.",
            )
        )
    return Section(
        "Calibration: all parameters together",
        "Each parameter by itself may be right and the joint posterior wrong: its correlations, its modes, or its use "
        "of the data. (Joint coverage: Hermans et al. 2022, arXiv:2110.06581. TARP: Lemos et al. 2023, "
        "arXiv:2302.03026. Products as test quantities: Modrák et al. 2023, arXiv:2211.02383.)",
        figures=figures,
    )


def _quantities(diagnosis: Diagnosis, result: SBCResult) -> Section:
    names = {"p_value": "ECDF p-value", "chi_square_p_value": "Histogram p-value", "inside": "Inside the band"}
    names |= {"reading": "What it means"}
    return Section(
        "Calibration: test quantities",
        "SBC of functions of parameters and data. The log likelihood is sensitive to whatever the posterior forgets of "
        "the data (Modrák et al. 2023, arXiv:2211.02383).",
        table=named(result.to_dataframe(), names, index="Quantity"),
        figures=[
            Figure(
                plots.ecdf(result),
                "Ranks of each quantity, to be read as those of parameters. Log likelihood below zero throughout: "
                "truths fit the data better than draws do.",
            )
        ],
    )
