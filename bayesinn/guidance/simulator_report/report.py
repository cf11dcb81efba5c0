"""Check a simulator before training: draw from it, experiment with it, and report faults."""

import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.errors import check_integer
from bayesinn.core.labels import Labels
from bayesinn.core.seeds import check_seed
from bayesinn.diagnosis.report import Section, render, save_all
from bayesinn.guidance.simulator_report import checks
from bayesinn.guidance.simulator_report.pilot import Pilot, Remark, Result, draw
from bayesinn.simulation.simulator import Simulator, check_simulator

_WIDTH = 110


@dataclass(frozen=True, eq=False, repr=False)
class SimulatorReport:
    """Whether a simulator is ready for training, and what to change.

    ``report["failures"]`` is the result of one check.
    """

    name: str
    results: Mapping[str, Any]  #: by name, in the order of the report
    labels: Labels
    settings: Mapping[str, Any]

    def __getitem__(self, check: str) -> Any:
        return self.results[check]

    @property
    def advice(self) -> tuple[Remark, ...]:
        """What was observed and what to change, problems first."""
        advice = (item for result in self.results.values() for item in result.advice)
        return tuple(sorted(advice, key=lambda item: item.severity != "problem"))

    @property
    def problems(self) -> tuple[Remark, ...]:
        """The advice that must be followed."""
        return tuple(item for item in self.advice if item.severity == "problem")

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def unrelated(self) -> tuple[str, ...]:
        """Outputs that depend on no parameter, and parameters on which no output depends."""
        responses = self.results["influence"].responses
        idle = [name for name, responds in responses.items() if responds is False]
        return (*self.results["noise"].unaffected, *idle)

    @property
    def verdict(self) -> str:
        """The result in a few words."""
        if self.ok and self.unrelated:
            names = shorten(", ".join(self.unrelated), 60)
            return f"can be trained, but parameters and outputs are unrelated in {names}"
        count = len(self.problems)
        return (
            "ready for training"
            if self.ok
            else f"NOT ready for training, {count} problem{'s' * (count > 1)}"
        )

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one HTML file."""
        text = "Problems spoil training or its result. Hints are worth a look, and may be intended."
        table = pd.DataFrame(self.advice).rename(columns=str.capitalize)
        sections = [
            Section("Advice", text, table.set_index("Subject"))
            if len(table)
            else Section("Advice", "None.")
        ]
        for result in self.results.values():
            if result.title:
                figures = [*result.figures().values()]
                sections.append(
                    Section(result.title, result.text, result.table, figures, self.labels)
                )
        first = "; ".join(f"{item.subject}: {item.text}" for item in self.problems[:3])
        says = f"Simulator {self.name} is {self.verdict}. {first}".rstrip()
        grade = "passed" if self.ok else "failed"
        title = f"{self.name}: simulator"
        return render(path, title, sections, grade=grade, text=says, settings=self.settings)

    def plot(self, folder: str | Path) -> list[Path]:
        """Write all figures as PNG into ``folder``, made if need be, and return the paths."""
        return save_all(
            (item for result in self.results.values() for item in result.figures().items()), folder
        )

    def __repr__(self) -> str:
        # A terminal would break lines anywhere, within a number.
        width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
        wrapped = textwrap.TextWrapper(width, initial_indent="  ", subsequent_indent="      ").fill
        blocks = [f"Simulator {self.name!r}: {self.verdict}"]
        blocks += [wrapped(f"{item.severity}: {item.subject}: {item.text}") for item in self.advice]
        for result in self.results.values():
            if result.title:
                blocks += ["", wrapped(f"{result.title}: {result.text}")]
            if result.table is not None:
                names = [
                    f"{name} [{self.labels.unit(name)}]".replace(" []", "")
                    for name in result.table.index
                ]
                table = result.table.set_axis(names, axis=0)
                text = table.to_string(float_format="{:.4g}".format, na_rep="", line_width=width)
                # pandas ends lines of a wrapped table with a backslash.
                blocks.append("\n".join(line.rstrip(" \\") for line in text.splitlines()))
        return "\n".join(blocks)


def simulator_report(
    simulator: Simulator, *, simulations: int = 2_000, seed: int = 0, batch_size: int = 256
) -> SimulatorReport:
    """Check in seconds whether a simulator is ready for training, and say what to change.

    The repr of the result is the verdict. The report

    - measures the speed;
    - shows prior and prior predictive distribution;
    - looks for failures, and where in parameter space they occur;
    - looks for constant, copied and repeated outputs;
    - looks for noise that ignores the seed or is shared by a batch;
    - looks for values that float32 or scaling can't hold;
    - looks for parameters without influence.

    ``batch_size`` is that of training. ``simulations`` are 50 or more; some more are drawn for
    experiments.

    Examples
    --------
    >>> import bayesinn as bi
    >>> report = simulator_report(bi.get_simulator("linear"), simulations=500)
    >>> report.ok, report.advice, list(report["predictive"].table.index)
    (True, (), ['y'])
    """
    check_simulator(simulator)
    simulations = check_integer("Argument 'simulations'", simulations, least=50)
    batch_size = check_integer("Argument 'batch_size'", batch_size)
    seed = check_seed(seed)
    pilot, speed = draw(simulator, simulations, seed, batch_size)
    failed = checks.check_failures(pilot)
    good = pilot.only(~failed.marked) if failed.share else pilot
    noise = checks.check_noise(good)
    results: dict[str, Result] = {
        "speed": speed,
        "failures": failed,
        "noise": noise,
        "outputs": checks.check_outputs(good),
    }
    if simulator.missing is not None:
        results["missing"] = _missing_values(pilot)
    results |= {
        "influence": checks.check_influence(good, noise),
        "prior": checks.describe_prior(pilot),
        "predictive": checks.check_ranges(pilot, good, failed.shares["failed"]),
    }
    settings = {
        "simulator": simulator.name,
        "simulations": simulations,
        "batch_size": batch_size,
        "seed": seed,
    }
    return SimulatorReport(simulator.name, results, simulator.labels, settings)


def _missing_values(pilot: Pilot) -> Result:
    """Say how many values are lost, as declared."""
    simulator = pilot.simulator
    shares = {
        name: float(np.mean(np.isnan(value.astype(float))))
        for name, value in pilot.drawn.observables.items()
    }
    table = pd.DataFrame({"lost": [f"{100 * share:.3g} %" for share in shares.values()]}, shares)
    text = "The function itself returns NaN where a value is missing (missing='mask')."
    if simulator.missing:
        text = (
            f"Values lost: up to {100 * simulator.missing:.3g} % of each simulation, at random "
            f"(missing={simulator.missing:g})."
        )
    return Result(title="Missing values", text=f"{text} Networks see which are there.", table=table)
