"""Information gain: what the data say about each parameter, over data sets."""

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import InformationResult
from bayesinn.plots.forest import interval_rows
from bayesinn.plots.panels import legend_below
from bayesinn.plots.style import BLUE, DASHED, PLAIN, Canvas, styled


@styled
def information(result: InformationResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the information gain of each parameter: mean, and the central 50 and 90 % of data sets.

    At zero the data say nothing about a parameter; each nat makes the posterior e times narrower than the prior.
    """
    rows = [labels.label(name) for name in result.columns]
    figure, ax = interval_rows(figure, rows, [("mean, 50 and 90 % of data sets", result.gain, result.mean, BLUE)])
    ax.axvline(0.0, **DASHED)
    ax.set_xlabel("information gain [nats]")
    legend_below(figure, [ax])
    return figure
