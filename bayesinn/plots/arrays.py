"""Check what figure functions receive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray

from bayesinn.core.errors import InputError

#: Draws as figure functions take them: a dict of arrays, or what ``posterior.infer`` returns.
Draws = Mapping[str, np.ndarray] | xarray.DataTree


def plain_draws(draws: Draws, group: str) -> Mapping[str, np.ndarray]:
    """Draws of one observation as a dict of name to array (draws, *event).

    Parameters
    ----------
    draws : dict of arrays, returned as it is, or a DataTree
        A tree with this group, or the group itself; chains are joined.
    group : str
        ``"posterior"``, ``"prior"`` or ``"posterior_predictive"``.

    Returns
    -------
    dict of name to array (draws, *event)

    Raises
    ------
    InputError
        The tree has no such group, or many observations.

    Examples
    --------
    >>> values = xarray.Dataset({"rate": (("chain", "draw"), np.zeros((2, 50)))})
    >>> plain_draws(xarray.DataTree.from_dict({"posterior": values}), "posterior")["rate"].shape
    (100,)
    """
    if not isinstance(draws, xarray.DataTree):
        return draws
    node = draws[group] if group in draws.children else draws
    if not {"chain", "draw"} <= set(node.dims):
        raise InputError(
            f"DataTree of {group} draws",
            expected=f"a group {group!r} with dimensions 'chain' and 'draw'",
            got=f"groups {sorted(draws.children)}, dimensions {sorted(map(str, node.dims))}",
            do="pass what posterior.infer returned",
        )
    if "observation" in node.dims:
        raise InputError(
            f"DataTree of {group} draws",
            expected="one observation",
            got=f"{node.sizes['observation']} observations",
            do="choose one: tree.isel(observation=0)",
        )
    ordered = {str(name): value.transpose("chain", "draw", ...).values for name, value in node.data_vars.items()}
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in ordered.items()}


def check_draws(role: str, draws: Mapping[str, np.ndarray]) -> None:
    """Refuse draws that are empty, not finite, or not equally many for every parameter."""
    lengths = {name: np.shape(value)[:1] for name, value in draws.items()}
    if not lengths or len(set(lengths.values())) > 1 or min(lengths.values()) < (2,):
        raise InputError(
            role,
            expected="for every parameter an array (draws, *event), with the same 2 or more draws",
            got=f"{ {name: np.shape(value) for name, value in draws.items()} }",
            do="pass the draws given one observation: draws[name][i] for observation i",
        )
    for name, value in draws.items():
        if not np.all(np.isfinite(value)):
            bad = int(np.sum(~np.isfinite(value)))
            raise InputError(
                f"{role} of {name!r}",
                expected="finite values",
                got=f"{bad} of {np.size(value)} values NaN or infinite",
                do="leave those draws out",
            )


def check_same_columns(role: str, expected: Iterable[str], got: Iterable[str]) -> None:
    """Refuse arrays that do not split into the same columns as the draws."""
    expected, got = list(expected), list(got)
    if set(expected) != set(got):
        raise InputError(
            f"columns of {role}",
            expected=f"those of draws: {expected}",
            got=str(got),
            do=f"pass the same parameters, with the same event shapes, in {role}",
        )
