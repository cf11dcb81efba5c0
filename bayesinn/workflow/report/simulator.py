"""The report on a simulator, before training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bayesinn.plots.prior_predictive import prior_predictive
from bayesinn.workflow.report.render import Verdict, render
from bayesinn.workflow.report.section import Figure, Section
from bayesinn.workflow.simulator_report import SimulatorReport


def write_simulator_report(report: SimulatorReport, path: str | Path) -> Path:
    """Write what was found about a simulator.

    Parameters
    ----------
    report : SimulatorReport
    path : file to write, ``.html``

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> from bayesinn.workflow.simulator_report import simulator_report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_simulator_report(simulator_report(bi.get("linear"), simulations=200), f"{folder}/check.html").name
    'check.html'
    """
    sections = [_advice(report), _speed(report), _prior(report), _observables(report)]
    if report.failures.count:
        sections.insert(2, _failures(report))
    problems = "; ".join(f"{item.subject}: {item.text}" for item in report.problems[:3])
    text = f"Simulator {report.name} is {report.verdict}." + (f" {problems}" if problems else "")
    settings = {
        "simulator": report.name,
        "simulations": report.simulations,
        "batch_size": report.batch_size,
        "on_nonfinite": report.on_nonfinite,
    }
    title = f"{report.name}: simulator"
    return render(path, title, sections, verdict=Verdict(report.ok, text), settings=settings, seed=report.seed)


def _advice(report: SimulatorReport) -> Section:
    rows = pd.DataFrame(
        [(item.severity, item.text) for item in report.advice],
        columns=["Severity", "What was found and what to change"],
        index=pd.Index([item.subject for item in report.advice], name="Subject"),
    )
    text = (
        "Problems spoil training or its result. Hints are worth a look, and may be as you mean it."
        if len(rows)
        else "Nothing was found that should change."
    )
    return Section("Advice", text, table=rows if len(rows) else None)


def _speed(report: SimulatorReport) -> Section:
    return Section("Speed", f"{report.speed_text}\n\n{report.failures_text}")


def _failures(report: SimulatorReport) -> Section:
    places = [f"{region.describe('fail', 'failures')}." for region in report.failures.regions]
    text = (
        "Failed simulations have NaN or infinity; they are counted here before any policy draws them again. The table "
        "compares the parameters of failing and of good simulations: quantiles, and the p-value of a "
        "Kolmogorov-Smirnov test that they come from the same distribution."
    )
    names = {name: name[0].upper() + name[1:] for name in report.failures.where} | {"p_value": "p-value"}
    table = report.failures.where.rename(columns=names).rename_axis("Parameter")
    return Section("Failures", "\n\n".join([text, *places]), table=_with_units(table, report))


def _prior(report: SimulatorReport) -> Section:
    table = report.ranges[report.ranges["kind"] != "observable"]
    table = table.drop(columns=["unit", "dtype", "zeros"]).rename(columns={"kind": "Kind"})
    text = "What parameters and context range over: does the prior mean what it should?"
    return Section("Prior", text, table=_with_units(_capital(table), report))


def _observables(report: SimulatorReport) -> Section:
    table = report.to_dataframe()
    table = table[table["kind"] == "observable"].drop(columns=["kind", "unit"])
    names = {"dtype": "Type", "zeros": "Share of zeros", "failed": "Share failed", "scaling": "Networks see"}
    text = (
        "What data the simulator makes of its prior. Padding and values that are not finite are left out. Nature's "
        "data should be among them, and impossible data should be rare."
    )
    figures = [
        Figure(
            prior_predictive(
                value.array, name=value.name, labels=report.labels, observed=report.observed.get(value.name)
            ),
            f"{value.name}: simulations from the prior. Bands and histograms show how often values occur"
            + ("; black: the data that ship with the simulator." if value.name in report.observed else "."),
        )
        for value in report.drawable
    ]
    return Section(
        "Prior predictive", text, table=_with_units(_capital(table.rename(columns=names)), report), figures=figures
    )


def _capital(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"minimum": "Minimum", "maximum": "Maximum"}).rename_axis("Name")


def _with_units(table: pd.DataFrame, report: SimulatorReport) -> pd.DataFrame:
    """Units beside names. LaTeX stays in figures: HTML can't show it."""
    units = [report.labels.unit(str(name)) for name in table.index]
    names = [f"{name} [{unit}]" if unit else str(name) for name, unit in zip(table.index, units, strict=True)]
    return table.set_axis(pd.Index(names, name=table.index.name), axis=0)
