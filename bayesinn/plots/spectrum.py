"""Spectrum: how much each latent element scatters, from the most informative to the least."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.plots.style import BLACK, BLUE, GREY, ORANGE, RED, Canvas, canvas, legend_below, styled

_LOOKS = ((BLUE, "o"), (ORANGE, "s"), (RED, "^"), (BLACK, "D"), (GREY, "v"))
#: More elements than this, and lines without markers show them better.
_MOST_MARKERS = 40


@styled
def spectrum(values: np.ndarray | Mapping[str, np.ndarray], *, figure: Canvas | None = None) -> Canvas:
    """Draw sorted standard deviations of latent elements, and where they drop.

    Elements that carry information stand before the drop, those that carry noise after it. Without a drop, there is
    no telling them apart.

    Parameters
    ----------
    values : array (d,), or dict of name to array (d,)
        Positive; sorted here. Several spectra are drawn into one figure.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        A spectrum is empty, or a value is not positive.

    References
    ----------
    That of :func:`bayesinn.inverse.gin`.

    Examples
    --------
    >>> import numpy as np
    >>> spectrum(np.array([0.02, 1.1, 0.03, 0.8])).axes[0].get_title()
    '2 before the largest drop, by a factor of 26.7'
    """
    named = dict(values) if isinstance(values, Mapping) else {"": values}
    spectra = {name: _sorted(name, value) for name, value in named.items()}
    if not 0 < len(spectra) <= len(_LOOKS):
        raise InputError(
            "Argument 'values'",
            expected=f"one to {len(_LOOKS)} spectra",
            got=str(len(spectra)),
            do="draw them into several figures",
        )
    figure = canvas(figure, 5.2, 3.4 if len(spectra) > 1 else 3.0)
    ax = figure.add_subplot(1, 1, 1)
    for (name, value), (colour, marker) in zip(spectra.items(), _LOOKS, strict=False):
        shape = marker if len(value) <= _MOST_MARKERS else ""
        ranks = np.arange(1, len(value) + 1)
        ax.plot(ranks, value, color=colour, linewidth=1.2, label=name or None, marker=shape, markersize=5)
    if "" in spectra and len(spectra) == 1 and len(spectra[""]) > 1:
        _mark_drop(ax, spectra[""])
    ax.set_yscale("log")
    ax.set_xlabel("latent element, by rank")
    ax.set_ylabel("standard deviation")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(spectra) > 1:
        legend_below(figure, [ax])
    return figure


def _mark_drop(ax: Axes, value: np.ndarray) -> None:
    drops = value[:-1] / value[1:]
    before = int(np.argmax(drops)) + 1
    ax.axvline(before + 0.5, color=GREY, linewidth=0.9, linestyle="--")
    ax.set_title(f"{before} before the largest drop, by a factor of {drops[before - 1]:.3g}")


def _sorted(name: str, values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim != 1 or array.size == 0 or not np.all(array > 0) or not np.all(np.isfinite(array)):
        raise InputError(
            f"Spectrum {name!r}" if name else "Argument 'values'",
            expected="positive standard deviations in an array of shape (d,)",
            got=f"shape {array.shape}" + ("" if array.ndim != 1 else f", smallest {array.min(initial=np.inf):.3g}"),
            do="pass Spectrum.of(model.latent_scales).values",
        )
    return np.sort(array)[::-1]
