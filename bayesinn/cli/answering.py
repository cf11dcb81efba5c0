"""The answer of a trained posterior to data from a file: inferred, saved, and as text."""

from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.cli.answers import (
    answer_text,
    arrays_of,
    group_text,
    refinement_text,
    unusual_text,
)
from bayesinn.cli.group_files import read_members
from bayesinn.cli.opening import read_observation
from bayesinn.cli.run import Run
from bayesinn.cli.run_files import ANSWER
from bayesinn.core.errors import InputError
from bayesinn.core.storage import lock_folder
from bayesinn.diagnosis.posterior_table import posterior_table, posterior_tables
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
    text += ", observations.csv" * several + " and figures"
    if question.predictive and not several and not posterior.simulator.simulates:
        text += "\nnote: no predictive figures, as there is no function to simulate with"
    return text


@answer.register
def _(posterior: HierarchicalPosterior, run: Run, question: Question) -> str:
    axis = posterior.levels.axis
    for option, given in (("--exact", question.exact), ("--refine", question.refined)):
        if given:
            expected = "a posterior of one simulator's parameters"
            do = "leave it out"
            raise InputError(f"Option {option}", expected=expected, got="a hierarchical one", do=do)
    if question.data is None:
        expected = f"the data of each {axis}"
        do = f"give a file with a column {axis!r}: --data FILE"
        raise InputError("Data", expected=expected, got="none", do=do)
    person = posterior.person
    data = read_members(question.data, person, axis, question.context, question.by)
    with lock_folder(run.folder, "Run folder"):
        run.files.check(*ANSWER)
        seen = posterior.fingerprint
        run.check_data(person, data, answers=True, posterior=seen, many=True)
        tree = posterior.infer(
            data,
            draws=question.draws,
            seed=question.seed,
            predictive=question.predictive,
            progress=True,
            ids=data.names,
        )
        tree.attrs["posterior"] = seen
        members = [str(name) for name in np.asarray(tree["posterior"][axis])]
        values = arrays_of(tree, "posterior")
        shared = {name: values[name] for name in posterior.levels.shared}
        own = {name: values[name] for name in posterior.levels.own}
        population = posterior_table(shared, person.labels)
        each = posterior_tables(own, person.labels, members, axis)
        # Rows of the population have no name in the column of members.
        table = pd.concat([pd.concat({"": population}, names=[axis, "parameter"]), each])
        run.save_answer(tree, table)
    text = group_text(tree, population, each, axis)
    return f"{text}\nsaved {run.folder}/posterior.nc, posterior.csv"
