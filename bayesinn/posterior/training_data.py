"""What a posterior is fitted to, checked and split: arrays, or a simulation bank that is streamed if it is large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number
from bayesinn.posterior.building import PILOT_SIMULATIONS
from bayesinn.simulation import checks
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.arrays import fingerprint, split
from bayesinn.training.settings import Optimization

Data = Mapping[str, Any] | Bank

_VALIDATION_SHARE = 0.1
# Training copies arrays: a bank of this size takes some three times as much.
_MOST_BYTES_IN_MEMORY = 256 * 2**20
# With more, a validation loss is no better.
_MOST_HELD_OUT = 65_536


class TrainingData(NamedTuple):
    """Arrays to train on, or the first ``rows`` of a bank; and arrays that are held out. Online there is nothing."""

    arrays: Arrays | None = None
    held_out: Arrays | None = None
    bank: Bank | None = None
    rows: int | None = None

    @property
    def pilot(self) -> Arrays | None:
        """The rows to measure scalings on and to initialise networks with; None online."""
        return self.arrays if self.bank is None else self.bank.read(slice(0, min(PILOT_SIMULATIONS, self.rows or 0)))

    @property
    def fingerprint(self) -> str | None:
        """What a checkpoint knows the data by."""
        if self.bank is not None:
            return f"{self.bank.fingerprint}, the first {self.rows}"
        return None if self.arrays is None else fingerprint(self.arrays)


def training_data(
    simulator: Simulator, data: Data | None, validation: float | Mapping[str, Any] | None, seed: int
) -> TrainingData:
    """Return what to train on and what is held out, checked; the seed decides how arrays are split."""
    if data is None:
        return TrainingData()
    if isinstance(data, Bank):
        data.check_simulator(simulator)
        data.check_finished()
        if data.nbytes > _MOST_BYTES_IN_MEMORY:
            return _streamed(simulator, data, validation)
        data = data.read()
    arrays = checks.check_simulations(simulator, data, "Training data")
    if isinstance(validation, Mapping):
        return TrainingData(arrays, checks.check_simulations(simulator, validation, "Validation data"))
    rows = len(next(iter(arrays.values())))
    kept, apart = split(rows, _share(validation, rows), seed)
    training, held_out = ({name: value[chosen] for name, value in arrays.items()} for chosen in (kept, apart))
    return TrainingData(training, held_out if len(apart) else None)


def refuse_ignored(data: Data | None, validation: float | Mapping[str, Any] | None, optimization: Optimization) -> None:
    """Refuse options that have no effect with or without training data."""
    for name, value in (("validation", validation), ("patience", optimization.patience)):
        if data is None and value is not None:
            got = f"{name}={value!r} in online training, where every batch is new"
            do = f"leave {name!r} out, or pass data=simulator.sample(n, seed)"
            raise InputError(f"Argument {name!r}", expected="training data to hold some out of", got=got, do=do)
    if data is not None and optimization.passes is not None:
        got = f"passes={optimization.passes!r} together with training data"
        do = "say epochs, which are passes through the data"
        raise InputError("Argument 'passes'", expected="a simulator to draw from", got=got, do=do)


def _streamed(simulator: Simulator, bank: Bank, validation: float | Mapping[str, Any] | None) -> TrainingData:
    """Hold out the last rows of a bank: a share, at most 65,536 if nothing is said."""
    if isinstance(validation, Mapping):
        return TrainingData(None, checks.check_simulations(simulator, validation, "Validation data"), bank, bank.n)
    count = round(_share(validation, bank.n) * bank.n)
    count = min(count, _MOST_HELD_OUT) if validation is None else count
    if count * (bank.nbytes // bank.n) > _MOST_BYTES_IN_MEMORY:
        expected = f"a share that fits into memory, {_MOST_BYTES_IN_MEMORY / bank.nbytes:.2g} at most"
        do = "pass a smaller one; 65,536 simulations are held out if it is left out"
        raise InputError("Argument 'validation'", expected=expected, got=repr(validation), do=do)
    rows = bank.n - count
    return TrainingData(None, bank.read(slice(rows, None)) if count else None, bank, rows)


def _share(validation: float | None, rows: int) -> float:
    subject, do = "Argument 'validation'", "pass for example validation=0.1"
    share = _VALIDATION_SHARE if validation is None else validation
    share = check_number(subject, share, least=0, below=1, do=f"{do}, or a dict of arrays")
    if share and not 0 < round(share * rows) < rows:
        expected = f"a share that leaves both parts some of the {rows} rows"
        raise InputError(subject, expected=expected, got=repr(validation), do=do)
    return share
