"""The answer of a trained posterior to data from a file: inferred, saved, and as text."""

from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray

from bayesinn.cli.answers import (
    answer_text,
    arrays_of,
    group_text,
    refinement_text,
    unusual_text,
)
from bayesinn.cli.data_files import read_members
from bayesinn.cli.opening import read_observation
from bayesinn.cli.run import Run
from bayesinn.core.errors import InputError
from bayesinn.diagnosis.report.sections import posterior_table, posterior_tables
from bayesinn.hierarchical import HierarchicalPosterior


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


@singledispatch
def answer(posterior: Any, run: Run, question: Question) -> str:
    """Infer, save the answer into the run folder, and return what is printed."""
    exact = question.exact
    observation = read_observation(
        question.data, posterior.simulator, question.context, question.by
    )
    tree, table = run.infer(
        posterior,
        observation,
        draws=question.draws,
        seed=question.seed,
        exact=exact,
        refined=question.refined,
        predictive=question.predictive,
    )
    several = table.index.nlevels > 1
    text = f"{answer_text(tree, table, exact)}\n{refinement_text(tree)}"
    text += unusual_text(posterior, observation, tree, table)
    text += f"saved {run.folder}/posterior.nc, posterior.csv"
    text += ", observations.csv and figures" if several else " and figures"
    if question.predictive and not several and not posterior.simulator.simulates:
        text += "\nnote: no predictive figures, as there is no function to simulate with"
    return text


@answer.register
def _(posterior: HierarchicalPosterior, run: Run, question: Question) -> str:
    axis = posterior.levels.axis
    for option, given in (("--exact", question.exact), ("--refine", question.refined)):
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
