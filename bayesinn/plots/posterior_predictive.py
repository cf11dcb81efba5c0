"""Posterior predictive: data simulated from posterior draws, against the observation."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.axes import Axes

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.arrays import plain_draws
from bayesinn.plots.style import BLACK, BLUE, PLAIN, Canvas, legend_below, outer, panels, styled

#: An observable of up to this many elements on one axis is drawn element by element, unless told otherwise.
FEW_ELEMENTS = 8

_COVERAGES = (0.95, 0.9, 0.5)
_SHADES = {0.95: 0.2, 0.9: 0.35, 0.5: 0.6}


@styled
def posterior_predictive(
    draws: np.ndarray | xarray.DataTree,
    observed: np.ndarray | None = None,
    *,
    name: str = "observable",
    labels: Labels = PLAIN,
    times: np.ndarray | None = None,
    time_label: str = "time step",
    series: bool | None = None,
    logarithmic: bool = False,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw 50, 90 and 95 % intervals of simulated data against the observation.

    Parameters
    ----------
    draws : array (draws, steps), (draws, steps, channels), (draws, elements) or (draws,); or a DataTree
        One simulation from each posterior draw. NaN where the data have padding. Of a DataTree of
        ``posterior.infer``, with one observation, the observable ``name`` is drawn.
    observed : array of the shape of one simulation
        NaN where nothing was observed. May be left out with a DataTree, which has it.
    name : str
        Name of the observable.
    labels : Labels
    times : array (steps,), optional
        Where the steps are; 0, 1, 2, ... if left out.
    time_label : str
        What the steps are, with unit: ``"time [days]"``, ``"trial"``, ``"position [mm]"``.
    series : bool, optional
        Whether the second axis of ``draws`` is time: bands over time; otherwise one interval for each element. If
        left out: bands where there are channels or more than 8 elements.
    logarithmic : bool
        Logarithmic vertical axis; linear around zero if there are values of zero or less, so that they show.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).poisson(50.0, size=(200, 30))
    >>> len(posterior_predictive(draws, draws[0], name="cases").axes)
    1
    """
    draws, observed = _arrays(draws, observed, name)
    if draws.ndim == 1:
        draws, observed = draws[:, None], np.atleast_1d(observed)
    series = draws.ndim == 3 or draws.shape[-1] > FEW_ELEMENTS if series is None else series
    _check(draws, observed, times, series, name)
    channels = draws.shape[2] if draws.ndim == 3 else 1
    draws, observed = draws.reshape(*draws.shape[:2], channels), observed.reshape(observed.shape[0], channels)
    positions = np.arange(draws.shape[1]) if times is None else np.asarray(times)
    figure, axes, across = panels(figure, channels, width=7.0 if channels == 1 else 3.8, height=3.2)
    for channel, ax in enumerate(axes):
        if series:
            _bands(ax, positions, draws[..., channel], observed[:, channel])
            ax.set_xlabel(time_label if outer(channel, channels, across)[1] else "")
        else:
            _intervals(ax, draws[..., channel], observed[:, channel])
            ax.set_xticks(positions, [f"[{index}]" for index in positions] if len(positions) > 1 else [""])
            ax.set_xlabel("element" if len(positions) > 1 else "")
        if logarithmic:
            _logarithmic(ax, draws[..., channel], observed[:, channel])
        ax.set_ylabel(labels.axis(f"{name}[{channel}]" if channels > 1 else name))
    legend_below(figure, axes)
    return figure


def _arrays(
    draws: np.ndarray | xarray.DataTree, observed: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(draws, xarray.DataTree):
        simulated = plain_draws(draws, "posterior_predictive")
        if name not in simulated:
            raise InputError(
                "posterior predictive of a DataTree",
                expected=f"name: one of {sorted(simulated)}",
                got=repr(name),
                do="say which observable to draw: name=...",
            )
        known = draws["observed_data"][name].values if observed is None else observed
        return np.asarray(simulated[name], dtype=float), np.asarray(known, dtype=float)
    if observed is None:
        raise InputError(
            f"observed {name!r}",
            expected="an array of the shape of one simulation",
            got="None",
            do="pass the observation; NaN where nothing was observed",
        )
    return np.asarray(draws, dtype=float), np.asarray(observed, dtype=float)


def _bands(ax: Axes, times: np.ndarray, draws: np.ndarray, observed: np.ndarray) -> None:
    for share in _COVERAGES:
        low, high = np.quantile(draws, [0.5 - share / 2, 0.5 + share / 2], axis=0)
        ax.fill_between(times, low, high, color=BLUE, alpha=_SHADES[share], linewidth=0, label=_name(share))
    ax.plot(times, np.median(draws, axis=0), color=BLUE, linewidth=1.4, label="median")
    size = 4 if len(times) <= 100 else 2.5
    ax.plot(times, observed, color=BLACK, linestyle="none", marker="o", markersize=size, label="observed")


def _intervals(ax: Axes, draws: np.ndarray, observed: np.ndarray) -> None:
    positions = np.arange(draws.shape[1])
    for share, width in zip(_COVERAGES, (3.0, 6.0, 11.0), strict=True):
        low, high = np.quantile(draws, [0.5 - share / 2, 0.5 + share / 2], axis=0)
        ax.vlines(
            positions,
            low,
            high,
            color=BLUE,
            alpha=_SHADES[share] + 0.1,
            linewidth=width,
            label=_name(share),
        )
    ax.plot(positions, observed, color=BLACK, linestyle="none", marker="o", markersize=6, label="observed")
    ax.set_xlim(-0.7, len(positions) - 0.3)


def _name(share: float) -> str:
    return f"{share:.0%} interval"


def _logarithmic(ax: Axes, draws: np.ndarray, observed: np.ndarray) -> None:
    values = np.concatenate([np.quantile(draws, [0.025, 0.5], axis=0).ravel(), observed.ravel()])
    values = values[np.isfinite(values)]
    if np.all(values > 0.0):
        ax.set_yscale("log")
    else:
        positive = np.abs(values[values != 0.0])
        ax.set_yscale("symlog", linthresh=float(positive.min()) if len(positive) else 1.0)


def _check(draws: np.ndarray, observed: np.ndarray, times: np.ndarray | None, series: bool, name: str) -> None:
    if draws.ndim not in (2, 3) or len(draws) < 2 or observed.shape != draws.shape[1:]:
        raise InputError(
            f"posterior predictive of {name!r}",
            expected="draws (draws, steps[, channels]), two or more, and observed of the shape of one draw",
            got=f"draws {draws.shape} and observed {observed.shape}",
            do="pass one observation and its simulations, without further axes",
        )
    if not series and draws.ndim == 3:
        raise InputError(
            f"posterior predictive of {name!r}",
            expected="draws (draws, elements) where series=False",
            got=f"draws {draws.shape}",
            do="flatten the last axes, or leave series out",
        )
    if times is not None and np.shape(times) != (draws.shape[1],):
        raise InputError(
            f"times of {name!r}",
            expected=f"shape {(draws.shape[1],)}: one for each step",
            got=f"shape {np.shape(times)}",
            do="pass the times of the observed steps",
        )
    # Padding: neither observed nor simulated.
    padding = np.isnan(observed) & np.all(np.isnan(draws), axis=0)
    bad = int(np.sum(~np.isfinite(draws[:, ~padding])))
    if bad:
        raise InputError(
            f"posterior predictive of {name!r}",
            expected="finite simulations",
            got=f"{bad} of {draws.size} values NaN or infinite",
            do="leave out those simulations and count them",
        )
