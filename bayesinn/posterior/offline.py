"""Offline training data: checked, split once, and known by a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.simulation import checks
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.parameters import ParameterSpace

_VALIDATION_SHARE = 0.1


def check_consistent(
    data: Mapping[str, Any] | None,
    steps: int | None,
    epochs: int | None,
    passes: int | None,
    validation: float | Mapping[str, Any] | None,
    patience: int | None,
    checkpoint: Any,
    resume: bool,
) -> None:
    """Refuse options that would be ignored."""
    if data is None:
        for name, value in (("validation", validation), ("patience", patience)):
            if value is not None:
                raise InputError(
                    f"Argument {name!r}",
                    expected="training data to hold some out of",
                    got=f"{name}={value!r} in online training, where every batch is new",
                    do=f"leave {name!r} out, or pass data=simulator.sample(n, seed)",
                )
    elif passes is not None:
        raise InputError(
            "Argument 'passes'",
            expected="a simulator to draw from",
            got=f"passes={passes!r} together with training data",
            do="say epochs, which are passes through the data",
        )
    elif steps is not None and epochs is not None:
        raise InputError(
            "Arguments 'steps' and 'epochs'",
            expected="one of them: steps, or passes through the data",
            got=f"steps={steps!r} and epochs={epochs!r}",
            do="leave one out",
        )
    if resume and checkpoint is None:
        raise InputError(
            "Argument 'resume'",
            expected="a checkpoint folder to continue from",
            got="checkpoint=None",
            do="pass checkpoint='folder' as in the run that stopped",
        )


def offline_arrays(
    simulator: Simulator, data: Mapping[str, Any] | None, validation: float | Mapping[str, Any] | None, seed: int
) -> tuple[Arrays | None, Arrays | None]:
    """Training and validation arrays, checked; the split is decided by the seed."""
    if data is None:
        return None, None
    arrays = checks.check_simulations(simulator, data, "Training data")
    validation = _VALIDATION_SHARE if validation is None else validation
    if isinstance(validation, Mapping):
        return arrays, checks.check_simulations(simulator, validation, "Validation data")
    rows = len(next(iter(arrays.values())))
    if (
        isinstance(validation, bool)
        or not 0 <= validation < 1
        or (validation and not 0 < round(validation * rows) < rows)
    ):
        raise InputError(
            "Argument 'validation'",
            expected=f"a share from 0 to below 1 that leaves both parts some of the {rows} rows, or a dict of arrays",
            got=repr(validation),
            do="pass for example validation=0.1",
        )
    order = np.random.default_rng(seeds.entropy(seed, "validation")).permutation(rows)
    held_out, kept = np.split(order, [round(validation * rows)])
    training = {name: value[kept] for name, value in arrays.items()}
    return training, {name: value[held_out] for name, value in arrays.items()} if len(held_out) else None


def check_support(space: ParameterSpace, arrays: Arrays) -> None:
    """Refuse parameters that the prior can't have drawn: they would be moved to the edge of its support unseen."""
    # An infinite density, as on an edge of a simplex, is no reason.
    outside = ~(space.prior_log_prob({name: arrays[name] for name in space.names}).numpy() > -np.inf)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            "Training data",
            expected="parameters inside the prior's support",
            got=f"{int(outside.sum())} of {len(outside)} rows outside, one of them "
            f"{ {name: arrays[name][row].tolist() for name in space.names} }",
            do="drop those rows, or widen the prior to the one they were drawn from",
        )


def fingerprint(arrays: Arrays) -> str:
    """SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(name.encode() + str(value.dtype).encode() + str(value.shape).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
