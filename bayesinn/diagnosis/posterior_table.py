"""Tables of posteriors: mean, spread and interval of each parameter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels, columns


def posterior_table(
    draws: Mapping[str, np.ndarray], labels: Labels, exact: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Tabulate mean, sd and 95 % interval of draws (n, *event), a row for each scalar.

    Those of exact draws stand beside them.

    >>> table = posterior_table({"rate": np.linspace(0.0, 2.0, 101)}, Labels({}, {"rate": "1/day"}))
    >>> table.loc["rate", "unit"], round(float(table.loc["rate", "97.5 %"]), 3)
    ('1/day', 1.95)
    """
    table = _moments(draws)
    table.insert(0, "unit", [labels.unit(name) for name in table.index])
    return table if exact is None else table.join(_moments(exact).add_prefix("exact "))


def posterior_tables(
    draws: Mapping[str, np.ndarray], labels: Labels, names: Sequence[Any]
) -> pd.DataFrame:
    """Tabulate draws (draws, n_obs, *event) of named observations.

    There is a row for each observation and scalar.
    """
    tables = {
        name: posterior_table({key: value[:, place] for key, value in draws.items()}, labels)
        for place, name in enumerate(names)
    }
    return pd.concat(tables, names=["observation", "parameter"])


def _moments(draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    frame = pd.DataFrame(columns(draws, batch_ndim=1), dtype=float)
    low, high = frame.quantile([0.025, 0.975]).to_numpy()
    return pd.DataFrame(
        {"mean": frame.mean(), "sd": frame.std(ddof=0), "2.5 %": low, "97.5 %": high}
    )
