"""The sections on one observation."""

from __future__ import annotations

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.diagnostics import ObservationDiagnosis
from bayesinn.workflow.report.section import Figure, Section


def observation_sections(found: ObservationDiagnosis, labels: Labels) -> list[Section]:
    """Whether the observation is like the simulations, and whether its posterior is right."""
    sections = [_local(found, labels)]
    if found.predictive is not None:
        sections.append(_predictive(found, labels))
    return sections


def _local(found: ObservationDiagnosis, labels: Labels) -> Section:
    typical = (
        f"The observation is unlike the simulations that the network was trained on, in its {found.unusual} "
        f"(p = {found.p_value:.2g}): its posterior is an extrapolation."
        if found.out_of_distribution
        else f"The observation is like the simulations that the network was trained on (p = {found.p_value:.2g})."
    )
    figures = [
        Figure(
            plots.local_c2st(found.local),
            "L-C2ST: a classifier learns to tell latent codes of true parameters from latent draws, given the data. At "
            "the observation it should not be able to. The line should lie among the values that chance gives.",
        ),
        Figure(
            plots.local_c2st_marginals(found.local, found.local_draws, labels=labels),
            "Where the posterior of the observation is off, according to that classifier: draws as they are, and "
            "weighted. Where the test passes, differences are chance.",
        ),
    ]
    if found.posterior_sbc is not None:
        figures.append(
            Figure(
                plots.ecdf(found.posterior_sbc, labels=labels, value="weighted rank of truth"),
                "Posterior SBC: calibration on data sets simulated from the posterior of the observation, which look "
                "like it. To be read as the SBC figure below.",
            )
        )
    return Section(
        "Around the observation",
        f"{typical}\n\nThe tests over the whole prior say how the posterior does on average; these say how it does "
        "here. (L-C2ST: Linhart et al. 2023, arXiv:2306.03580. Posterior SBC: Säilynoja et al. 2025, "
        "arXiv:2502.03279.)",
        figures=figures,
    )


def _predictive(found: ObservationDiagnosis, labels: Labels) -> Section:
    assert found.predictive is not None
    table = found.predictive.to_dataframe()
    table["flagged"] = ["flagged" if flag else "" for flag in table["flagged"]]
    table.index = [f"{observable}: {statistic}" for observable, statistic in table.index]
    names = {
        "observed": "Observed",
        "predictive_median": "Predicted, median",
        "lower": "2.5 %",
        "upper": "97.5 %",
        "p_value": "p-value",
        "flagged": "",
    }
    return Section(
        "Posterior predictive checks",
        "Do data simulated from the posterior look like the observation? A flagged statistic is one that the model "
        "can't make: the simulator misses something. These p-values are conservative, because the data were used to "
        "infer the parameters too (Gelman, Meng & Stern 1996).",
        table=table.rename(columns=names).rename_axis("Statistic"),
        figures=[
            Figure(
                plots.predictive_checks(found.predictive, labels=labels),
                "Each statistic of the simulated data sets, and of the observed one (line).",
            )
        ],
    )
