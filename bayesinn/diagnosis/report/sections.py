"""Sections of the report: verdict, checks, parameters, training, observed data, simulator."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesinn import plots
from bayesinn.core.labels import Labels, columns
from bayesinn.core.number_text import decimals_for, write_number
from bayesinn.diagnosis.check import FAMILY_ERROR, FLAGGED, MOST_PANELS, OUTSIDE
from bayesinn.diagnosis.evidence import Observation, optional
from bayesinn.diagnosis.report import Figure, Section, say
from bayesinn.diagnosis.verdict import Finding
from bayesinn.diagnostics.arrays import Arrays
from bayesinn.simulation.prior_text import entry_texts
from bayesinn.simulation.simulator import Simulator

# Headings of columns that tables of several checks share.
_HEADS = {
    "p_value": "p-value",
    "chi_square_p_value": "Histogram p-value",
    "inside": "Inside the band",
}


def verdict_picture(diagnosis: plots.Judged, labels: Labels) -> Figure | None:
    """Return the picture on top of a report; None if nothing was judged."""
    judged = diagnosis.verdict[diagnosis.verdict["grade"].ne("")]
    if judged.empty:
        return None
    caption = say("verdict_picture")
    told = [f"{name}: {row.grade}, {row.found}." for name, row in judged.iterrows()]
    return Figure(plots.verdict(diagnosis, labels=labels), caption, " ".join([caption, *told]))


def checks_section(verdict: pd.DataFrame, not_run: Sequence[str]) -> Section:
    """Return the table of grades, one row a check, and what was not run."""
    table = verdict[["grade", "found", "allowed", "p_value"]].copy()
    # As exact as a rule about p-values needs it.
    table["p_value"] = [f"{value:.2g}" if np.isfinite(value) else "" for value in table["p_value"]]
    heads = {"grade": "Tolerance", "p_value": "p-value", "found": "Found", "allowed": "Allowed"}
    table = table.rename(columns=heads).rename_axis("Check")
    text = say("checks", f"{100 * FAMILY_ERROR:g}")
    return Section("Checks", "\n\n".join([text, *not_run]), table=table)


def parameters_section(numbers: pd.DataFrame, labels: Labels) -> Section:
    """Return the table of parameters, with the numbers that checks show side by side."""
    table = numbers.apply(lambda column: column.round(3 if column.abs().max() < 10.0 else 1))
    return Section("Parameters", say("parameters"), table=table, labels=labels)


def overview(finding: Finding, parameters: tuple[str, ...]) -> pd.DataFrame:
    """Return what a check has for the table of parameters, one row a parameter."""
    columns = {}
    table = finding.outcome.table
    for name, heading in finding.check.overview.items():
        rows = finding.errors[finding.errors["measure"] == name].set_index("column")
        if len(rows):
            columns[heading] = rows["estimate"].reindex(parameters)
        elif table is not None and name in table:
            columns[heading] = table[name].reindex(parameters)
    return pd.DataFrame(columns, index=pd.Index(parameters, name="Parameter"))


def check_figures(finding: Finding, labels: Labels) -> dict[str, Figure]:
    """Draw the figures of a check by name; of many columns, those with the largest errors."""
    columns = getattr(finding.result, "columns", ())
    options: dict[str, Any] = {"labels": labels, "errors": finding.errors}
    if len(columns) > MOST_PANELS:
        ranked = dict.fromkeys((*finding.errors["column"], *finding.result.ranking))
        options["shown"] = [name for name in ranked if name in set(columns)][:MOST_PANELS]
    figures = {}
    for name, (draw, caption) in finding.check.figures.items():
        names = inspect.signature(draw).parameters
        taken = {option: value for option, value in options.items() if option in names}
        note = say("choice", taken["shown"], len(columns)) if "shown" in taken else ""
        figures[name] = Figure(draw(finding.result, **taken), caption + note)
    return figures


def check_section(
    finding: Finding, figures: Sequence[Figure], labels: Labels, parameters: tuple[str, ...]
) -> Section:
    """Return the section of a check: question, finding, table, figures.

    The section is folded unless something is wrong. A table with a row for each of the parameters
    is left out: the report has one for all checks.
    """
    check = finding.check
    table = finding.outcome.table
    if table is not None and tuple(table.index) == parameters:
        table = None
    if table is not None:
        heads = {name: str(name).replace("_", " ").capitalize() for name in table}
        table = table.rename(columns=heads | _HEADS)
        table = table.rename_axis([str(name).capitalize() for name in table.index.names])
    folded = finding.grade not in (OUTSIDE, FLAGGED)
    return Section(check.heading, say("check", finding), table, figures, labels, folded)


def training_section(history: pd.DataFrame, nats: bool) -> Section:
    """Return the curve of the loss, folded away; ``nats`` says whether the loss is in nats."""
    figure = Figure(plots.loss(history, nats=nats), say("loss", nats))
    return Section("Training", "", figures=[figure], folded=True)


#: Column with how typical an observation is of the simulations.
P_VALUE = "out_of_distribution_p"


def posterior_table(
    draws: Mapping[str, np.ndarray], labels: Labels, exact: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Tabulate mean, sd and 95 % interval of draws (n, *event), a row for each scalar.

    Mean, sd and interval of ``exact`` draws, if given, stand beside them.

    >>> table = posterior_table({"rate": np.linspace(0.0, 2.0, 101)}, Labels({}, {"rate": "1/day"}))
    >>> table.loc["rate", "unit"], round(float(table.loc["rate", "97.5 %"]), 3)
    ('1/day', 1.95)
    """
    table = _moments(draws)
    table.insert(0, "unit", [labels.unit(name) for name in table.index])
    return table if exact is None else table.join(_moments(exact).add_prefix("exact "))


def posterior_tables(
    draws: Mapping[str, np.ndarray],
    labels: Labels,
    names: Sequence[Any],
    by: str = "observation",
) -> pd.DataFrame:
    """Tabulate draws (draws, n_obs, *event) of named observations, in a long format.

    There is a row for each observation and scalar; the column ``by`` has the names.
    """
    tables = {
        name: posterior_table({key: value[:, place] for key, value in draws.items()}, labels)
        for place, name in enumerate(names)
    }
    return pd.concat(tables, names=[by, "parameter"])


def write_posterior(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its numbers as text, which can be published: digits by the row's sd.

    The text is the same in the terminal, in files and in reports. P-values have two digits.

    >>> draws = {"rate": 0.004 + 0.0004 * np.sin(np.arange(1000.0))}
    >>> write_posterior(posterior_table(draws, Labels())).loc["rate"].tolist()
    ['', '0.004000', '0.000283', '0.003601', '0.004399']
    """
    written = table.copy()
    decimals = [decimals_for(sd) for sd in table["sd"]]
    for name in table.select_dtypes("number"):
        if name.endswith(P_VALUE):
            written[name] = [f"{value:.2g}" for value in table[name]]
            continue
        pairs = zip(table[name], decimals, strict=True)
        written[name] = [write_number(value, count) for value, count in pairs]
    return written


def row_per_observation(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of many observations, numbers or text, with one row for each of them.

    Columns are mean and interval of each parameter, then the p-value.
    """
    names = list(table.index.get_level_values("parameter").unique())
    order = table.index.get_level_values(0).unique()
    wide = table.unstack("parameter").reindex(order)
    columns = {
        f"{name} {kind}".removesuffix(" mean"): wide[kind][name]
        for name in names
        for kind in ("mean", "sd", "2.5 %", "97.5 %")
    }
    if P_VALUE in table:
        columns[P_VALUE] = wide[P_VALUE][names[0]]
    return pd.DataFrame(columns)


def _moments(draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    frame = pd.DataFrame(columns(draws, batch_ndim=1), dtype=float)
    low, high = frame.quantile([0.025, 0.975]).to_numpy()
    return pd.DataFrame(
        {"mean": frame.mean(), "sd": frame.std(ddof=0), "2.5 %": low, "97.5 %": high}
    )


_MOST_DRAWS = 4_000
_MOST_IMAGES = 7
# Largest over smallest positive count, above which a linear axis hides most of the data.
_LOGARITHMIC_RATIO = 20.0


def observed_section(
    at: Observation,
    prior: Arrays,
    labels: Labels,
    reference: Arrays | None = None,
    ranking: Sequence[str] = (),
    *,
    draws: Arrays | None = None,
) -> Section:
    """Return table and figures of the posterior of one observation, and data simulated from it.

    ``ranking`` orders columns of parameters: of many, the marginals of the first are drawn. Draws
    that are given are shown in place of the diagnosis' own.
    """
    every = draws or at.draws
    some = {name: value[:_MOST_DRAWS] for name, value in every.items()}
    table = write_posterior(posterior_table(every, labels, reference)).drop(columns="unit")
    typicality = optional(lambda: at.typicality)
    text = "" if typicality is None else say("typicality", typicality)
    figures = posterior_figures(some, prior, labels, reference, ranking)
    predicted = optional(lambda: at.predicted)
    figures |= predictive_figures(predicted, at.observed, labels)
    captions = {name: say(name, reference) for name in ("marginals", "pairs")}
    captions |= {f"predictive_{name}": say("predicted", name) for name in at.observed}
    if len(table) > MOST_PANELS:
        names = ([*ranking] or [*table.index])[:MOST_PANELS]
        captions["marginals"] += say("choice", names, len(table))
    shown = [Figure(figure, captions[name]) for name, figure in figures.items()]
    return Section("Posterior of the observed data", text, table, shown, labels)


def posterior_figures(
    draws: Arrays,
    prior: Arrays | None,
    labels: Labels,
    reference: Arrays | None = None,
    ranking: Sequence[str] = (),
) -> dict[str, plots.Canvas]:
    """Draw marginals and pairs of a posterior, of many parameters those first in the ranking."""
    names = list(columns(draws, batch_ndim=1))
    shown = ([*ranking] or names)[:MOST_PANELS] if len(names) > MOST_PANELS else None
    figures = {
        "marginals": plots.marginals(
            draws, prior=prior, reference=reference, labels=labels, shown=shown
        )
    }
    if len(names) > 1:
        figures["pairs"] = plots.pairs(draws, reference=reference, labels=labels)
    return figures


def predictive_figures(
    predicted: Arrays | None, observed: Arrays, labels: Labels
) -> dict[str, plots.Canvas]:
    """Draw data simulated from the posterior with the observation; nothing if not predicted."""
    figures: dict[str, plots.Canvas] = {}
    if predicted is None:
        return figures
    for name, seen in observed.items():
        grey = seen.ndim == 2 and seen.shape[1] > MOST_PANELS and name not in labels.coordinates
        if grey:
            figures |= _image_figures(name, predicted[name][..., None], seen[..., None])
            continue
        if seen.ndim > 2:
            figures |= _image_figures(name, predicted[name], seen)
            continue
        options: dict[str, Any] = {"name": name, "labels": labels, "logarithmic": logarithmic(seen)}
        # Faulty predictions were left out: NaN is what the simulator declares as missing.
        options["missing"] = True
        figures[f"predictive_{name}"] = plots.posterior_predictive(
            predicted[name][:_MOST_DRAWS], seen, **options
        )
    return figures


def _image_figures(
    name: str, predicted: np.ndarray, observed: np.ndarray
) -> dict[str, plots.Canvas]:
    """Draw an observed image beside simulated ones; nothing for more axes or other channels."""
    if observed.ndim != 3 or observed.shape[2] not in (1, 3):
        return {}
    images = np.concatenate([observed[None], predicted[:_MOST_IMAGES]])
    missing = np.isnan(images).any(axis=-1)
    known = images[~missing]
    if not known.size:
        return {}
    seen = "observed; missing: blue" if missing.any() else "observed"
    titles = [seen, *["simulated"] * (len(images) - 1)]
    limits = float(known.min()), float(known.max())
    grid = plots.image_grid(images[None], columns=titles, limits=limits)
    return {f"predictive_{name}": grid}


def logarithmic(observed: np.ndarray) -> bool:
    """Whether the observed values need a logarithmic axis."""
    positive = observed[np.isfinite(observed) & (observed > 0)]
    return bool(
        positive.size > 0
        and not np.any(observed < 0)
        and positive.max() > _LOGARITHMIC_RATIO * positive.min()
    )


# What has more digits than a reader of a report needs.
_NUMBER = re.compile(r"-?\d+\.\d{4,}(e[+-]?\d+)?")
_LIST = re.compile(r"\[([^\[\]]*)\]")
_MOST_LISTED = 8


def first_paragraph(simulator: Simulator) -> str:
    """Return the first paragraph of the simulator's docstring; empty without one."""
    text = inspect.cleandoc(simulator.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split())


def describe_data(simulator: Simulator) -> str:
    """Write each observable: number of values, along which coordinate, unit.

    >>> import bayesinn as bi
    >>> describe_data(bi.get_simulator("sir"))
    'cases: 14 values, date 2020-03-02 to 2020-03-15, people'
    """
    return "; ".join(
        ", ".join(filter(None, [f"{name}: {_write_shape(shape)}", *_axis(simulator, name)]))
        for name, shape in simulator.observable_shapes.items()
    )


def shorten_numbers(text: str) -> str:
    """Return a prior's text with four significant digits of each number, and without long lists.

    >>> shorten_numbers("FiniteDiscrete(outcomes=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], logits=0.123456)")
    'FiniteDiscrete(outcomes=[0, 1, 2, ..., 9], logits=0.1235)'
    """
    return _NUMBER.sub(_shorten, _LIST.sub(_shorten_list, text))


def model_section(simulator: Simulator) -> Section:
    """Return the section on the simulator: its docstring, data, parameters with units and priors.

    Shapes and arguments at the head of a docstring are left as they are written there.
    """
    priors = entry_texts(simulator.prior, {})
    labels = simulator.labels
    rows = {
        name: {
            "Unit": labels.unit(name) or "\N{EN DASH}",
            "Values": _write_shape(shape),
            "Prior": shorten_numbers(priors[name]),
        }
        for name, shape in simulator.prior.event_shapes.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Parameter")
    text = inspect.cleandoc(simulator.__doc__ or "")
    data = f"Data: {describe_data(simulator)}."
    return Section(
        f"The model: {simulator.name}", "\n\n".join(filter(None, [text, data])), table=table
    )


def _shorten_list(found: re.Match[str]) -> str:
    numbers = found[1].split(", ")
    if len(numbers) <= _MOST_LISTED or "..." in numbers:
        return found[0]
    return f"[{', '.join(numbers[:3])}, ..., {numbers[-1]}]"


def _shorten(number: re.Match[str]) -> str:
    return f"{float(number[0]):.4g}"


def _write_shape(shape: tuple[int, ...]) -> str:
    size = int(np.prod(shape))
    values = "1 value" if size == 1 else f"{size:,} values"
    return f"{' x '.join(map(str, shape))} values" if len(shape) > 1 else values


def _axis(simulator: Simulator, name: str) -> list[str]:
    coordinate = simulator.labels.coordinates.get(name)
    unit = simulator.labels.unit(name)
    if coordinate is None:
        return [unit]
    ends = f"{coordinate.step(0)} to {coordinate.step(len(coordinate.values) - 1)}"
    axis_unit = simulator.labels.unit(coordinate.name)
    return [f"{coordinate.name} {ends} {axis_unit}".rstrip(), unit]
