"""What an estimator is fitted to: fresh simulations, arrays, or a bank.

Each kind has its own way to fill in what a user left out.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import singledispatch
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_integer, check_number, check_type
from bayesinn.simulation import checks
from bayesinn.simulation.bank import Bank, read_simulations
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.simulation.simulator import Arrays, Recommended, Simulator, simulations_per_second
from bayesinn.training.settings import Optimization, TrainingSettings, refuse_both, resolve_settings
from bayesinn.training.sources import (
    ArraySource,
    Augmentation,
    BankSource,
    Mixture,
    Source,
    fingerprint,
    online_source,
    split,
    wait_for,
)
from bayesinn.training.train import offline_source, precomputed
from bayesinn.training.trainable import Trainable

Validation = float | Mapping[str, Any] | None

#: Simulations that scalings are measured on and networks initialised with, at most; the fewest.
PILOT_SIMULATIONS = 4096
_FEWEST_PILOT_SIMULATIONS = 512
_VALIDATION_SHARE = 0.1
# Arrays, chosen in paper_results/sbibm: short batches, passes that make about so many steps of
# them, and patience. Of many rows, larger batches and more passes learn more in little more time.
_BATCH = 64
_LARGE_BATCH = 256
_MANY_ROWS = 30_000
_STEPS = 5_000
_FEWEST_BATCHES = 14
_FEWEST_EPOCHS = 10
_FEWEST_EPOCHS_OF_MANY = 30
_MOST_EPOCHS = 300
_PATIENCE = 20
# Weight decay for fewer rows than these: with 1,000 it helps, with 10,000 it harms.
_DECAY = 0.1
_FEW_ROWS = 3_000
# Share of a limit of time that simulations are drawn in before the first step, where they are used
# more than once, and the most passes: of more, a network without held-out rows may overfit.
_DRAWING = 0.6
_MOST_PASSES = 10


class TrainingData(ABC):
    """What to train on, checked; a set ``held_out``, and a ``fingerprint`` for checkpoints.

    ``pilot`` are the rows to measure scalings on and to initialise networks with; None where they
    are simulated. ``passes`` is the default number of passes through simulations that are drawn
    first.
    """

    #: Number of rows that are in memory.
    rows: int | None = None
    passes = 0
    #: Simulator that rows are checked against; None if there is none.
    declared: Simulator | None = None
    #: What changes rows each time that they are seen.
    augmentation: Augmentation | None = None
    held_out: Arrays | None = None
    pilot: Arrays | None = None
    fingerprint: str | None = None
    #: What is to be said of how :meth:`settings` decided.
    note = ""
    #: What a simulation bank keeps of its simulator.
    simulator_record: dict[str, Any] | None = None

    def __init__(self, recommended: Recommended) -> None:
        self.recommended = recommended

    @property
    def stored(self) -> int | None:
        """Number of simulations to train on that were there before; None if there were none."""
        return self.rows

    def count_fresh(self, batch_size: int) -> int:
        """Return how many simulations of a batch are new beside those that are stored."""
        return 0

    @abstractmethod
    def settings(
        self, steps: Any, epochs: Any, batch_size: Any, seed: int, optimization: Optimization
    ) -> TrainingSettings:
        """Return how to train, checked, with what a user left out (None)."""

    def _resolved(
        self, steps: Any, epochs: Any, batch_size: Any, seed: int, optimization: Optimization
    ) -> TrainingSettings:
        """Return settings that lack learning rate and passes at most."""
        complete = optimization.with_defaults(self.recommended.learning_rate, self.passes)
        return resolve_settings(self.rows, steps, epochs, batch_size, seed, complete)

    @abstractmethod
    def source(
        self,
        model: Trainable,
        settings: TrainingSettings,
        pretrained: bool,
        progress: bool,
    ) -> Source:
        """Return where batches come from.

        ``pretrained`` says that the model has the weights of another.
        """

    def validation(self, model: Trainable, settings: TrainingSettings) -> Mapping[str, Any] | None:
        """Return the held-out rows.

        They include what the model computes once for each row, if rows to train on do.
        """
        return None if self.held_out is None else self.augment(self.held_out, settings.seed)

    def augment(self, rows: Arrays, seed: int) -> Arrays:
        """Return rows (n, ...) that are evaluated, changed once by the augmentation, if any."""
        if self.augmentation is None:
            return rows
        changed = self.augmentation.apply(rows, seed)
        return _checked(self.declared, changed, "Result of 'augment'", rows)


class Online(TrainingData):
    """Fresh simulations at each step, or passes through some that are drawn first."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator.recommended)
        self.simulator = simulator
        self.passes = simulator.recommended.passes

    def settings(
        self, steps: Any, epochs: Any, batch_size: Any, seed: int, optimization: Optimization
    ) -> TrainingSettings:
        recommended = self.recommended
        if epochs is not None and steps is None:
            raise InputError(
                "Argument 'epochs'",
                expected="steps, which say how long to train online",
                got=f"epochs={epochs!r} alone",
                do="pass steps=...; epochs then says in how many reports",
            )
        if optimization.minutes is not None and optimization.passes is None:
            reused = reuse(self.simulator, steps, batch_size, 60.0 * optimization.minutes)
            if reused is not None:
                steps, batch_size, passes, self.note = reused
                optimization = replace(optimization, passes=passes)
        steps = recommended.steps if steps is None else steps
        batch_size = recommended.batch_size if batch_size is None else batch_size
        return self._resolved(steps, epochs, batch_size, seed, optimization)

    def source(
        self,
        model: Trainable,
        settings: TrainingSettings,
        pretrained: bool,
        progress: bool,
    ) -> Source:
        if not settings.passes:
            return online_source(self.simulator, settings, progress)
        return offline_source(
            model, settings, self.simulator, pretrained=pretrained, progress=progress
        )


class Reused(NamedTuple):
    """Training whose simulations are drawn first, and each used in several steps; and why."""

    steps: int
    batch_size: int
    passes: int
    note: str


def reuse(simulator: Simulator, steps: Any, batch_size: Any, seconds: float) -> Reused | None:
    """Return how to train for some seconds on a simulator too slow for fresh simulations.

    As many are drawn first as the larger part of the time is enough for. None if fresh ones do, or
    if the simulator recommends passes.
    """
    recommended = simulator.recommended
    if simulator.in_graph or recommended.passes:
        return None
    speed = simulations_per_second(simulator, 0)
    rows = int(_DRAWING * seconds * speed)
    steps = check_integer("Argument 'steps'", steps or recommended.steps)
    size = check_integer("Argument 'batch_size'", batch_size or recommended.batch_size)
    if 2 * rows >= steps * size:
        return None
    if batch_size is None:
        size = _default_batch(rows, size)
    passes = min(-(-steps * size // max(rows, 1)), _MOST_PASSES)
    steps = min(steps, passes * max(rows // size, 1))
    note = f"the simulator makes {speed:.2g} a second: each is used {passes} times"
    return Reused(steps, size, passes, note)


def _default_batch(rows: int, recommended: int) -> int:
    """Return the size of batches of so many stored rows."""
    many = rows >= _MANY_ROWS
    return min(recommended, _LARGE_BATCH if many else _BATCH, max(rows // _FEWEST_BATCHES, 1))


class InMemory(TrainingData):
    """Arrays (n, ...), of which a share or a set of its own is held out."""

    #: How many simulations of the bank that they come from failed and were drawn again.
    failed = 0

    def __init__(
        self, simulator: Simulator | None, arrays: Arrays, validation: Validation, seed: int
    ) -> None:
        super().__init__(Recommended() if simulator is None else simulator.recommended)
        self.declared = simulator
        rows = count_rows(arrays)
        share = 0.0 if isinstance(validation, Mapping) else check_share(validation, rows)
        # In random order: scalings are measured on the first rows.
        kept, apart = split(rows, share, seed)
        self._arrays = take(arrays, kept)
        if isinstance(validation, Mapping):
            self.held_out = _checked(simulator, validation, "Validation data", arrays)
        else:
            self.held_out = take(arrays, apart) if len(apart) else None
        self.pilot = self._arrays
        self.rows = count_rows(self._arrays)
        self.fingerprint = fingerprint(self._arrays)

    def settings(
        self, steps: Any, epochs: Any, batch_size: Any, seed: int, optimization: Optimization
    ) -> TrainingSettings:
        rows = count_rows(self._arrays)
        many = rows >= _MANY_ROWS
        if batch_size is None:
            batch_size = _default_batch(rows, self.recommended.batch_size)
            batch_size = max(batch_size // optimization.parts, 1) * optimization.parts
        if (
            rows < _FEW_ROWS
            and optimization.weight_decay is None
            and optimization.optimizer is None
        ):
            optimization = replace(optimization, weight_decay=_DECAY)
        if steps is None and epochs is None:
            steps_per_pass = max(rows // check_integer("Argument 'batch_size'", batch_size), 1)
            fewest = _FEWEST_EPOCHS_OF_MANY if many else _FEWEST_EPOCHS
            epochs = min(max(_STEPS // steps_per_pass, fewest), _MOST_EPOCHS)
            if self.held_out is not None:
                optimization = replace(optimization, patience=optimization.patience or _PATIENCE)
        return self._resolved(steps, epochs, batch_size, seed, optimization)

    def source(
        self,
        model: Trainable,
        settings: TrainingSettings,
        pretrained: bool,
        progress: bool,
    ) -> Source:
        if self.augmentation is not None:
            # What is computed once for each row would not be that of the changed rows.
            return ArraySource(self._arrays, settings, self.failed)
        return offline_source(
            model,
            settings,
            self._arrays,
            failed=self.failed,
            pretrained=pretrained,
            progress=progress,
        )

    def validation(self, model: Trainable, settings: TrainingSettings) -> Mapping[str, Any] | None:
        if self.held_out is None or self.augmentation is not None:
            return super().validation(model, settings)
        return precomputed(model, self.held_out, settings.batch_size)[0]


@singledispatch
def training_data(
    data: Any, simulator: Simulator | None, validation: Validation, seed: int
) -> TrainingData:
    """Return what to train on and what is held out, checked; the seed decides how arrays are split.

    Functions for other kinds of data are registered with this one.
    """
    return InMemory(simulator, _checked(simulator, data, "Training data"), validation, seed)


@training_data.register
def _(data: None, simulator: Simulator | None, validation: Validation, seed: int) -> TrainingData:
    return Online(require_simulator(simulator))


def require_simulator(simulator: Simulator | None) -> Simulator:
    """Return the simulator; refuse to train without arrays where there is none."""
    if simulator is None:
        raise InputError(
            "Training data",
            expected="arrays, as there is no simulator whose simulations these could be",
            got="none",
            do="pass fit({'x': array of shape (n, ...), ...})",
        )
    return simulator


def pilot_rows(rows: Mapping[str, np.ndarray]) -> Arrays:
    """Return the first of training rows (n, ...), on which scalings are measured: at most 4,096."""
    return take(rows, slice(PILOT_SIMULATIONS))


def draw_pilot(simulator: Simulator, seed: int, most: int = PILOT_SIMULATIONS) -> Arrays:
    """Return finite simulations to measure scalings on: at most ``most``, but 512 to 4,096."""
    count = min(max(most, _FEWEST_PILOT_SIMULATIONS), PILOT_SIMULATIONS)
    simulations = simulator.draw(count, seed, "pilot")
    checks.check_finite(simulator, simulations)
    # As training sees them.
    return simulations.cast(simulator.observable_types).flat()


def refuse_ignored(
    data: Any, validation: Validation, optimization: Optimization, augment: Any = None
) -> None:
    """Refuse options that have no effect with or without training data."""
    if data is None and augment is not None:
        raise InputError(
            "Argument 'augment'",
            expected="training data, which it changes in each step",
            got="online training, where the simulator makes new data in each step",
            do="let the simulator add noise, shifts or masks, or pass data=simulator.sample(n, "
            "seed)",
        )
    for name, value in (("validation", validation), ("patience", optimization.patience)):
        if data is None and value is not None:
            raise InputError(
                f"Argument {name!r}",
                expected="training data to hold some out of",
                got=f"{name}={value!r} in online training, where every batch is new",
                do=f"leave {name!r} out, or pass data=simulator.sample(n, seed)",
            )
    # Arrays and tables are compared element by element.
    none_held_out = isinstance(validation, Real) and validation == 0.0
    if optimization.patience is not None and none_held_out:
        raise InputError(
            "Argument 'patience'",
            expected="simulations to hold out, whose loss it watches",
            got="validation=0",
            do="leave one of the two out",
        )
    if data is not None and optimization.passes is not None:
        raise InputError(
            "Argument 'passes'",
            expected="a simulator to draw from",
            got=f"passes={optimization.passes!r} together with training data",
            do="leave it out; epochs are passes through the data",
        )


def check_share(validation: Any, rows: int) -> float:
    """Return the share of rows to hold out, a tenth if nothing is said."""
    subject = "Argument 'validation'"
    do = "pass for example validation=0.1, or a dict of arrays"
    share = _VALIDATION_SHARE if validation is None else validation
    share = check_number(subject, share, least=0, below=1, do=do)
    if share and not 0 < round(share * rows) < rows:
        counts = itertools.count(int(0.5 / min(share, 1.0 - share)))
        fewest = next(n for n in counts if 0 < round(share * n) < n)
        raise InputError(
            "Training data" if validation is None else subject,
            expected=f"{fewest:,} rows or more, to hold out a share of {share}",
            got=f"{rows:,}",
            do="give more simulations, or pass validation=0 to hold none out",
        )
    return share


def _checked(
    simulator: Simulator | None, data: Any, subject: str, like: Arrays | None = None
) -> Arrays:
    """Return arrays (n, ...) as a simulator declares them, or numbers, as ``like`` others."""
    if simulator is not None:
        return checks.check_simulations(simulator, data, subject)
    return _check_numbers(data, subject, like)


def _check_numbers(data: Any, subject: str, like: Arrays | None) -> Arrays:
    """Return finite numbers (n, ...) by name; names and shapes are those of ``like``, if given."""
    given = list(data) if isinstance(data, Mapping) else []
    names = given if like is None else list(like)
    if not given or set(given) != set(names):
        raise InputError(
            subject,
            expected=f"a dict of name to array (n, ...), {names or 'such as x'}",
            got=f"{data!r}"[:100],
            do="pass {'x': array}",
        )
    arrays = {name: numbers(f"{subject}, {name!r}", data[name]) for name in names}
    shapes = {name: value.shape for name, value in arrays.items()}
    finite = all(np.isfinite(value).all() for value in arrays.values())
    if not finite or len({shape[:1] for shape in shapes.values()}) != 1 or () in shapes.values():
        raise InputError(
            subject,
            expected="finite numbers, in arrays with as many rows each",
            got=f"shapes {shapes}" if finite else f"shapes {shapes}, with NaN or infinity",
            do="reshape them, or drop rows",
        )
    expected = {name: value.shape[1:] for name, value in (like or arrays).items()}
    if any(value.shape[1:] != expected[name] for name, value in arrays.items()):
        raise InputError(
            subject,
            expected=f"rows of the shapes of training data, {expected}",
            got=f"{ {name: value.shape[1:] for name, value in arrays.items()} }",
            do="reshape them",
        )
    return arrays


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
    >>> linear, folder = bi.get_simulator("linear"), tempfile.TemporaryDirectory()
    >>> bank = bi.simulate_bank(linear, 2_000, folder.name, seed=1, progress=False)
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
        self.simulator = self.declared = simulator
        self._stream = stream
        bank = stream.bank
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

    def settings(
        self, steps: Any, epochs: Any, batch_size: Any, seed: int, optimization: Optimization
    ) -> TrainingSettings:
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
        return self._resolved(steps, None, batch_size, seed, optimization)

    def source(
        self,
        model: Trainable,
        settings: TrainingSettings,
        pretrained: bool,
        progress: bool,
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
