"""Posterior predictive: data simulated from posterior draws, against the observation.

``arviz_plots.plot_lm`` and ``plot_ppc_interval`` stack transparent bands and know neither padding nor channels.
"""

import numpy as np
import xarray

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.core.validation import check_choice
from bayesinn.plots.arrays import plain_draws
from bayesinn.plots.panels import Panels
from bayesinn.plots.series import FEW_ELEMENTS, bands, intervals, logarithmic_axis, observed_points, quantiles
from bayesinn.plots.style import PLAIN, Canvas, styled

_SHARES = (0.95, 0.9, 0.5)


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
    draws : array (draws, steps), (draws, steps, channels), (draws, elements) or (draws,), NaN where there is padding
        One simulation from each posterior draw; or a DataTree of ``posterior.infer`` of one observation, and ``name``.
    observed : array of the shape of one simulation, NaN where nothing was observed; a DataTree has it
    times : array (steps,) of numbers or dates; 0, 1, 2, ... if left out
    time_label : what the steps are, with unit: ``"time [days]"``, ``"trial"``, ``"position [mm]"``
    series : whether the second axis of ``draws`` is time, for bands; otherwise, intervals of each element
        If left out: bands where there are channels or more than 8 elements.
    logarithmic : whether the vertical axis is; linear around zero if there are values of zero or less
    """
    values, seen = _arrays(draws, observed, name, times)
    shape = seen.shape
    series = len(shape) == 2 or seen.size > FEW_ELEMENTS if series is None else series
    values = values.reshape(len(values), shape[0] if series else seen.size, -1)
    seen = seen.reshape(values.shape[1:])
    channels = values.shape[2]
    columns = [f"{name}[{channel}]" if channels > 1 else name for channel in range(channels)]
    panels = Panels(figure, columns, labels, width=7.0 if channels == 1 else 3.8, height=3.2)
    places = np.arange(len(seen)) if times is None or not series else np.asarray(times)
    for channel, ax in enumerate(panels.axes):
        if series:
            curves = bands(ax, places, values[..., channel], _SHARES)
        else:
            curves = quantiles(values[..., channel], _SHARES)
            for (low, high, colour, label), width in zip(intervals(curves, _SHARES), (3.0, 6.0, 11.0), strict=True):
                ax.vlines(places, low, high, color=colour, linewidth=width, label=label)
            names = [f"[{','.join(map(str, index))}]" for index in np.ndindex(shape)]
            ax.set_xticks(places, names if len(names) > 1 else [""])
            ax.set_xlim(-0.7, len(places) - 0.3)
        observed_points(ax, places, seen[:, channel], size=4.0 if series else 6.0)
        if logarithmic:
            logarithmic_axis(ax, "y", np.append(curves, seen[:, channel]))
        ax.set_ylabel(labels.axis(columns[channel]))
    return panels.finish(time_label if series else "element" if len(places) > 1 else "")


def _arrays(
    draws: np.ndarray | xarray.DataTree, observed: np.ndarray | None, name: str, times: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return simulations and observation, checked; the observation is NaN if it was not given."""
    if isinstance(draws, xarray.DataTree):
        simulated = plain_draws(draws, "posterior_predictive")
        check_choice("observable of a posterior predictive", name, sorted(simulated), do="pass its name: name=...")
        observed = draws["observed_data"][name].to_numpy() if observed is None else observed
        draws = simulated[name]
    values = np.asarray(draws, dtype=float)
    seen = np.full(values.shape[1:], np.nan) if observed is None else np.asarray(observed, dtype=float)
    if values.ndim == 1:
        values, seen = values[:, None], np.atleast_1d(seen)
    steps = values.shape[1:2] if times is None else np.shape(times)
    fit = values.ndim in (2, 3) and seen.shape == values.shape[1:] and steps == values.shape[1:2]
    subject = f"posterior predictive of {name!r}"
    if not fit or len(values) < 2:
        expected = "draws (draws, steps[, channels]), observed of the shape of one draw, times (steps,)"
        got = f"draws {values.shape}, observed {seen.shape}, times {steps}"
        do = "pass one observation, two or more simulations of it, and one time for each step"
        raise InputError(subject, expected=expected, got=got, do=do)
    padding = np.isnan(seen) & np.all(np.isnan(values), axis=0)
    if bad := int(np.sum(~np.isfinite(values) & ~padding)):
        got, do = f"{bad} of {values.size} values NaN or infinite", "leave out those simulations and count them"
        raise InputError(subject, expected="finite simulations", got=got, do=do)
    return values, seen
