"""Tables of posteriors: mean, spread and interval of each parameter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels, columns
from bayesinn.core.number_text import decimals_for, write_number

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
