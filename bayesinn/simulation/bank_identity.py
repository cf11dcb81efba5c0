"""What decides the simulations of a bank, in plain values: simulator, prior, seed, rows of a chunk."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_probability as tfp

from bayesinn._version import __version__
from bayesinn.core.errors import BankError
from bayesinn.simulation.bank_store import FORMAT, VERSION
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.program import Program
from bayesinn.simulation.same_simulator import Owner, check_same, shared_entries
from bayesinn.simulation.simulator import Simulator

tfd = tfp.distributions
_PACKAGES = ("tensorflow", "tensorflow-probability", "numpy", "zarr")
_DO = "use the simulator, the seed and the chunk that the bank was made with, or another place for a new bank"


def bank_attributes(simulator: Simulator, seed: int, rows: int) -> dict[str, Any]:
    """Return the attributes of a bank: what decides its simulations, and who wrote it."""
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "simulator": simulator.name,
        "fingerprint": fingerprint(simulator),
        "prior": prior_text(simulator.prior),
        **({} if simulator.context is None else {"context": prior_text(simulator.context)}),
        "seed": seed,
        "rows_per_chunk": rows,
        "declared": shared_entries(simulator),
        "versions": {"bayesinn": __version__, **{name: importlib.metadata.version(name) for name in _PACKAGES}},
    }


def check_simulator(location: str, attributes: Mapping[str, Any], simulator: Simulator) -> None:
    """Raise unless a bank is one of this very simulator: its name, code, shapes and prior."""
    subject = f"Bank {location!r}"
    if attributes["simulator"] != simulator.name:
        expected, got = f"simulations of {simulator.name!r}", f"those of {attributes['simulator']!r}"
        raise BankError(subject, expected=expected, got=got, do=_DO)
    check_same(attributes["declared"], simulator, Owner(f"the bank {location!r}", _DO, BankError))
    if attributes["fingerprint"] != fingerprint(simulator):
        expected, got = f"simulations of {simulator.name!r} as it is now", "those of other code of the same name"
        raise BankError(subject, expected=expected, got=got, do=_DO)


def check_proposal(location: str, attributes: Mapping[str, Any]) -> None:
    """Raise unless the parameters of a bank were drawn from the prior."""
    if "proposal" in attributes:
        expected, got = "simulations from the prior", f"those of a proposal: {attributes['proposal']}"
        do = "use another bank; bank.read() returns these simulations, for one who knows what they were drawn from"
        raise BankError(f"Bank {location!r}", expected=expected, got=got, do=do)


def check_settings(location: str, attributes: Mapping[str, Any], seed: int, rows: int | None) -> None:
    """Raise unless a bank has this seed and, if it is given, this number of rows in a chunk."""
    for name, key, value in (("seed", "seed", seed), ("chunk", "rows_per_chunk", rows)):
        if value is not None and attributes[key] != value:
            expected, got = f"{name}={attributes[key]}, with which it was made", f"{name}={value}"
            raise BankError(f"Bank {location!r}", expected=expected, got=got, do=_DO)


def fingerprint(simulator: Simulator) -> str:
    """Return the SHA-256 of what is declared about a simulator and of its function's code.

    Comments, docstring and layout of the code don't matter. Helpers that the function calls are not looked at. The code
    of a program is its command, without folders, which differ between machines.
    """
    declared = {
        "name": simulator.name,
        "shapes": simulator.shapes,
        "lengths": simulator.lengths,
        "missing": simulator.missing,
        "on_nonfinite": simulator.on_nonfinite,
        "code": _code(simulator.function),
    }
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()


def prior_text(prior: Prior) -> str:
    """Write a prior for people, as in "rate ~ LogNormal(loc=-0.9, scale=0.5)".

    >>> import tensorflow_probability as tfp
    >>> prior_text(Prior({"rate": tfp.distributions.LogNormal(-0.9, 0.5)}))
    'rate ~ LogNormal(loc=-0.9, scale=0.5)'
    """
    lines = []
    for name in prior.names:
        if prior.needs[name]:
            lines.append(f"{name} ~ function of {', '.join(prior.needs[name])}")
            continue
        distribution = prior.distribution(name, {})
        inner: Any = distribution.distribution if isinstance(distribution, tfd.Independent) else distribution
        # Settings such as validate_args are flags; what is nested is left out.
        numbers = {key: np.asarray(value) for key, value in inner.parameters.items() if _is_numbers(value)}
        text = ", ".join(f"{key}={value.tolist()}" for key, value in numbers.items())
        lines.append(f"{name} ~ {type(inner).__name__}({text})")
    return "; ".join(lines)


def _is_numbers(value: Any) -> bool:
    if isinstance(value, bool | str) or value is None:
        return False
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, NotImplementedError):
        return False
    return array.dtype.kind in "fiu" and array.size <= 16


@functools.singledispatch
def _code(function: Any) -> str:
    """Return the code of a function in one layout; empty where its source is not known."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return ""
    body = tree.body[0]
    if isinstance(body, ast.FunctionDef):
        # The decorator declares; what matters of that is compared by itself.
        body.decorator_list = []
        if ast.get_docstring(body) is not None:
            body.body = body.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@_code.register
def _(function: Program) -> str:
    return " ".join(function.without_folders())


@_code.register
def _(function: functools.partial) -> str:
    # Addresses of objects differ between runs.
    bound = re.sub(" at 0x[0-9a-f]+", "", f"{function.args} {sorted(function.keywords.items())}")
    return f"{_code(function.func)}\n{bound}"
