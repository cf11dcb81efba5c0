"""The answer of a trained posterior to data from a file: inferred, saved, and as text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray
from rich.console import Console

from bayesinn.cli.data_files import names_of, parse_context, read_members
from bayesinn.cli.inputs import read_observation
from bayesinn.cli.networks import named_summary
from bayesinn.cli.run import Run, arrays_of
from bayesinn.cli.tables import read_priors
from bayesinn.comparison.comparison import ModelComparison
from bayesinn.core.errors import InputError
from bayesinn.core.files import prepare_place
from bayesinn.diagnosis.diagnosis import Diagnosis
from bayesinn.diagnosis.report.sections import (
    posterior_table,
    posterior_tables,
    row_per_observation,
    write_posterior,
)
from bayesinn.estimators.loading import load
from bayesinn.hierarchical import HierarchicalPosterior
from bayesinn.likelihood.combined import combine
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.posterior.unusual import explain_unusual
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations

# Rows of a table that a terminal shows.
_MOST_ROWS = 40
_NARROWEST = 60
_MOST_REASONS = 5


@dataclass(frozen=True)
class Question:
    """What the command line asks of a posterior; None for data that ship with the simulator."""

    data: Path | None
    by: str | None
    context: list[str]
    draws: int
    seed: int
    exact: bool
    refined: bool
    predictive: bool
    fixed: Sequence[str] = ()
    prior: Sequence[str] = ()
    combined: bool = False
    region: str | None = None

    @property
    def other(self) -> str:
        """What is asked beside the posterior that was trained; nothing if that one is."""
        words = [f"--fix {text}" for text in self.fixed]
        words += [f"--prior {text}" for text in self.prior]
        return " ".join([*words, *(["--combine"] if self.combined else [])])


def ask(posterior: Any, question: Question, data: Mapping[str, Any] | None) -> Any:
    """Return the posterior that a question is about, from the one that was trained."""
    asked = posterior
    prior = read_priors(question.prior)
    if question.combined:
        simulator = posterior.simulator
        count = 1 if data is None else check_observations(simulator, data).count
        if count < 2:
            raise InputError(
                "Option --combine",
                expected="several observations of the same parameters",
                got="one",
                do="give a file with a column that tells them apart: --by COLUMN",
            )
        every = {**simulator.prior.entries, **prior} if prior else None
        asked = combine(posterior, data, prior=every)
    elif prior:
        asked = posterior.with_prior(prior)
    if question.fixed:
        asked = asked.given_parameters(parse_context(question.fixed))
    if question.other:
        # What its answer is noted under.
        asked.fingerprint = f"{posterior.fingerprint} {question.other}"
    return asked


@singledispatch
def answer(posterior: Any, run: Run, question: Question) -> str:
    """Infer, save the answer into the run folder, and return what is printed."""
    exact = question.exact
    observation = read_observation(
        question.data, posterior.simulator, question.context, question.by
    )
    asked = ask(posterior, question, observation)
    tree, table = run.infer(
        asked,
        observation,
        draws=question.draws,
        seed=question.seed,
        exact=exact,
        refined=question.refined,
        predictive=question.predictive,
    )
    several = table.index.nlevels > 1
    about = ""
    if question.region:
        table, about = run.add_regions(asked, observation, table, question.seed)
    text = f"{answer_text(tree, table, exact)}\n{about}{refinement_text(tree)}"
    if not question.combined:
        text += unusual_text(asked, observation, tree, table)
    text += f"saved {run.folder}/posterior.nc, posterior.csv"
    text += ", regions.csv" if question.region else ""
    text += ", observations.csv and figures" if several else " and figures"
    if question.predictive and not several and not posterior.simulator.simulates:
        text += "\nnote: no predictive figures, as there is no function to simulate with"
    return text


@answer.register
def _(posterior: HierarchicalPosterior, run: Run, question: Question) -> str:
    axis = posterior.levels.axis
    for option, given in (
        ("--exact", question.exact),
        ("--refine", question.refined),
        ("--fix", question.fixed),
        ("--prior", question.prior),
        ("--combine", question.combined),
        ("--region", question.region),
    ):
        if given:
            raise InputError(
                f"Option {option}",
                expected="a posterior of one simulator's parameters",
                got="a hierarchical one",
                do="leave it out",
            )
    if question.data is None:
        raise InputError(
            "Data",
            expected=f"the data of each {axis}",
            got="none",
            do=f"give a file with a column {axis!r}: --data FILE",
        )
    person = posterior.person
    data = read_members(question.data, person, axis, question.context, question.by)
    with run.answering(posterior, person, data):
        tree = posterior.infer(
            data,
            draws=question.draws,
            seed=question.seed,
            predictive=question.predictive,
            progress=True,
            ids=data.names,
        )
        population, each = _level_tables(posterior, tree)
        # Rows of the population have no name in the column of members.
        table = pd.concat([pd.concat({"": population}, names=[axis, "parameter"]), each])
        run.save_answer(posterior, tree, table)
    text = group_text(tree, population, each)
    return f"{text}\nsaved {run.folder}/posterior.nc, posterior.csv"


def _level_tables(
    posterior: HierarchicalPosterior, tree: xarray.DataTree
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of the population's parameters, and that of each member's own."""
    labels = posterior.person.labels
    levels = posterior.levels
    values = arrays_of(tree, "posterior")
    shared = {name: values[name] for name in levels.shared}
    own = {name: values[name] for name in levels.own}
    members = [str(name) for name in np.asarray(tree["posterior"][levels.axis])]
    return posterior_table(shared, labels), posterior_tables(own, labels, members, levels.axis)


def answer_text(tree: xarray.DataTree, table: pd.DataFrame, exact: bool = False) -> str:
    """Write one or more posteriors for the terminal: table, and how typical the observation is.

    ``exact`` says that the exact posterior was asked for; a note says if there is none.
    """
    p_values = tree["sample_stats"].get("out_of_distribution_p")
    if p_values is not None and p_values.ndim:
        return _answers_text(table, np.asarray(p_values))
    text = f"{fit_to_terminal(write_posterior(table))}\n"
    if p_values is not None:
        text += f"how typical the observation is of the simulations: p = {float(p_values):.2g}"
    if exact and "exact_posterior" not in tree.children:
        text += (
            "\nnote: no exact posterior, which needs a simulator with a log likelihood and "
            "few parameters"
        )
    if p_values is not None and float(p_values) < FLAG_LEVEL:
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


_CALIBRATION = 5_000


class _Observed(NamedTuple):
    arrays: Mapping[str, Any]
    index: pd.Index


def compare_models(
    simulators: Sequence[Simulator],
    data: Mapping[str, Any] | None,
    summary: list[str],
    weights: Sequence[float] | None,
    simulations: int,
    steps: int | None,
    seed: int,
    folder: Path | None,
) -> Iterator[str]:
    """Train and save; yield what is printed: calibration and answers first, as saving may fail."""
    comparison = ModelComparison(list(simulators), named_summary(summary), weights)
    # Wrong data and places are refused before the training.
    observed = _observed(comparison, data)
    if folder is not None:
        prepare_place(folder)
    comparison.fit(comparison.simulate(simulations, seed), steps=steps, seed=seed)
    yield f"{comparison.calibration(_CALIBRATION, seed)!r}\n\n{_answers(comparison, observed)}"
    if folder is not None:
        yield f"saved {comparison.save(folder)}"


def ask_saved(
    folder: Path,
    simulators: Sequence[Simulator],
    read: Callable[[Simulator], Mapping[str, Any] | None],
    trust: bool,
) -> str:
    """Return what a saved comparison answers; ``read`` gets the observations of its first model."""
    comparison = load(folder, list(simulators) or None, trust)
    if not isinstance(comparison, ModelComparison):
        raise InputError(
            f"Folder {str(folder)!r}",
            expected="a comparison of models, which bayesinn models --output writes",
            got=f"{type(comparison).__name__}",
            do=f"bayesinn infer {folder} asks a posterior",
        )
    return _answers(comparison, _observed(comparison, read(comparison.simulators[0])))


def _observed(comparison: ModelComparison, data: Mapping[str, Any] | None) -> _Observed:
    """Return observations, by default what ships with the first model, and their names."""
    first = comparison.simulators[0]
    given = first.observed if data is None else data
    if given is None:
        raise InputError(
            "Observation",
            expected=f"one, as none ships with {first.name!r}",
            got="none",
            do="pass --data FILE",
        )
    observations = check_observations(first, given)
    names, by = names_of(data)
    index = pd.Index(names or np.arange(observations.count), name=by)
    return _Observed(observations.arrays, index)


def _answers(comparison: ModelComparison, observed: _Observed) -> str:
    """Write probabilities, Bayes factors and the p-value of each observation."""
    found = comparison.probabilities(observed.arrays)
    factors = comparison.log_bayes_factors(observed.arrays)
    p_values = np.atleast_1d(np.asarray(found.p_value))
    columns = {f"P({name})": np.atleast_1d(value) for name, value in found.items()}
    for name in comparison.names[1:]:
        heading = f"log BF of {name} to {comparison.names[0]}"
        columns[heading] = np.atleast_1d(factors[name])
    table = pd.DataFrame({**columns, "p": p_values}, index=observed.index)
    lines = [
        table.to_string(float_format=lambda value: f"{value:.4g}"),
        "p: how typical the observation is of the simulations of all models",
    ]
    flagged = int(np.sum(p_values < FLAG_LEVEL))
    if flagged:
        lines.append(
            f"WARNING: {flagged} of {len(p_values)} are out of distribution: no model makes such "
            "data, and their probabilities mean nothing"
        )
    return "\n".join(lines)
