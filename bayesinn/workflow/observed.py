"""The section of a report on the posterior of the observed data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesinn import plots
from bayesinn.core.labels import Labels, columns
from bayesinn.plots.pairs import MOST_COLUMNS
from bayesinn.workflow.evidence import Arrays, Observation
from bayesinn.workflow.report import Figure, Section

# Largest over smallest positive count, above which a linear axis hides most of the data.
_LOGARITHMIC_RATIO = 20.0
_MOST_DRAWS = 4_000

CAPTIONS = {
    "marginals": "Posterior, prior, and the exact posterior where it is known.",
    "pairs": "Pairs of parameters: contours hold 50 and 90 % of the posterior, the orange ones of the exact posterior, "
    "where it is known.",
}


def observed_section(at: Observation, prior: Arrays, labels: Labels, reference: Arrays | None = None) -> Section:
    """Return table and figures of the posterior of one observation, and data simulated from it."""
    draws = {name: value[:_MOST_DRAWS] for name, value in at.draws.items()}
    table = posterior_table(at.draws, labels, reference)
    text = (
        f"The observation is typical of the simulations the network was trained on (p = {at.typicality.p_value:.2g})."
    )
    if at.typicality.out_of_distribution:
        text = (
            f"The observation is unlike the simulations the network was trained on (p = {at.typicality.p_value:.2g}), "
            f"in its {at.typicality.unusual}: the posterior is an extrapolation, and not to be trusted."
        )
    figures = posterior_figures(draws, prior, labels, reference)
    figures |= predictive_figures(at.predicted, at.observed, labels)
    shown = [Figure(figure, CAPTIONS.get(name) or _caption(name)) for name, figure in figures.items()]
    return Section(
        "Posterior of the observed data", text, table=table.drop(columns="unit"), figures=shown, labels=labels
    )


def posterior_figures(
    draws: Arrays, prior: Arrays | None, labels: Labels, reference: Arrays | None = None
) -> dict[str, plots.Canvas]:
    """Draw marginals and pairs of a posterior."""
    figures = {"marginals": plots.marginals(draws, prior=prior, reference=reference, labels=labels)}
    names = list(columns(draws, batch_ndim=1))
    if len(names) > 1:
        figures["pairs"] = plots.pairs(draws, reference=reference, labels=labels, shown=names[:MOST_COLUMNS])
    return figures


def predictive_figures(predicted: Arrays | None, observed: Arrays, labels: Labels) -> dict[str, plots.Canvas]:
    """Draw data simulated from the posterior against the observation; nothing without predictions."""
    figures: dict[str, plots.Canvas] = {}
    if predicted is None:
        return figures
    for name, seen in observed.items():
        options: dict[str, Any] = {"name": name, "labels": labels, "logarithmic": _wide(seen)}
        figures[f"predictive_{name}"] = plots.posterior_predictive(predicted[name][:_MOST_DRAWS], seen, **options)
    return figures


def posterior_table(draws: Mapping[str, np.ndarray], labels: Labels, exact: Arrays | None = None) -> pd.DataFrame:
    """Tabulate mean, sd and 95 % interval of draws (n, *event), a row for each scalar, and of exact ones beside them.

    Examples
    --------
    >>> table = posterior_table({"rate": np.linspace(0.0, 2.0, 101)}, Labels({}, {"rate": "1/day"}))
    >>> table.loc["rate", "unit"], round(float(table.loc["rate", "97.5 %"]), 3)
    ('1/day', 1.95)
    """
    table = _moments(draws)
    table.insert(0, "unit", [labels.unit(name) for name in table.index])
    return table if exact is None else table.join(_moments(exact).add_prefix("exact "))


def _moments(draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    frame = pd.DataFrame(columns(draws, batch_ndim=1), dtype=float)
    low, high = frame.quantile([0.025, 0.975]).to_numpy()
    return pd.DataFrame({"mean": frame.mean(), "sd": frame.std(ddof=0), "2.5 %": low, "97.5 %": high})


def _caption(name: str) -> str:
    observable = name.removeprefix("predictive_")
    return f"Data simulated from the posterior, and the observed {observable}: the observation should look like one."


def _wide(observed: np.ndarray) -> bool:
    """Whether the observed values need a logarithmic axis."""
    positive = observed[np.isfinite(observed) & (observed > 0)]
    return bool(positive.size > 0 and not np.any(observed < 0) and positive.max() > _LOGARITHMIC_RATIO * positive.min())
