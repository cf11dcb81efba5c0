"""Figures of series and other data: paths, prior and posterior predictive, checks of statistics.

It is not drawn by ArviZ: ``arviz_plots.plot_lm`` and ``plot_ppc_interval`` stack transparent bands,
and support neither padding nor channels.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from bayesinn.core.errors import InputError, check_choice
from bayesinn.core.labels import Coordinate, Labels
from bayesinn.diagnostics import PredictiveResult
from bayesinn.diagnostics.predictive import FEW_ELEMENTS
from bayesinn.plots.arrays import Draws, check_numbers, choose, plain_draws
from bayesinn.plots.histograms import bars, bin_edges
from bayesinn.plots.panels import (
    BLACK,
    BLUE,
    DASHED,
    MOST_PANELS,
    ORANGE,
    PLAIN,
    POINTS,
    Canvas,
    Panels,
    band_look,
    bare,
    styled,
    tint,
    wrapped,
)

_MOST_DECADES = {"x": 4, "y": 6}


def places(
    labels: Labels, name: str, steps: int, times: np.ndarray | None, text: str | None
) -> tuple[np.ndarray, str]:
    """Return places of steps, and their axis text: as given, else as declared, else 0, 1, 2, ..."""
    declared = labels.coordinates.get(name)
    if times is not None:
        found = np.asarray(times)
        text = text or "time step"
    elif declared is not None:
        found = declared.values
        text = text or labels.axis(declared.name)
    else:
        found = np.arange(steps)
        text = text or "time step"
    if found.shape != (steps,):
        raise InputError(
            f"series of {name!r}",
            expected=f"one of {steps} steps for each place",
            got=f"{len(found)} places, as given or declared",
            do="pass the places of these: times=...",
        )
    if times is not None and np.any(np.isnan(found)):
        raise InputError(
            f"series of {name!r}",
            expected="a known place of each step",
            got=f"NaN among the {steps} places",
            do="leave out steps without a place: times=...",
        )
    if np.issubdtype(found.dtype, np.datetime64):
        first, last = (str(end.astype("datetime64[D]")) for end in (found[0], found[-1]))
        text += f", {first}" if first == last else f", {first} to {last}"
    return found, text


def quantiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Return ends of central intervals of values (n, steps) without NaN, median in the middle.

    The widest interval comes first.
    """
    tails = [0.5 * (1.0 - share) for share in shares]
    return (
        pd.DataFrame(values)
        .quantile([*tails, 0.5, *(1.0 - tail for tail in reversed(tails))])
        .to_numpy()
    )


def intervals(
    curves: np.ndarray, shares: Sequence[float]
) -> list[tuple[np.ndarray, np.ndarray, str, str]]:
    """Return lower end, upper end, opaque colour and name of each interval of :func:`quantiles`."""
    shades = [tint(BLUE, shade) for shade in (0.2, 0.42, 0.7)]
    names = [f"{100 * share:.0f} % interval" for share in shares]
    return list(zip(curves, reversed(curves), shades, names, strict=False))


class _Dates(ConciseDateFormatter):
    """Writes days as "3 Mar"; Windows has no format for a day without its leading zero."""

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        texts: list[str] = super().format_ticks(values)
        return [re.sub(r"^0(?=\d )", "", text) for text in texts]


def bands(ax: Axes, times: np.ndarray, values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Draw intervals and median of ``values`` (n, steps) over times or dates; return all curves."""
    curves = quantiles(values, shares)
    for low, high, colour, name in intervals(curves, shares):
        ax.fill_between(times, low, high, color=colour, linewidth=0, label=name)
    ax.plot(times, curves[len(shares)], color=BLUE, linewidth=1.4, label="median")
    if np.issubdtype(times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=2, maxticks=_most_ticks(ax, "x"))
        # The label of the axis says which year it is. A bare number of a day reads as a month.
        short = _Dates(locator, show_offset=False)
        short.formats[2] = short.zero_formats[2] = "%d %b"
        ax.xaxis.set(major_locator=locator, major_formatter=short)
    elif np.issubdtype(times.dtype, np.integer):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=min(6, _most_ticks(ax, "x")), integer=True))
    return curves


def observed_points(ax: Axes, times: np.ndarray, observed: np.ndarray, size: float) -> None:
    """Draw observed values, if there are any."""
    if np.isfinite(observed).any():
        smaller = 1.0 if len(times) <= 100 else 0.6
        ax.plot(times, observed, color=BLACK, markersize=smaller * size, label="observed", **POINTS)


def linear_width(values: np.ndarray) -> float | None:
    """Return the size up to which a log axis must be linear; None if all values are positive."""
    values = values[np.isfinite(values)]
    sizes = np.abs(values[values != 0.0])
    if np.all(values > 0.0) or not sizes.size:
        return None if sizes.size else 1.0
    # Counts are resolved to one.
    smallest = float(np.quantile(sizes, 0.1))
    return max(smallest, 1.0) if np.all(values == np.round(values)) else smallest


def decades(ax: Axes, which: str, low: float, high: float) -> None:
    """Make an axis ("x" or "y") of positive numbers logarithmic, with few ticks in this range."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    few = high < 100.0 * low
    axis.set_major_locator(
        LogLocator(subs=(1.0, 3.0) if few else (1.0,), numticks=_most_ticks(ax, which))
    )
    axis.set_minor_formatter(NullFormatter())
    if few:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _most_ticks(ax: Axes, which: str) -> int:
    """Return how many numbers or dates have room along an axis that is not laid out yet."""
    room = ax.bbox.width / 0.6 if which == "x" else ax.bbox.height / 0.3
    return int(np.clip(room / ax.figure.dpi, 2, 8))


def logarithmic_axis(ax: Axes, which: str, values: np.ndarray) -> None:
    """Make an axis ("x" or "y") logarithmic.

    The axis is linear around zero if values of zero or less must show.
    """
    linear = linear_width(values)
    scale, axis = (ax.set_xscale, ax.xaxis) if which == "x" else (ax.set_yscale, ax.yaxis)
    if linear is None:
        scale("log")
        return
    scale("symlog", linthresh=linear)
    # Matplotlib marks every decade of both signs, which overlap; marks of both signs keep their
    # distance from zero.
    ends = [side.max(initial=0.0) for side in (values[values > 0.0], -values[values < 0.0])]
    first = int(np.ceil(np.log10(linear) + 0.5 * (min(ends) > 0.0)))
    decades = [
        list(range(first, int(np.floor(np.log10(end))) + 1)) if end > 0.0 else [] for end in ends
    ]
    stride = max(1, -(-sum(map(len, decades)) // _MOST_DECADES[which]))
    ticks = [
        sign * 10.0**power
        for sign, side in zip((1, -1), decades, strict=True)
        for power in side[::-stride]
    ]
    if ticks:
        axis.set_major_locator(FixedLocator(sorted([*ticks, 0.0])))
        axis.set_minor_locator(NullLocator())


_SHARES = (0.95, 0.9, 0.5)
#: What an observable without a name is called.
_UNNAMED = "observable"


@styled
def posterior_predictive(
    draws: np.ndarray | xarray.DataTree,
    observed: np.ndarray | None = None,
    *,
    name: str = _UNNAMED,
    labels: Labels = PLAIN,
    times: np.ndarray | None = None,
    time_label: str | None = None,
    series: bool | None = None,
    logarithmic: bool = False,
    missing: bool = False,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw 50, 90 and 95 % intervals of simulated data against the observation.

    Parameters
    ----------
    draws : array (draws, steps), (draws, steps, channels), (draws, elements) or (draws,)
        One simulation from each posterior draw, NaN for padding. Or a DataTree of
        ``posterior.infer`` for one observation, and ``name`` if it has several observables.
    observed : array of the shape of one simulation
        NaN where nothing was observed. A DataTree already has it.
    times : array (steps,) of numbers or dates
        By default the coordinate of the DataTree or of ``labels``, else 0, 1, 2, ...
    time_label : str, name of the steps with unit
        In place of the coordinate's: ``"time [days]"``, ``"trial"``.
    series : bool, whether the second axis of ``draws`` is time
        True draws bands, False intervals of each element. By default bands if there are times,
        channels or more than 8 elements.
    logarithmic : bool, whether the vertical axis is logarithmic
        It is linear around zero if there are values of zero or less.
    missing : bool, whether NaN in simulations is a missing value, which intervals leave out
        By default NaN where something was observed is refused.
    """
    if isinstance(draws, xarray.DataTree):
        name = _only_name(draws, name)
        draws, observed, labels = _from_tree(draws, observed, name, labels)
    values, seen = _arrays(draws, observed, name, times, missing)
    shape = seen.shape
    placed = times is not None or name in labels.coordinates
    series = placed or len(shape) == 2 or seen.size > FEW_ELEMENTS if series is None else series
    values = values.reshape(len(values), shape[0] if series else seen.size, -1)
    seen = seen.reshape(values.shape[1:])
    channels = values.shape[2]
    columns = [f"{name}[{channel}]" if channels > 1 else name for channel in range(channels)]
    columns = columns[:MOST_PANELS]
    panels = Panels(figure, columns, labels, width=7.0 if channels == 1 else 3.8, height=3.2)
    where = np.arange(len(seen))
    across = "element" if len(seen) > 1 else ""
    if series:
        where, across = places(labels, name, len(seen), times, time_label)
    for channel, ax in enumerate(panels.axes):
        if series:
            curves = bands(ax, where, values[..., channel], _SHARES)
        else:
            curves = quantiles(values[..., channel], _SHARES)
            for (low, high, colour, label), width in zip(
                intervals(curves, _SHARES), (3.0, 6.0, 11.0), strict=True
            ):
                ax.vlines(where, low, high, color=colour, linewidth=width, label=label)
            names = [f"[{','.join(map(str, index))}]" for index in np.ndindex(shape)]
            ax.set_xticks(where, names if len(names) > 1 else [""])
            ax.set_xlim(-0.7, len(where) - 0.3)
        observed_points(ax, where, seen[:, channel], size=4.0 if series else 6.0)
        if logarithmic:
            logarithmic_axis(ax, "y", np.append(curves, seen[:, channel]))
        if channels > 1:
            panels.title(channel, "")
    if channels > MOST_PANELS:
        panels.figure.suptitle(f"the first {MOST_PANELS} of {channels}")
    return panels.finish(across, labels.axis(name))


def _only_name(tree: xarray.DataTree, name: str) -> str:
    """Return the name of the only observable of a tree, if the user gave none."""
    known = list(plain_draws(tree, "posterior_predictive"))
    return known[0] if name == _UNNAMED and len(known) == 1 else name


def _from_tree(
    tree: xarray.DataTree, observed: np.ndarray | None, name: str, labels: Labels
) -> tuple[np.ndarray, np.ndarray, Labels]:
    """Return simulations, observation, and labels.

    Labels include the coordinate that the tree has for this observable, if any.
    """
    simulated = plain_draws(tree, "posterior_predictive")
    check_choice(
        "observable of a posterior predictive",
        name,
        sorted(simulated),
        do="pass its name: name=...",
    )
    variable = tree["observed_data"].data_vars[name]
    labels = _placed(variable, name, labels)
    return simulated[name], variable.to_numpy() if observed is None else observed, labels


def _placed(variable: xarray.DataArray, name: str, labels: Labels) -> Labels:
    """Return labels with the coordinate of the first axis of a variable (steps, ...), if any."""
    dimension = str(variable.dims[0]) if variable.ndim else ""
    if (
        dimension not in variable.coords
        or dimension.startswith(f"{name}_dim_")
        or name in labels.coordinates
    ):
        return labels
    axis = variable.coords[dimension]
    own = {key: {dimension: str(axis.attrs.get(key) or "")} for key in ("long_name", "units")}
    texts = own["long_name"] if any(own["long_name"].values()) else {}
    found = {**labels.coordinates, name: Coordinate(dimension, axis.values, variable.ndim)}
    return Labels({**texts, **labels.labels}, {**own["units"], **labels.units}, found)


def _arrays(
    draws: np.ndarray,
    observed: np.ndarray | None,
    name: str,
    times: np.ndarray | None,
    missing: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return simulations and observation, checked; the observation is NaN if not given."""
    values = np.asarray(draws, dtype=float)
    seen = (
        np.full(values.shape[1:], np.nan) if observed is None else np.asarray(observed, dtype=float)
    )
    if values.ndim == 1:
        values = values[:, None]
        seen = np.atleast_1d(seen)
    steps = values.shape[1:2] if times is None else np.shape(times)
    fit = values.ndim in (2, 3) and seen.shape == values.shape[1:] and steps == values.shape[1:2]
    subject = f"posterior predictive of {name!r}"
    if not fit or len(values) < 2:
        raise InputError(
            subject,
            expected="draws (draws, steps[, channels]), observed of the shape of one draw, times "
            "(steps,)",
            got=f"draws {values.shape}, observed {seen.shape}, times {steps}",
            do="pass one observation, two or more simulations of it, and one time for each step",
        )
    padding = np.isnan(seen) & np.all(np.isnan(values), axis=0)
    if missing:
        padding = np.isnan(values)
    if bad := int(np.sum(~np.isfinite(values) & ~padding)):
        raise InputError(
            subject,
            expected="finite simulations",
            got=f"{bad} of {values.size} values NaN or infinite",
            do="leave out those simulations and count them; pass missing=True if NaN is a missing "
            "value",
        )
    return values, seen


@styled
def paths(
    draws: Draws,
    *,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    line: float | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw parameters that are series: 50, 90 and 95 % intervals of each step, a panel each.

    Parameters
    ----------
    reference : draws of an exact or classical posterior
        Orange lines enclose its 90 % intervals, around its medians.
    shown : sequence of str, names of parameters (steps,); by default all of one axis
    line : float, a value to mark in each panel, such as 1 for a reproduction number

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(1).normal(size=(200, 30))
    >>> len(paths({"level": np.cumsum(noise, axis=1)}, line=0.0).axes)
    1
    """
    values = {name: np.asarray(value) for name, value in plain_draws(draws, "posterior").items()}
    series = [name for name, value in values.items() if value.ndim == 2]
    if not series:
        raise InputError(
            "draws of paths",
            expected="a parameter (steps,) or more: draws of shape (draws, steps)",
            got=str({name: value.shape for name, value in values.items()}),
            do="draw numbers with bi.plots.marginals",
        )
    names = [series[index] for index in choose(series, shown, MOST_PANELS)][:MOST_PANELS]
    values = check_numbers("draws", {name: values[name] for name in names})
    exact = {} if reference is None else plain_draws(reference, "posterior")
    exact = check_numbers("reference", {name: exact[name] for name in names if name in exact})
    known = check_numbers(
        "truth", {name: (truth or {})[name] for name in names if name in (truth or {})}
    )
    if isinstance(draws, xarray.DataTree):
        node = draws["posterior"] if "posterior" in draws.children else draws
        for name in names:
            labels = _placed(node.data_vars[name].isel(chain=0, draw=0), name, labels)
    panels = Panels(figure, names, labels, width=7.0 if len(names) == 1 else 3.8, height=3.0)
    across = ""
    for index, (name, ax) in enumerate(zip(names, panels.axes, strict=True)):
        steps = values[name].shape[1]
        _check_steps(name, steps, {"reference": exact.get(name), "truth": known.get(name)})
        where, across = places(labels, name, steps, None, None)
        bands(ax, where, values[name], _SHARES)
        if name in exact:
            curves = quantiles(exact[name], (0.9,))
            for curve, width in zip(curves, (1.0, 1.4, 1.0), strict=True):
                ax.plot(where, curve, color=ORANGE, linewidth=width, label="reference, 90 %")
        if name in known:
            ax.plot(where, known[name], color=BLACK, linewidth=1.2, label="truth")
        if line is not None:
            ax.axhline(line, **DASHED)
        if len(names) > 1:
            panels.title(index, "")
    return panels.finish(across, labels.axis(names[0]) if len(names) == 1 else "")


def _check_steps(name: str, steps: int, others: Mapping[str, np.ndarray | None]) -> None:
    for role, value in others.items():
        if value is not None and value.shape[-1:] != (steps,):
            raise InputError(
                f"{role} of {name!r}",
                expected=f"{steps} steps, as the draws have",
                got=f"shape {value.shape}",
                do="pass the same parameter of the same model",
            )


_BANDS = (0.98, 0.9, 0.5)
# Largest over median size, except for 1 in 100: 4 for a Gaussian, 13 for a standard log-normal.
_HEAVY_TAIL = 30.0


@styled
def prior_predictive(
    values: np.ndarray,
    *,
    name: str = "observable",
    labels: Labels = PLAIN,
    observed: np.ndarray | None = None,
    trajectories: int = 5,
    times: np.ndarray | None = None,
    time_label: str | None = None,
    logarithmic: bool | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw one observable of many simulations from the prior.

    - numbers, and vectors of up to eight: histograms
    - longer vectors, series, and data with a coordinate: quantile bands over steps, one panel for
      each channel, with a few simulations
    - data with more axes (images): the histogram of all values

    Parameters
    ----------
    values : array (n,), (n, elements), (n, steps), (n, steps, channels) or (n, ...)
        NaN for padding and failures.
    observed : array of the shape of one simulation
    trajectories : int, number of simulations drawn over the bands
    times : array (steps,) of numbers or dates
        By default the coordinate of ``labels``, else 0, 1, 2, ...
    time_label : str, name of the steps with unit
        In place of the coordinate's: ``"time [days]"``, ``"trial"``.
    logarithmic : bool, whether values get a logarithmic axis
        It is linear around zero if some values are zero or less. By default if they range over
        several orders of magnitude.
    """
    values = np.asarray(values, dtype=float)
    shape = values.shape[1:]
    real = np.full(shape, np.nan) if observed is None else np.asarray(observed, dtype=float)
    known = sum(bool(np.isfinite(value).any()) for value in values) if values.ndim else 0
    if known < 2 or real.shape != shape:
        raise InputError(
            f"prior predictive of {name!r}",
            expected="two or more simulations with finite values; observed: the shape of one "
            f"simulation, {shape}",
            got=f"shape {values.shape} with {known} such simulations; observed: {real.shape}",
            do="simulate more, mend the simulator, or pad the observation with NaN where it is "
            "shorter",
        )
    placed = times is not None or name in labels.coordinates
    elements = values.shape[1] if values.ndim == 2 else 1
    one_series = values.ndim == 2 and (placed or elements > FEW_ELEMENTS)
    series = values.ndim == 3 or one_series
    split = values.ndim == 3 or (elements > 1 and not one_series)
    if not split:
        values = values[..., None]
        real = real[..., None]
    count = values.shape[-1]
    names = [f"{name}[{index}]" if split else name for index in range(count)][:MOST_PANELS]
    wide = 7.0 if count == 1 and series else 3.4
    panels = Panels(figure, names, labels, width=wide, height=3.2 if count == 1 else 2.7)
    where, across = (
        places(labels, name, shape[0], times, time_label) if series else (np.empty(0), "")
    )
    for index, ax in enumerate(panels.axes):
        part = values[..., index]
        data = real[..., index]
        heavy = _heavy(part) if logarithmic is None else logarithmic
        if series:
            _bands(ax, where, part, data, trajectories, heavy)
            if split:
                panels.title(index, "")
        else:
            _histogram(ax, part, data, heavy)
            panels.name(index)
    if count > MOST_PANELS:
        panels.figure.suptitle(f"the first {MOST_PANELS} of {count}")
    counted = "simulations" if len(shape) < 2 else "values"
    return panels.finish(across, labels.axis(name) if series else counted)


def _bands(
    ax: Axes,
    steps: np.ndarray,
    part: np.ndarray,
    observed: np.ndarray,
    trajectories: int,
    heavy: bool,
) -> None:
    curves = bands(ax, steps, part, _BANDS)
    # Simulations with most steps: a series of one step is no line.
    longest = part[np.argsort(-np.isfinite(part).sum(axis=1), kind="stable")[:trajectories]]
    for index, row in enumerate(longest):
        ax.plot(steps, row, color=ORANGE, linewidth=0.9, label=None if index else "examples")
    observed_points(ax, steps, observed, size=4.0)
    if heavy:
        # Bands and lines decide, not the one extreme simulation.
        logarithmic_axis(ax, "y", np.append(longest, curves))


def _histogram(ax: Axes, part: np.ndarray, observed: np.ndarray, heavy: bool) -> None:
    known = part[np.isfinite(part)]
    data = observed[np.isfinite(observed)]
    edges = bin_edges(known)
    whole = bool(np.all(known == np.round(known)) and edges[1] - edges[0] == 1.0)
    if heavy and not whole:
        # Equal bins on the drawn axis.
        linear = linear_width(known)
        inner, outside = (np.log, np.exp) if linear is None else (np.arcsinh, np.sinh)
        ends = np.array([known.min(), known.max()])
        low, high = inner(ends / (linear or 1.0))
        edges = outside(np.linspace(low, high, 41)) * (linear or 1.0)
        edges[[0, -1]] = ends
        logarithmic_axis(ax, "x", known)
    elif whole:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    ax.stairs(
        np.histogram(known, edges)[0], edges, fill=True, color=tint(BLUE, 0.6), label="simulations"
    )
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    text = "observed"
    if len(data) > FEW_ELEMENTS:
        # Too many for lines of their own: the range of all.
        data = np.array([data.min(), data.max()])
        text = "least and largest observed"
    for value in data:
        ax.axvline(value, label=text, **DASHED)


def _heavy(part: np.ndarray) -> bool:
    sizes = np.abs(part[np.isfinite(part) & (part != 0.0)])
    return bool(len(sizes) and np.quantile(sizes, 0.99) > _HEAVY_TAIL * np.median(sizes))


# Posterior predictive checks: statistics of the observation among those of its replications.
#
# ``arviz_plots.plot_ppc_tstat`` computes one statistic from data; the result here holds many,
# already computed and judged.

#: Statistics in the unit of the observable; the others have no unit.
_WITH_UNIT = frozenset({"value", "mean", "standard deviation", "minimum", "maximum"})


@styled
def predictive_checks(
    result: PredictiveResult, *, labels: Labels = PLAIN, figure: Canvas | None = None
) -> Canvas:
    """Draw each statistic's histogram over replications, and a line for the observation.

    A line among the bars: the model can make such data. Flagged statistics are drawn in red. Of
    more than 40 statistics, those of the smallest p-values are drawn.
    """
    # Flagged statistics have the smallest p-values: all are held against the same level.
    smallest = np.argsort(result.p_value, kind="stable")[:MOST_PANELS]
    drawn = np.sort(smallest)
    panels = Panels(figure, [result.observables[index] for index in drawn], labels)
    for place, ax in enumerate(panels.axes):
        index = drawn[place]
        statistic = result.statistics[index]
        replicated = result.replicated[:, index]
        edges = bin_edges(replicated)
        bars(
            ax, replicated, edges, **band_look(not result.flagged[index], "replicated", ", flagged")
        )
        _draw_observed(ax, float(result.observed[index]), edges)
        bare(ax)
        panels.title(place, f"p = {result.p_value[index]:.2g}")
        unit = labels.unit(result.observables[index]) if statistic in _WITH_UNIT else ""
        panels.name(place, Labels(units={statistic: unit}).axis(statistic))
    return panels.finish(upwards="density", left_out=len(result.p_value) - len(drawn))


def _draw_observed(ax: Axes, observed: float, edges: np.ndarray) -> None:
    """Draw a line, or an arrow at the panel's edge where a line would flatten the histogram."""
    low = float(edges[0])
    high = float(edges[-1])
    right = observed > high
    reach = 3.0 * (high - low)
    far = not low - reach <= observed <= high + reach
    if not far:
        low = min(low, observed)
        high = max(high, observed)
        ax.axvline(observed, label="observed", **DASHED | {"linewidth": 1.6})
    margin = 0.05 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    if far:
        text = f"observed: {observed:.3g}"
        text = f"{text} \N{RIGHTWARDS ARROW}" if right else f"\N{LEFTWARDS ARROW} {text}"
        x, side = (0.98, "right") if right else (0.02, "left")
        ax.text(
            x, 0.9, wrapped(text, 1.0, 8.0), transform=ax.transAxes, ha=side, va="top", fontsize=8
        )
