"""Sixteen federal states with one network, which knows the population of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from forecast import predict
from matplotlib.figure import Figure
from predicted import draw_states
from published import STATE_PARAMETERS, STATES, STATES_INFEASIBLE, STATES_MEDIAN_LAMBDA0
from shared import SEED, Study
from train import options_of

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.plots.panels import BLUE, ORANGE, legend_below, styled, wrapped
from bayesinn.simulators.case_counts import read_case_counts
from bayesinn.simulators.covid19_options import FIRST_DAY, FIT_DAYS
from bayesinn.simulators.covid19_prior import LABELS, UNITS

NAME = "covid19_states"
# to 5 June
DRAWS = 10_000
DAYS = 96


def run(study: Study) -> None:
    """Infer all states in one call, tabulate, draw figures."""
    shown = list(STATES)[: study.size(len(STATES), 2)]
    found = observed(study, shown)
    posterior = study.posterior(NAME)
    if found is None or posterior is None:
        return
    data, counts, population = found
    draws = posterior.sample(
        {**data, "population": population}, draws=study.size(DRAWS, 100), seed=SEED
    )
    rows = []
    predicted = {}
    for index, state in enumerate(shown):
        own = {name: values[index] for name, values in draws.items()}
        predicted[state], infeasible = predict(
            own, options_of(NAME), DAYS, float(population[index])
        )
        rejected, valid = STATES_INFEASIBLE[state]
        row: dict[str, object] = {"state": state}
        for name, (middle, lowest, highest) in zip(STATE_PARAMETERS, STATES[state], strict=True):
            low, high = densest(own[name])
            row[f"published: {name}"] = f"{middle:.3g} [{lowest:.3g}, {highest:.3g}]"
            row[name] = f"{np.median(own[name]):.3g} [{low:.3g}, {high:.3g}]"
        row |= {"published: infeasible": rejected / valid, "infeasible": infeasible}
        row["out_of_distribution_p"] = float(draws.p_value[index])
        for key in ("confirmed", "deaths"):
            totals = predicted[state][key].cumsum(axis=1)[:, -1]
            seen = counts[state][key].sum()
            low, middle, high = np.quantile(totals, [0.05, 0.5, 0.95])
            row |= {
                f"{key} to 5 June": int(seen),
                f"predicted {key}": f"{middle:,.0f} [{low:,.0f}, {high:,.0f}]",
            }
            row[f"{key} inside 90 %"] = "yes" if low <= seen <= high else "no"
        rows.append(row)
    study.write(pd.DataFrame(rows), "states")
    study.write(beside_published(pd.DataFrame(rows)), "states_summary")
    middle = float(np.median(draws["lambda0"]))
    print(
        f"  median of lambda0 over all states and draws: published {STATES_MEDIAN_LAMBDA0}, ours "
        f"{middle:.4g}"
    )
    plots.save(forest(pd.DataFrame(rows)), study.target / "states_forest.png")
    plots.save(draw_states(pd.DataFrame(rows)), study.target / "states_forecasts.png")


def observed(
    study: Study, shown: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]], np.ndarray] | None:
    """Counts (states, days) of the fit, of all days by state, populations; None if no data."""
    folder = study.data or Path()
    daily, people = (folder / f"germany_states_{table}.csv" for table in ("daily", "population"))
    if study.data is None or not (daily.is_file() and people.is_file()):
        print(f"  no {daily.name} and {people.name}: give their folder with --data; stage skipped")
        return None
    population = (
        pd.read_csv(people).set_index("state")["population"].loc[list(shown)].to_numpy(np.float32)
    )
    counts = {
        state: read_case_counts(
            daily,
            {"confirmed": "new_confirmed", "deaths": "new_deaths"},
            cumulative=False,
            where={"state": state},
        ).window(FIRST_DAY, DAYS)
        for state in shown
    }
    data = {
        key: np.stack([counts[state][key][:FIT_DAYS] for state in shown])
        for key in ("confirmed", "deaths")
    }
    return data, counts, population


def beside_published(table: pd.DataFrame) -> pd.DataFrame:
    """Our medians over the published ones: the states' middle one, the smallest and largest."""
    rows = []
    for name in STATE_PARAMETERS:
        ours, published = (
            table[column].str.partition(" [")[0].astype(float)
            for column in (name, f"published: {name}")
        )
        ratio = ours / published
        row = {
            "parameter": name,
            "published: mean of medians": published.mean(),
            "mean of medians": ours.mean(),
        }
        rows.append(
            row | {"median ratio": ratio.median(), "smallest": ratio.min(), "largest": ratio.max()}
        )
    return pd.DataFrame(rows)


def densest(values: np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """The shortest interval that holds this share of the draws."""
    ordered = np.sort(values)
    held = int(np.ceil(share * len(ordered)))
    start = int(np.argmin(ordered[held - 1 :] - ordered[: len(ordered) - held + 1]))
    return float(ordered[start]), float(ordered[start + held - 1])


@styled
def forest(table: pd.DataFrame) -> Figure:
    """Medians and 95 % highest-density intervals of all states, a panel a parameter: states.csv."""
    figure = Figure(figsize=(7.4, 1.2 + 0.3 * len(table)), layout="constrained")
    axes = figure.subplots(1, len(STATE_PARAMETERS), sharey=True)
    heights = np.arange(len(table))[::-1]
    interval = "median and 95 % interval of highest density"
    looks = (
        ("published: ", 0.15, ORANGE, "s", f"published, {interval}"),
        ("", -0.15, BLUE, "o", f"ours, {interval}"),
    )
    for ax, name in zip(axes, STATE_PARAMETERS, strict=True):
        for prefix, shift, colour, marker, label in looks:
            # Written as "2.88 [1.41, 4.67]".
            numbers = (
                table[prefix + name]
                .str.extractall(r"([\d.e+-]+)")[0]
                .astype(float)
                .unstack()
                .to_numpy()
            )
            ax.hlines(heights + shift, numbers[:, 1], numbers[:, 2], color=colour, linewidth=1.5)
            ax.plot(
                numbers[:, 0], heights + shift, marker, color=colour, markersize=3.5, label=label
            )
        ax.set_xlabel(Labels(LABELS, UNITS).axis(name))
    axes[0].set_yticks(heights, [wrapped(state, 2.2, 9.0) for state in table["state"]])
    return legend_below(figure)
