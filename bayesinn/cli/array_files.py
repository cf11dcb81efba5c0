"""Simulations that people have as files of arrays, to train on: .npz, or a pair of .npy."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.cli.array_places import named_files
from bayesinn.cli.named_arrays import read_npz
from bayesinn.core.errors import InputError
from bayesinn.simulation.checks import check_simulations, numbers
from bayesinn.simulation.distribution_text import read_distribution
from bayesinn.simulation.from_arrays import from_arrays
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.simulation.simulator import Arrays, Simulator

#: Name in a run folder of rows that its posterior was not trained on.
HELD_OUT = "held_out.npz"
_SHARE = 0.2
_MOST_HELD_OUT = 10_000
# Of a correct posterior, fewer data sets leave most verdicts undecided.
_DECIDE = 2_500


def read_arrays(place: str, parameters: Sequence[str]) -> dict[str, Any]:
    """Return the arrays of a file by name.

    A pair of .npy files holds parameters and an observable. The columns of the first file are the
    ``parameters``, in this order; the observable is named like the second file.
    """
    files = named_files(place)
    subject = f"File of simulations {place!r}"
    for file in files:
        if not file.is_file():
            raise InputError(
                subject, expected="a file", got=f"no file {str(file)!r}", do="check the path"
            )
    try:
        if len(files) == 1 and files[0].suffix.lower() == ".npz":
            return dict(read_npz(files[0]))
        if len(files) != 2:
            raise ValueError(f"{len(files)} of .npy")
        first, data = (np.load(file, allow_pickle=False) for file in files)
    except Exception as error:
        raise InputError(
            subject,
            expected=".npz with a name for each array, or PARAMETERS.npy,DATA.npy",
            got=f"{type(error).__name__}: {error}",
            do="write it with np.savez(path, NAME=array, ...)",
        ) from error
    columns = first[:, None] if first.ndim == 1 else first
    if columns.ndim != 2 or columns.shape[1] != len(parameters):
        raise InputError(
            subject,
            expected=f"a column for each of the parameters {list(parameters)}",
            got=f"shape {first.shape}",
            do="order --prior as the columns are; write vectors into an .npz file",
        )
    return {**dict(zip(parameters, columns.T, strict=True)), files[1].stem: data}


def read_priors(texts: Sequence[str]) -> dict[str, Any]:
    """Return distributions by parameter, from texts such as ``rate=LogNormal(-0.9, 0.5)``."""
    priors: dict[str, Any] = {}
    for text in texts:
        name, equals, distribution = text.partition("=")
        name = name.strip()
        if not equals or not re.fullmatch(r"[^\s(]+", name) or name in priors:
            raise InputError(
                f"Option --prior {text!r}",
                expected="NAME=DISTRIBUTION(NUMBERS)",
                got=repr(text),
                do="write for example --prior 'rate=LogNormal(-0.9, 0.5)', once for each parameter",
            )
        priors[name] = read_distribution(f"Prior of {name!r}", distribution)
    return priors


def arrays_model(name: str | None, place: str, texts: Sequence[str]) -> tuple[Simulator, Arrays]:
    """Return the model of arrays in a file, with these priors, and the arrays."""
    priors = read_priors(texts)
    arrays = read_arrays(place, list(priors))
    rows = {key: numbers(f"Array {key!r} in {place!r}", value) for key, value in arrays.items()}
    if absent := [key for key in priors if key not in rows]:
        raise InputError(
            f"File of simulations {place!r}",
            expected=f"an array for each parameter with a prior, {list(priors)}",
            got=f"{list(rows)}, without {absent}",
            do="name the parameters as in --prior; the other arrays are the data",
        )
    return from_arrays(priors, rows, name=name or named_files(place)[-1].stem), rows


def hold_out(arrays: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """Return rows to train on, and others to diagnose on: a fifth, 10,000 at most.

    What a row holds decides where it goes, not its place or the seed of the training. So a
    posterior that is trained longer, or on more rows, has not seen the rows to diagnose on.
    """
    rows = count_rows(arrays)
    places = np.array([_place(arrays, row) for row in range(rows)])
    # One at least is on either side.
    ordered = np.sort(places)
    limit = np.clip(min(_SHARE, _MOST_HELD_OUT / rows), ordered[0], ordered[-1])
    apart = (places <= limit) & (places < ordered[-1])
    return take(arrays, np.flatnonzero(~apart)), take(arrays, np.flatnonzero(apart))


def few_held_out(held_out: Arrays, rows: int) -> str:
    """Say that rows which are held out of so many may be too few for a verdict; nothing if not."""
    count = count_rows(held_out)
    if count >= _DECIDE:
        return ""
    return (
        f"note: {count:,} of {rows:,} rows are held out for the diagnosis. A verdict takes about "
        f"{_DECIDE:,}, fewer may leave it undecided: give {math.ceil(_DECIDE / _SHARE):,} rows in "
        f"all, or {_DECIDE:,} more for 'bayesinn diagnose RUN --held-out FILE.npz'"
    )


def _place(arrays: Mapping[str, np.ndarray], row: int) -> float:
    """Return a number in [0, 1) that follows from what a row holds."""
    content = hashlib.blake2b(digest_size=8)
    for name in sorted(arrays):
        content.update(np.asarray(arrays[name][row], np.float64).tobytes())
    return int.from_bytes(content.digest()) / 2.0**64


def held_out_rows(run: Path, given: Path | None, simulator: Simulator) -> Arrays | None:
    """Return the rows to diagnose on: of a file, or those in a run folder; None to simulate."""
    own = run / HELD_OUT
    if given is None and (simulator.simulates or not own.is_file()):
        return None
    place = str(own if given is None else given)
    return check_simulations(
        simulator, read_arrays(place, simulator.prior.names), f"File of simulations {place!r}"
    )
