"""The answer to one or more observations: its text and its file.

The file also holds the observations, which tell it from the answer to other observations.
"""

import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray
from rich.console import Console

from bayesinn.diagnosis.diagnosis import Diagnosis
from bayesinn.diagnosis.report.sections import row_per_observation, write_posterior
from bayesinn.posterior.answers import mask_padding
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.posterior.unusual import explain_unusual
from bayesinn.simulation.simulator import Arrays, Simulator

# Rows of a table that a terminal shows.
_MOST_ROWS = 40
_NARROWEST = 60
_MOST_REASONS = 5


def answer_text(tree: xarray.DataTree, table: pd.DataFrame, exact: bool = False) -> str:
    """Write one or more posteriors for the terminal: table, and how typical the observation is.

    ``exact`` says that the exact posterior was asked for; a note says if there is none.
    """
    p_values = tree["sample_stats"]["out_of_distribution_p"]
    if p_values.ndim:
        return _answers_text(table, np.asarray(p_values))
    p_value = float(p_values)
    text = f"{fit_to_terminal(write_posterior(table))}\n"
    text += f"how typical the observation is of the simulations: p = {p_value:.2g}"
    if exact and "exact_posterior" not in tree.children:
        text += (
            "\nnote: no exact posterior, which needs a simulator with a log likelihood and "
            "few parameters"
        )
    if p_value < FLAG_LEVEL:
        text += "\nWARNING: it is out of distribution, the posterior is an extrapolation"
    return text


def group_text(tree: xarray.DataTree, population: pd.DataFrame, members: pd.DataFrame) -> str:
    """Write a hierarchical posterior for the terminal: its population, then a row a member."""
    p_value = float(tree["sample_stats"]["out_of_distribution_p"])
    each = row_per_observation(write_posterior(members).drop(columns="unit"))
    text = f"{fit_to_terminal(write_posterior(population))}\n\n"
    text += f"{fit_to_terminal(each, _MOST_ROWS)}\n"
    text += f"how typical the data of all are of the simulations: p = {p_value:.2g}"
    if p_value < FLAG_LEVEL:
        text += "\nWARNING: they are out of distribution, the posterior is an extrapolation"
    return text


def fit_to_terminal(table: pd.DataFrame, most_rows: int | None = None) -> str:
    """Write a table of text; columns that don't fit beside each other stand below the others.

    Of more rows than ``most_rows``, the first and the last are written.
    """
    cut = most_rows is not None and len(table) > most_rows
    rows = table
    if most_rows is not None and cut:
        rows = pd.concat([table.iloc[: most_rows // 2], table.iloc[-most_rows // 2 :]])
    text = rows.to_string(line_width=max(shutil.get_terminal_size().columns, _NARROWEST))
    note = f"\n... {len(table) - len(rows):,} rows between are left out here" if cut else ""
    # pandas ends lines of a wrapped table with a backslash.
    return "\n".join(line.rstrip(" \\") for line in text.splitlines()) + note


def _answers_text(table: pd.DataFrame, p_values: np.ndarray) -> str:
    written = write_posterior(table).drop(columns="unit")
    text = fit_to_terminal(row_per_observation(written), _MOST_ROWS)
    names = table.index.get_level_values(0).unique()
    flagged = [str(name) for name in names[p_values < FLAG_LEVEL]]
    if not flagged:
        return text
    named = textwrap.shorten(", ".join(flagged), 200, placeholder=" ...")
    return (
        f"{text}\nWARNING: {len(flagged)} of {len(names)} are out of distribution, their "
        f"posteriors extrapolations: {named}"
    )


def refinement_text(tree: xarray.DataTree) -> str:
    """Say how many observations each method made exact, and the worst of their numbers.

    The text is empty if the draws are the network's own.
    """
    if "refinement" not in tree.children:
        return ""
    found = tree["refinement"].to_dataset()
    methods = np.atleast_1d(found["method"].values)
    names, counts = np.unique(methods, return_counts=True)
    ways = ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
    return (
        f"refined by {ways if len(methods) > 1 else names[0]}: k-hat "
        f"{float(found['k_hat'].max()):.2f}, effective size "
        f"{float(found['effective_size'].min()):,.0f}, {float(found['seconds'].sum()):.2g} s\n"
    )


def unusual_text(
    posterior: Posterior,
    data: Mapping[str, Any] | None,
    tree: xarray.DataTree,
    table: pd.DataFrame,
) -> str:
    """Say which factor would make observations typical that are not; nothing where all are."""
    if not np.any(np.asarray(tree["sample_stats"]["out_of_distribution_p"]) < FLAG_LEVEL):
        return ""
    data = posterior.simulator.observed if data is None else data
    reasons = explain_unusual(posterior, data or {})
    names = table.index.get_level_values(0).unique() if table.index.nlevels > 1 else [""]
    lines = [
        f"{f'{name}: ' if table.index.nlevels > 1 else ''}{reason}"
        for name, reason in zip(names, reasons, strict=True)
        if reason
    ]
    shown = lines[:_MOST_REASONS]
    if len(lines) > _MOST_REASONS:
        shown.append(f"... and {len(lines) - _MOST_REASONS} more")
    return "".join(f"  {line}\n" for line in shown)


def open_answer(file: Path) -> Any:
    """Open a file of inference data; used in a ``with`` block, it is closed again."""
    return az.from_netcdf(file, engine="h5netcdf")


def arrays_of(tree: xarray.DataTree, group: str) -> dict[str, np.ndarray]:
    """Return the arrays of a group, without its one chain; nothing if there is no such group."""
    if group not in tree.children:
        return {}
    chains = "chain" in tree[group].dims
    return {
        str(name): value.values[0] if chains else value.values
        for name, value in tree[group].data_vars.items()
    }


def same_data(simulator: Simulator, seen: Mapping[str, np.ndarray], given: Arrays) -> bool:
    """Tell whether saved observables and context are those of n checked observations (n, ...).

    Those that were ``seen`` are (...) or (n, ...), NaN where there is padding or no value.
    """
    known = {**given, **mask_padding(simulator, given, given)}
    for name, value in seen.items():
        other = known[name] if value.ndim == known[name].ndim else known[name][0]
        # To the last bit: data may differ by little, and be of any unit.
        if not np.array_equal(value, other.astype(value.dtype), equal_nan=True):
            return False
    return True


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the verdict with a bar for each check, in colour where the terminal has some."""
    # A file gets whole lines.
    Console(highlight=False).print(diagnosis, soft_wrap=True)


def write_verdict(diagnosis: Diagnosis) -> str:
    """Write grade, sentence and actions of a verdict, a line each.

    What would decide the undecided checks is said once, in the sentence.
    """
    told = [action for action in diagnosis.actions if action not in diagnosis.text]
    return "\n".join([f"{diagnosis.grade}: {diagnosis.text}", *(f"  to do: {do}" for do in told)])
