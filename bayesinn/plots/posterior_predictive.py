"""Posterior predictive: data simulated from posterior draws, against the observation.

It is not drawn by ArviZ: ``arviz_plots.plot_lm`` and ``plot_ppc_interval`` stack transparent bands,
and support neither padding nor channels.
"""

import numpy as np
import xarray

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Coordinate, Labels
from bayesinn.core.validation import check_choice
from bayesinn.diagnostics.predictive_statistics import FEW_ELEMENTS
from bayesinn.plots.arrays import plain_draws
from bayesinn.plots.panels import MOST_PANELS, Panels
from bayesinn.plots.series import (
    bands,
    intervals,
    logarithmic_axis,
    observed_points,
    places,
    quantiles,
)
from bayesinn.plots.style import PLAIN, Canvas, styled

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
    variable = tree["observed_data"][name]
    dimension = str(variable.dims[0]) if variable.ndim else ""
    if (
        dimension in variable.coords
        and not dimension.startswith(f"{name}_dim_")
        and name not in labels.coordinates
    ):
        axis = variable.coords[dimension]
        own = {key: {dimension: str(axis.attrs.get(key) or "")} for key in ("long_name", "units")}
        texts = own["long_name"] if any(own["long_name"].values()) else {}
        found = {**labels.coordinates, name: Coordinate(dimension, axis.values, variable.ndim)}
        labels = Labels({**texts, **labels.labels}, {**own["units"], **labels.units}, found)
    return simulated[name], variable.to_numpy() if observed is None else observed, labels


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
