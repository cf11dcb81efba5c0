"""Spectrum: how much each latent element scatters, from the most informative to the least."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.plots.panels import canvas, legend_below
from bayesinn.plots.style import CURVES, DASHED, GREY, Canvas, styled

_MOST_MARKERS = 40  # more elements are drawn without markers


@styled
def spectrum(
    values: np.ndarray | Mapping[str, np.ndarray], *, figure: Canvas | None = None
) -> Canvas:
    """Draw sorted standard deviations of latent elements, and where they drop.

    See :func:`bayesinn.inverse.gin`.

    Elements before the drop carry information, those after it noise. Without a drop, they can't be
    told apart. A dict of several spectra is drawn into one figure, without the drops.
    """
    named = values if isinstance(values, Mapping) else {"": values}
    spectra = {name: np.sort(value, axis=None)[::-1].astype(float) for name, value in named.items()}
    ends = [(float(value[-1]), float(value[0])) for value in spectra.values() if value.size]
    fit = 0 < len(ends) == len(spectra) <= len(CURVES) and all(
        0.0 < low <= high < np.inf for low, high in ends
    )
    if not fit or any(np.ndim(value) != 1 for value in named.values()):
        raise InputError(
            "Argument 'values'",
            expected=f"one to {len(CURVES)} spectra, each an array of shape (d,) of positive "
            "standard deviations",
            got=f"shapes {[np.shape(value) for value in named.values()]}, from smallest to largest "
            f"{ends}",
            do="pass Spectrum.of(model.latent_scales).values",
        )
    figure = canvas(figure, 5.2, 3.4 if len(spectra) > 1 else 3.0)
    ax = figure.add_subplot()
    for (name, value), (colour, marker, _) in zip(spectra.items(), CURVES, strict=False):
        shape = marker if len(value) <= _MOST_MARKERS else ""
        ranks = np.arange(1, len(value) + 1)
        ax.plot(
            ranks,
            value,
            color=colour,
            linewidth=1.2,
            label=name or None,
            marker=shape,
            markersize=5,
        )
        if list(spectra) == [""] and len(value) > 1:
            drops = value[:-1] / value[1:]
            before = int(np.argmax(drops)) + 1
            ax.axvline(before + 0.5, **DASHED | {"color": GREY})
            ax.set_title(
                f"{before} before the largest drop, by a factor of {drops[before - 1]:.3g}"
            )
    ax.set(yscale="log", xlabel="latent element, by rank", ylabel="standard deviation")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return legend_below(figure)
