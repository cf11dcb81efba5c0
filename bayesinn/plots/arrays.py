"""Check the draws that figure functions receive, and split them into columns."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_type
from bayesinn.core.labels import columns
from bayesinn.diagnostics.arrays import check_finite, refuse_many_observations
from bayesinn.simulation.simulations import flatten_draws

#: Draws as figure functions take them: a dict of arrays (draws, *event), or what
#: ``posterior.infer`` returns.
Draws = Mapping[str, np.ndarray] | xarray.DataTree

_FAR = 8.0


def spans_decades(values: np.ndarray) -> bool:
    """Tell whether values are positive and range so far that a linear axis hides most of them.

    The far end over the median is 4 for an exponential distribution, 10 for a standard log-normal.
    """
    return bool(np.all(values > 0.0) and np.quantile(values, 0.99) > _FAR * np.median(values))


class Given(NamedTuple):
    """Columns of a posterior and of what it is compared with; empty where nothing was given.

    A truth that is not known has no column.
    """

    posterior: dict[str, np.ndarray]
    prior: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]

    def spans_decades(self, column: str) -> bool:
        """Tell whether a parameter needs a log axis.

        It does if its prior spans decades and no value is zero or less. The posterior counts if the
        prior is not known.
        """
        sets = [part[column] for part in self if column in part]
        return spans_decades(sets[1] if self.prior else sets[0]) and all(
            np.all(values > 0.0) for values in sets
        )

    def logarithms(self, chosen: Collection[str]) -> "Given":
        """Return all columns, with decimal logarithms of the chosen ones."""
        parts = [
            {name: np.log10(value) if name in chosen else value for name, value in part.items()}
            for part in self
        ]
        return Given(*parts)


def gather(
    draws: Draws,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Draws | None = None,
) -> Given:
    """Split draws into columns and check them: finite, equally many, the same columns in all."""
    roles = {"draws": draws, "prior": prior, "reference": reference, "truth": truth}
    given: list[dict[str, np.ndarray]] = []
    for role, other in roles.items():
        kind = "prior" if role == "prior" else "posterior"
        values = {} if other is None else check_numbers(role, plain_draws(other, kind))
        shapes = {name: value.shape for name, value in values.items()}
        counts = {shape[0] if shape else 0 for shape in shapes.values()}
        if other is not None and role != "truth" and (len(counts) != 1 or min(counts) < 2):
            raise InputError(
                role,
                expected="for every parameter an array (draws, *event), with the same 2 or more "
                "draws",
                got=str(shapes),
                do="pass the draws given one observation: draws[name][i] for observation i",
            )
        given.append(columns(values, batch_ndim=int(role != "truth")))
        if other is not None and set(given[-1]) != set(given[0]):
            raise InputError(
                f"columns of {role}",
                expected=f"those of draws: {list(given[0])}",
                got=str(list(given[-1])),
                do=f"pass the same parameters, with the same event shapes, in {role}",
            )
    found = Given(*given)
    known = {name: value for name, value in found.truth.items() if not np.isnan(value)}
    return found._replace(truth=known)


def check_numbers(role: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return finite numbers, 1 and 0 for true and false; a truth may be NaN where it is unknown."""
    found = {}
    for name, value in values.items():
        subject = f"{role} of {name!r}"
        if not np.size(value):
            raise InputError(
                subject,
                expected="one value or more",
                got=f"shape {np.shape(value)}",
                do="pass draws, or leave it out",
            )
        array = numbers(subject, value) if role == "truth" else check_finite(subject, value)
        found[name] = array.astype(int) if array.dtype == bool else array
    return found


def choose(
    columns: Sequence[str], shown: Sequence[str] | None, most: int | None = None
) -> list[int]:
    """Return the numbers of the columns that a figure shows, in this order; all if left out."""
    most = min(most or len(columns), len(columns))
    if shown is None:
        return list(range(len(columns)))
    names = list(shown)
    unknown = [name for name in names if name not in columns]
    if unknown or not 1 <= len(names) <= most or len(set(names)) < len(names):
        raise InputError(
            "columns of a figure",
            expected=f"1 to {most} different columns out of {list(columns)}",
            got=f"{len(names)} columns" + (f", unknown: {unknown}" if unknown else ""),
            do="choose with shown=[...]",
        )
    return [list(columns).index(name) for name in names]


def draws_of_observations(draws: Draws) -> Mapping[str, np.ndarray]:
    """Return draws of several observations as a dict of arrays (n_obs, draws, *event)."""
    if not isinstance(draws, xarray.DataTree):
        return draws
    node = draws["posterior"] if "posterior" in draws.children else draws
    leading = ("observation", "chain", "draw")
    if not set(leading) <= set(node.dims):
        raise InputError(
            "DataTree of posterior draws",
            expected=f"a group 'posterior' with dimensions {leading}",
            got=f"groups {sorted(draws.children)}, dimensions {dict(node.sizes)}",
            do="pass posterior.infer(data) of several observations; bi.plots.forest is for one",
        )
    ordered = {name: value.transpose(*leading, ...) for name, value in node.data_vars.items()}
    return {
        str(name): value.to_numpy().reshape(len(value), -1, *value.shape[3:])
        for name, value in ordered.items()
    }


def plain_draws(draws: Draws, group: str) -> Mapping[str, np.ndarray]:
    """Return draws of one observation as a dict; a tree holds this group, or is the group.

    Chains are joined.
    """
    refuse_many_observations(draws)
    if not isinstance(draws, xarray.DataTree):
        do = "pass for example {'rate': array}, or what posterior.infer returned"
        check_type(f"{group} draws", draws, Mapping, "a dict of name to array, or a DataTree", do)
        return draws
    node = draws[group] if group in draws.children else draws
    if not {"chain", "draw"} <= set(node.dims) or "observation" in node.dims:
        raise InputError(
            f"DataTree of {group} draws",
            expected=f"a group {group!r} with dimensions 'chain' and 'draw', of one observation",
            got=f"groups {sorted(draws.children)}, dimensions {dict(node.sizes)}",
            do="pass what posterior.infer returned; choose one of many observations with "
            "tree.isel(observation=0)",
        )
    ordered = {
        str(name): value.transpose("chain", "draw", ...).values
        for name, value in node.data_vars.items()
    }
    return flatten_draws(ordered)
