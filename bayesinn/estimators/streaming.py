"""Training from a simulation bank: as arrays if it is small, else read while training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer, check_number, check_type
from bayesinn.estimators.training_data import (
    PILOT_SIMULATIONS,
    InMemory,
    Length,
    TrainingData,
    Validation,
    check_share,
    require_simulator,
    training_data,
)
from bayesinn.simulation import checks
from bayesinn.simulation.bank import Bank, read_simulations
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.bank_source import BankSource, wait_for
from bayesinn.training.settings import Optimization, TrainingSettings, refuse_both
from bayesinn.training.sources import Mixture, Source, online_source
from bayesinn.training.trainable import Trainable

# Training copies arrays: a bank of this size takes some three times as much.
_MOST_BYTES_IN_MEMORY = 256 * 2**20
# With more, a validation loss is no better.
_MOST_HELD_OUT = 65_536


@dataclass(frozen=True)
class Stream:
    """A simulation bank that is read during training, however small.

    It may be unfinished, or mixed with fresh simulations.

    Parameters
    ----------
    bank : Bank
    reuse : int
        Train while another program (``bayesinn simulate``) still writes the bank: each chunk is
        used this many times, about half of these while the bank grows. Training waits where it is
        faster; the result doesn't depend on speeds. The bank must have been begun; training first
        waits for the held-out set and 4,096 more simulations. If left out, the bank must be
        finished.
    fresh : float
        Share of each batch that is simulated anew, for a small bank and a fast simulator.

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> linear, folder = bi.get("linear"), tempfile.TemporaryDirectory()
    >>> bank = bi.simulate(linear, 2_000, folder.name, seed=1, progress=False)
    >>> posterior = bi.AmortizedPosterior(linear, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    >>> posterior = posterior.fit(
    ...     bi.Stream(bank, fresh=0.25), steps=20, batch_size=64, seed=1, progress=False
    ... )
    >>> folder.cleanup()
    """

    bank: Bank
    reuse: int | None = None
    fresh: float = 0.0

    def __post_init__(self) -> None:
        check_type(
            "Argument 'bank'", self.bank, Bank, "a Bank", "open one with bi.open_bank(folder)"
        )
        if self.reuse is not None:
            check_integer("Argument 'reuse'", self.reuse, do="pass for example reuse=4")
        check_number(
            "Argument 'fresh'", self.fresh, least=0, below=1, do="pass for example fresh=0.25"
        )


class Streamed(TrainingData):
    """A bank whose first rows are held out: by default a share of them, at most 65,536."""

    def __init__(self, simulator: Simulator, stream: Stream, validation: Validation) -> None:
        super().__init__(simulator.recommended)
        self.simulator = simulator
        self._stream = stream
        bank = stream.bank
        self.location = bank.location
        bank.check_simulator(simulator)
        self.simulator_record = bank.simulator_record
        self._first = 0 if isinstance(validation, Mapping) else _count_held_out(bank, validation)
        pilot = slice(self._first, min(self._first + PILOT_SIMULATIONS, bank.n))
        if stream.reuse is None:
            bank.check_finished()
        else:
            wait_for(bank, range(-(-pilot.stop // bank.rows_per_chunk)))
        if isinstance(validation, Mapping):
            self.held_out = checks.check_simulations(simulator, validation, "Validation data")
        elif self._first:
            self.held_out = self._read(slice(0, self._first))
        self.pilot = self._read(pilot)
        # A bank that still grows has no fingerprint yet.
        what = bank.fingerprint if stream.reuse is None else bank.identity
        self.fingerprint = f"{what}, from row {self._first}"
        if stream.reuse or stream.fresh:
            self.fingerprint += f", reuse {stream.reuse}, fresh {stream.fresh}"

    @property
    def stored(self) -> int:
        return self._stream.bank.n - self._first

    def count_fresh(self, batch_size: int) -> int:
        return round(self._stream.fresh * batch_size)

    def _read(self, rows: slice) -> Arrays:
        arrays = self._stream.bank.read(rows)
        return checks.check_simulations(self.simulator, arrays, "Training data")

    def fill_in(self, length: Length, optimization: Optimization) -> tuple[Length, Optimization]:
        steps, epochs, batch_size = length
        refuse_both(steps, epochs)
        batch_size = self.recommended.batch_size if batch_size is None else batch_size
        batch_size = min(check_integer("Argument 'batch_size'", batch_size), self.stored)
        passes = self._stream.reuse
        if epochs is not None:
            passes = check_integer("Argument 'epochs'", epochs)
        stored = max(batch_size - self.count_fresh(batch_size), 1)
        if steps is None:
            # By default as many steps and reports as online: a pass through a large bank may never
            # end.
            steps = self.recommended.steps if passes is None else passes * (self.stored // stored)
        return Length(steps, None, batch_size), optimization

    def source(
        self,
        model: Trainable,
        settings: TrainingSettings,
        pretrained: bool,
        progress: bool,
        folder: Path | None,
    ) -> Source:
        # What is precomputed for arrays is trained on, and not fixed.
        if not self._stream.fresh:
            return self._bank_source(settings)
        size = settings.batch_size
        fresh = self.count_fresh(size)
        if not 0 < fresh < size:
            raise InputError(
                "Argument 'fresh'",
                expected=f"a share that leaves both parts some of the {size} in a batch",
                got=repr(self._stream.fresh),
                do="pass another, or 0",
            )
        return Mixture(
            self._bank_source(replace(settings, batch_size=size - fresh)),
            online_source(self.simulator, replace(settings, batch_size=fresh), progress),
        )

    def _bank_source(self, settings: TrainingSettings) -> BankSource:
        """Return batches of simulations from the bank."""
        stream = self._stream
        return BankSource(self.simulator, stream.bank, self._first, settings, stream.reuse or 0)


@training_data.register
def _(data: Bank, simulator: Simulator | None, validation: Validation, seed: int) -> TrainingData:
    simulator = require_simulator(simulator)
    if data.nbytes > _MOST_BYTES_IN_MEMORY:
        return Streamed(simulator, Stream(data), validation)
    arrays = read_simulations(data, simulator, "Training data")
    given = InMemory(simulator, arrays, validation, seed)
    given.failed = data.failed
    given.location = data.location
    given.simulator_record = data.simulator_record
    return given


@training_data.register
def _(data: Stream, simulator: Simulator | None, validation: Validation, seed: int) -> TrainingData:
    return Streamed(require_simulator(simulator), data, validation)


def _count_held_out(bank: Bank, validation: float | None) -> int:
    count = round(check_share(validation, bank.n) * bank.n)
    row_bytes = bank.nbytes // bank.n
    if validation is None:
        count = min(count, _MOST_HELD_OUT, _MOST_BYTES_IN_MEMORY // row_bytes)
    if count * row_bytes > _MOST_BYTES_IN_MEMORY:
        raise InputError(
            "Argument 'validation'",
            expected=f"a share that fits into memory, {_MOST_BYTES_IN_MEMORY / bank.nbytes:.2g} "
            "at most",
            got=repr(validation),
            do="pass a smaller one; leave it out for 65,536 simulations, or as many as fit",
        )
    return count
