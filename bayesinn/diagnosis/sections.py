"""Sections of the report that are about all checks together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.diagnosis.report import Figure, Section
from bayesinn.diagnosis.tolerances import FAMILY_ERROR


def verdict_picture(diagnosis: plots.Judged, labels: Labels) -> Figure | None:
    """Return the picture on top of a report; None if nothing was judged."""
    if not diagnosis.verdict["grade"].any():
        return None
    caption = (
        "The largest error of each check, as an interval over what is allowed: within tolerance "
        "between the lines."
    )
    judged = diagnosis.verdict[diagnosis.verdict["grade"].ne("")]
    said = [f"{name}: {row.grade}, {row.found}." for name, row in judged.iterrows()]
    return Figure(plots.verdict(diagnosis, labels=labels), caption, " ".join([caption, *said]))


def checks_section(verdict: pd.DataFrame, not_run: Sequence[str]) -> Section:
    """Return the table of grades, one row a check, and what was not run."""
    table = verdict[["grade", "found", "allowed", "p_value"]].copy()
    # As exact as a rule about p-values needs it.
    table["p_value"] = [f"{value:.2g}" if np.isfinite(value) else "" for value in table["p_value"]]
    text = (
        "Parameters were drawn from the prior, data sets simulated from them, and the posterior of "
        "each data set compared with the parameters that made it. A check is within tolerance if "
        "the whole interval of each error is, outside if one is larger than its tolerance for "
        "sure, and otherwise undecided. For sure means: a posterior without any such error has one "
        f"check outside, of all checks, in {100 * FAMILY_ERROR:g} % of diagnoses at most. The "
        "p-value is the probability that a correct posterior would do as badly; it gets small for "
        "small errors, too, if there are many simulations."
    )
    heads = {"grade": "Tolerance", "p_value": "p-value", "found": "Found", "allowed": "Allowed"}
    table = table.rename(columns=heads).rename_axis("Check")
    return Section("Checks", "\n\n".join([text, *not_run]), table=table)


def parameters_section(numbers: pd.DataFrame, labels: Labels) -> Section:
    """Return the table of parameters, with the numbers that checks show side by side."""
    text = (
        "Errors over the whole prior: how far posteriors lie above the truth, in their standard "
        "deviations; the error of their spread, in % of it (positive: too wide); the largest error "
        "of coverage (positive: intervals hold the truth too often). R², contraction (1 - "
        "posterior variance / prior variance) and nats gained say how much the data tell."
    )
    table = numbers.apply(lambda column: column.round(3 if column.abs().max() < 10.0 else 1))
    return Section("Parameters", text, table=table, labels=labels)


def training_section(history: pd.DataFrame, nats: bool) -> Section:
    """Return the curve of the loss, folded away; ``nats`` says whether the loss is in nats."""
    loss = "Loss: mean of -log q(parameters | data), in nats." if nats else "Loss."
    figure = Figure(
        plots.loss(history, nats=nats), f"{loss} It flattens as the learning rate decays."
    )
    return Section("Training", "", figures=[figure], folded=True)
