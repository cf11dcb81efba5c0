"""The section of a report on the posterior of the observed data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayesinn import plots
from bayesinn.core.labels import Labels, columns
from bayesinn.diagnosis.check import MOST_PANELS
from bayesinn.diagnosis.evidence import Observation, optional
from bayesinn.diagnosis.finding import write_choice
from bayesinn.diagnosis.posterior_table import posterior_table, write_posterior
from bayesinn.diagnosis.report import Figure, Section
from bayesinn.diagnostics.arrays import Arrays
from bayesinn.posterior.typicality import Typicality

_MOST_DRAWS = 4_000
_MOST_IMAGES = 7
# Largest over smallest positive count, above which a linear axis hides most of the data.
_LOGARITHMIC_RATIO = 20.0

_CAPTIONS = {
    "marginals": "Posterior and prior{}.",
    "pairs": "Pairs of parameters: contours hold 50 and 90 % of the posterior{}.",
}
#: Added where the exact posterior is drawn.
_EXACT = {
    "marginals": ", and the exact posterior",
    "pairs": ", the orange ones of the exact posterior",
}
_PREDICTED = (
    "Data simulated from the posterior, and the observed {}: the observation should look like one."
)


def observed_section(
    at: Observation,
    prior: Arrays,
    labels: Labels,
    reference: Arrays | None = None,
    ranking: Sequence[str] = (),
    *,
    draws: Arrays | None = None,
) -> Section:
    """Return table and figures of the posterior of one observation, and data simulated from it.

    ``ranking`` orders columns of parameters: of many, the marginals of the first are drawn. Draws
    that are given are shown in place of the diagnosis' own.
    """
    every = draws or at.draws
    some = {name: value[:_MOST_DRAWS] for name, value in every.items()}
    table = write_posterior(posterior_table(every, labels, reference)).drop(columns="unit")
    typicality = optional(lambda: at.typicality)
    text = "" if typicality is None else _write_typicality(typicality)
    figures = posterior_figures(some, prior, labels, reference, ranking)
    predicted = optional(lambda: at.predicted)
    figures |= predictive_figures(predicted, at.observed, labels)
    captions = {f"predictive_{name}": _PREDICTED.format(name) for name in at.observed}
    for name, caption in _CAPTIONS.items():
        captions[name] = caption.format(_EXACT[name] if reference else "")
    if len(table) > MOST_PANELS:
        names = ([*ranking] or [*table.index])[:MOST_PANELS]
        captions["marginals"] += write_choice(names, len(table))
    shown = [Figure(figure, captions[name]) for name, figure in figures.items()]
    return Section("Posterior of the observed data", text, table, shown, labels)


def _write_typicality(typicality: Typicality) -> str:
    odd = typicality.out_of_distribution
    text = (
        f"The observation is {'unlike' if odd else 'typical of'} the simulations the network "
        "was trained on "
    )
    if typicality.undecided:
        text = "Too few simulations to tell whether the observation is like them "
    text += f"(p = {typicality.p_value:.2g})"
    if odd:
        text += (
            f", in its {typicality.unusual}: the posterior is an extrapolation, and not to be "
            "trusted"
        )
    reason = typicality.reason
    return f"{text}. {reason[:1].upper()}{reason[1:]}{'.' if reason else ''}".rstrip()


def posterior_figures(
    draws: Arrays,
    prior: Arrays | None,
    labels: Labels,
    reference: Arrays | None = None,
    ranking: Sequence[str] = (),
) -> dict[str, plots.Canvas]:
    """Draw marginals and pairs of a posterior, of many parameters those first in the ranking."""
    names = list(columns(draws, batch_ndim=1))
    shown = ([*ranking] or names)[:MOST_PANELS] if len(names) > MOST_PANELS else None
    figures = {
        "marginals": plots.marginals(
            draws, prior=prior, reference=reference, labels=labels, shown=shown
        )
    }
    if len(names) > 1:
        figures["pairs"] = plots.pairs(draws, reference=reference, labels=labels)
    return figures


def predictive_figures(
    predicted: Arrays | None, observed: Arrays, labels: Labels
) -> dict[str, plots.Canvas]:
    """Draw data simulated from the posterior with the observation; nothing if not predicted."""
    figures: dict[str, plots.Canvas] = {}
    if predicted is None:
        return figures
    for name, seen in observed.items():
        grey = seen.ndim == 2 and seen.shape[1] > MOST_PANELS and name not in labels.coordinates
        if grey:
            figures |= _image_figures(name, predicted[name][..., None], seen[..., None])
            continue
        if seen.ndim > 2:
            figures |= _image_figures(name, predicted[name], seen)
            continue
        options: dict[str, Any] = {"name": name, "labels": labels, "logarithmic": logarithmic(seen)}
        # Faulty predictions were left out: NaN is what the simulator declares as missing.
        options["missing"] = True
        figures[f"predictive_{name}"] = plots.posterior_predictive(
            predicted[name][:_MOST_DRAWS], seen, **options
        )
    return figures


def _image_figures(
    name: str, predicted: np.ndarray, observed: np.ndarray
) -> dict[str, plots.Canvas]:
    """Draw an observed image beside simulated ones; nothing for more axes or other channels."""
    if observed.ndim != 3 or observed.shape[2] not in (1, 3):
        return {}
    images = np.concatenate([observed[None], predicted[:_MOST_IMAGES]])
    missing = np.isnan(images).any(axis=-1)
    known = images[~missing]
    if not known.size:
        return {}
    seen = "observed; missing: blue" if missing.any() else "observed"
    titles = [seen, *["simulated"] * (len(images) - 1)]
    limits = float(known.min()), float(known.max())
    grid = plots.image_grid(images[None], columns=titles, limits=limits)
    return {f"predictive_{name}": grid}


def logarithmic(observed: np.ndarray) -> bool:
    """Whether the observed values need a logarithmic axis."""
    positive = observed[np.isfinite(observed) & (observed > 0)]
    return bool(
        positive.size > 0
        and not np.any(observed < 0)
        and positive.max() > _LOGARITHMIC_RATIO * positive.min()
    )
