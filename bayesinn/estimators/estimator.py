"""The contract of what is estimated: fitted, resumed, saved and loaded, whatever it is."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Never, Self

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import full_precision, released_graphs
from bayesinn.core.configuration import Registered, building, describe, public_name
from bayesinn.core.errors import (
    InputError,
    SavedPosteriorError,
    check_flag,
    check_memory,
    check_type,
    warn,
)
from bayesinn.core.files import ANEW, SavedModel, lock_folder, write_members, write_model
from bayesinn.core.html import facts_html
from bayesinn.core.process import interrupts_held
from bayesinn.estimators.fitting_data import (
    PILOT_SIMULATIONS,
    Stream,
    TrainingData,
    draw_pilot,
    pilot_rows,
    refuse_ignored,
    training_data,
)
from bayesinn.simulation import identity as simulator_identity
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.derived import warn_of_other_prior, written_declaration
from bayesinn.simulation.engines.kept import KeptBlocks
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.registry import refuse_while_loading
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.callbacks import (
    blocks_of,
    check_record,
    check_scalings,
    forget,
    has_ended,
    known_run,
    prepare_folder,
)
from bayesinn.training.settings import Checkpoint, Optimization, TrainingSettings
from bayesinn.training.sources import (
    ArraySource,
    Augment,
    Augmentation,
    Augmented,
    Source,
    fingerprint,
)
from bayesinn.training.step import Devices
from bayesinn.training.train import TrainingResult, train
from bayesinn.training.trainable import Trainable, count_weights

#: Number of rows, at most, that a network is initialised on.
FIRST_ROWS = PILOT_SIMULATIONS // 2


def manifest_entries(estimator: Estimator) -> dict[str, Any]:
    """Return all entries of a manifest, in plain values: class, simulator, networks, training."""
    simulator = estimator.simulator
    return {
        "class": public_name(type(estimator)),
        **({} if simulator is None else _simulator_entries(simulator, estimator.identity)),
        **estimator.entries(),
        "training": estimator.training,
        "history": estimator.history.to_dict(orient="list"),
    }


def _simulator_entries(simulator: Simulator, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return where a simulator is found, and what it did at training, if that is ``known``."""
    place = simulator.reference()
    if (declaration := written_declaration(simulator)) is not None:
        place["declaration"] = declaration
    return {"simulator": place, **(known or simulator_identity.entries(simulator))}


_GO_ON = (
    "Train for more steps or minutes, or on from these weights: fit(..., start_from=posterior); "
    "on the command line, the same command with --steps."
)


class Estimator(Registered, ABC):
    """Base class of all that is fitted, resumed, saved and loaded.

    Examples are a posterior, a likelihood and a classifier of models. An author writes

    - :meth:`trainable`: what is learned (the event), from what (the condition), with which network
      and loss;
    - :meth:`configuration`, if the constructor takes more than a simulator;
    - methods that answer with the trained :attr:`model`.

    Parameters
    ----------
    simulator : Simulator
        Source of training data; left out if these are always given as arrays.

    Attributes
    ----------
    history : DataFrame
        One row per epoch of the last training: step, loss, learning rate, failed simulations, and
        val_loss if there was a validation set.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import keras
    >>> import numpy as np
    >>> class Line(bi.estimators.Estimator):
    ...     def trainable(self, rows, seed):
    ...         return LeastSquares()
    >>> class LeastSquares(bi.estimators.Trainable):
    ...     def initialize(self, batch, seed):
    ...         self.network = keras.layers.Dense(1)
    ...         self.network.build((None, 1))
    ...
    ...     def loss(self, batch, seed, progress, training):
    ...         return (self.network(batch["x"])[:, 0] - batch["y"]) ** 2
    >>> x = np.linspace(-1.0, 1.0, 64, dtype=np.float32)
    >>> line = Line().fit({"x": x[:, None], "y": 2.0 * x}, epochs=60, progress=False)
    >>> float(line.history["loss"].iloc[-1]) < 0.1
    True
    """

    #: Kind of model in a manifest, whose entry "class" names the class.
    kind: ClassVar[str] = "Estimator"
    #: What to do with it where a posterior is asked for.
    ask: ClassVar[str] = "use it in Python: bi.load(folder)"
    #: Whether a simulator is required.
    simulated: ClassVar[bool] = False
    #: Entry of a manifest that holds the configuration; ``schema`` has all entries of this class.
    entry: ClassVar[str] = "network"
    schema: ClassVar[Mapping[str, Any]] = {
        "network": dict,
        "rows": {str: {"shape": [int], "dtype": str}},
    }

    def __init__(self, simulator: Simulator | None = None) -> None:
        import pandas as pd

        self.simulator = simulator
        self.history = pd.DataFrame()
        self.training: dict[str, Any] = {}
        #: Record of what the simulator did at training, in plain values; None if unknown.
        self.identity: dict[str, Any] | None = None
        self._model: Trainable | None = None
        self._rows: dict[str, dict[str, Any]] = {}

    @abstractmethod
    def trainable(self, rows: Arrays, seed: int) -> Trainable:
        """Return what is trained, with new networks.

        Parameters
        ----------
        rows : dict of name to array (n, ...)
            The first training rows: parameters, context and observables, or the arrays that were
            given. They define shapes and scalings. When a saved estimator is loaded, they are two
            rows of ones.
        seed : int
        """

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments by name, without the simulator.

        The values are numbers, texts, networks, and lists and dicts of these.
        """
        return {}

    @classmethod
    def from_configuration(cls, simulator: Any, configuration: Mapping[str, Any]) -> Self:
        """Return an untrained estimator with what :meth:`configuration` gave."""
        new = cls.__new__(cls)
        new.assemble(simulator, configuration)
        return new

    def assemble(self, simulator: Any, configuration: Mapping[str, Any]) -> None:
        """Set a new object up with a simulator, if any, and what :meth:`configuration` gave.

        By default call the constructor. Estimators of the library leave out the choices and checks
        that their constructors make for users; who derives from one, and writes a constructor,
        writes this, too.
        """
        first = () if simulator is None else (simulator,)
        self.__init__(*first, **configuration)  # type: ignore[misc]

    def untrained(self) -> Self:
        """Return a new, untrained estimator of the same simulator and configuration."""
        return self.from_configuration(self.simulator, self.configuration())

    def fit(
        self,
        data: Mapping[str, Any] | Bank | Stream | None = None,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        start_from: Self | None = None,
        validation: float | Mapping[str, Any] | None = None,
        augment: Augment | None = None,
        optimization: Optimization = Optimization(),
        checkpoint: str | Path | Checkpoint | None = None,
        progress: bool = True,
    ) -> Self:
        """Train, from new initial weights or those of another estimator; return the estimator.

        - Online (``data`` left out): each step draws fresh simulations, inside the compiled step if
          the simulator is made of TensorFlow operations.
        - Offline: training uses the given arrays, watches a fixed validation set, and keeps the
          weights that were best on it.

        Arguments that are left out take the values that the simulator recommends.

        Parameters
        ----------
        data : dict of name to array (n, ...), Bank, or Stream
            Simulations to train on: parameters, context and observables, in the form of
            :meth:`Simulator.sample`. A bank of more than 256 MiB is read during training: there are
            as many steps as online, and the first rows are held out, 65,536 at most if
            ``validation`` is left out. ``bi.Stream(bank, ...)`` trains while the bank grows, or
            mixes it with fresh simulations.
        steps : int
            Number of weight updates; online 5,000 if the simulator recommends nothing.
        epochs : int
            Offline: number of passes through ``data``, in place of ``steps``; by default as many as
            make about 5,000 steps, but at least 10 (30 for 30,000 training rows or more) and at
            most 300. Online: number of reports, by default 50; only beside ``steps``.
        batch_size : int
            Simulations per step: by default what the simulator recommends, else 256. Offline at
            most 64 (256 for 30,000 training rows or more), and at most a fourteenth of these rows.
        seed : int
            Determines initial weights, simulations, shuffling and dropout.
        start_from : estimator of the same class
            Training starts from its weights and scalings. It must have the same networks,
            parameters and data. Use it to train longer, or for a simulator that differs a little.
            Simulations are new, whatever the seed. A lower learning rate than in its own training
            loses less of what it learned.
        validation : float, or dict of name to array (m, ...)
            Offline: the share of ``data`` set aside (by default 0.1), or a separate set.
        augment : function ``(data, seed)``
            Offline: changes stored simulations in each step, such as new noise on clean signals,
            shifts or masks. It gets a batch, a dict of tensors (n, ...) with parameters, context
            and observables, and an int32 tensor (2,) for ``tf.random.stateless_*``; it returns a
            dict of the entries that it changes, of the same shapes and types. It is part of the
            compiled step. The validation set is changed once.
        optimization : Optimization
            Optimiser, learning rate, early stopping, passes through stored simulations, callbacks,
            and more.
        checkpoint : path, or Checkpoint
            Folder that keeps the state of training; ``bi.Checkpoint(folder, resume=True)``
            continues from it.
        progress : bool, whether to show progress

        Raises
        ------
        TrainingError
            If a loss is not finite. The estimator then has the last good weights, as after an
            interruption or an exception in worker processes of a simulator.
        """
        refuse_while_loading("trains")
        expected = "bi.Optimization(...)"
        check_type("Argument 'optimization'", optimization, Optimization, expected, "pass one")
        check_flag("Argument 'progress'", progress)
        self._check_configuration()
        with contextlib.ExitStack() as end:
            with unchanged_on_error(self):
                if start_from is not None:
                    self.check_start(start_from)
                plan = plan_fit(
                    self,
                    data,
                    steps=steps,
                    epochs=epochs,
                    batch_size=batch_size,
                    seed=seed,
                    start=start_from,
                    validation=validation,
                    augment=augment,
                    optimization=optimization,
                    checkpoint=Checkpoint.from_argument(checkpoint),
                )
                with (
                    full_precision(),
                    lock_folder(plan.folder, "Checkpoint folder"),
                    opened_checkpoint(plan, self.simulator) as resumes,
                ):
                    rows = plan.first_rows(self.simulator)
                    model = new_model(self, rows, plan.settings.seed)
                    result = run_training(plan, self, model, rows, resumes, progress)
                    # From here on Ctrl-C would cost what has been trained.
                    end.enter_context(interrupts_held())
                    self.adopt(model, rows, plan.settings.seed)
            self._record(result, plan, rows, start_from)
        result.raise_error()
        if self.unfinished:
            warn(f"{self.unfinished} {_GO_ON}")
        return self

    def _check_configuration(self) -> None:
        """Refuse to train an author's class that could not be built again after loading."""
        kind = type(self)
        if kind.__module__.startswith("bayesinn."):
            return
        if (
            "__init__" in vars(kind)
            and "assemble" not in vars(kind)
            and (kind.assemble is not Estimator.assemble)
        ):
            raise InputError(
                f"Constructor of {kind.__name__}",
                expected=f"assemble(self, simulator, configuration) beside it, as in "
                f"{kind.assemble.__qualname__}: a saved {kind.__name__} is built again by that",
                got="a constructor alone",
                do="write it: call super().assemble(simulator, configuration), then set what the "
                "constructor sets",
            )
        arguments = list(inspect.signature(kind).parameters)
        # The simulator, if there is one, comes first, whatever its name.
        if self.simulator is not None or "simulator" in arguments:
            arguments = arguments[1:]
        fault = ""
        kept = self.configuration()
        if not isinstance(kept, Mapping):
            fault = f"{kept!r}, no dict"
        elif arguments and kind.configuration is Estimator.configuration:
            fault = "none: the method isn't written"
        else:
            try:
                self.untrained()
            except Exception as error:
                fault = f"{list(kept)}, which give {type(error).__name__}: {error}"
        if fault:
            raise InputError(
                f"{kind.__name__}.configuration()",
                expected=f"the arguments of the constructor by name, {arguments}: a saved "
                f"{kind.__name__} is built again with them",
                got=fault,
                do=f"write def configuration(self): return {{{(arguments or ['x'])[0]!r}: ...}}",
            )

    def _record(self, result: TrainingResult, plan: Plan, rows: Arrays, start: Self | None) -> None:
        """Take what is to be known of a training."""
        # First: an estimator may start from itself.
        steps_before = None if start is None else start.steps_done + start.steps_before
        self._rows = {
            name: {"shape": list(value.shape[1:]), "dtype": str(value.dtype)}
            for name, value in rows.items()
        }
        self.history = result.history
        if self.simulator is None:
            self.history = self.history.drop(columns="failed_simulations", errors="ignore")
        self.training = result.record
        self.training["seed"] = plan.seed
        if plan.data.stored is not None:
            self.training["stored"] = plan.data.stored
            self.training["fresh"] = plan.data.count_fresh(plan.settings.batch_size)
        if steps_before is not None:
            self.training["steps_before"] = steps_before
        self.identity = plan.simulator_record

    def check_start(self, other: Any) -> None:
        """Refuse any start but a trained one of this class, with the same networks and data."""
        subject = "Argument 'start_from'"
        expected = f"a trained {type(self).__name__}"
        check_type(subject, other, type(self), expected, "load a saved one with bi.load(folder)")
        ours, theirs = (
            {**one.network_configuration(), **one.declared_shapes()} for one in (self, other)
        )
        for name in ours | theirs:
            # As text: the order of names is that of the network's inputs and outputs.
            if repr(ours.get(name)) != repr(theirs.get(name)):
                # The objects themselves are shorter than their configurations.
                needed = getattr(self, name, ours.get(name))
                raise InputError(
                    subject,
                    expected=f"one with the same {name}, in this order: {needed}",
                    got=str(getattr(other, name, theirs.get(name))),
                    do="start from one of the same networks, parameters and data, or from new "
                    "weights",
                )
        # It raises if there is none.
        _ = other.model

    def declared_shapes(self) -> dict[str, Mapping[str, Any]]:
        """Return shapes of parameters, observables and context by name, as a simulator has them."""
        simulator = self.simulator
        return {} if simulator is None else {**simulator.shapes, "lengths": simulator.lengths}

    def adapt(self, rows: int | None, start: Self | None = None) -> None:
        """Choose what depends on the number of stored simulations, if any, or on the start."""

    def check_rows(self, model: Any, rows: Arrays) -> None:
        """Refuse impossible rows (n, ...) for training or validation; by default refuse none."""

    def describe_training(self, model: Any) -> str:
        """Return what is printed before training: networks, and the number of weights."""
        return f"{self!r}; {count_weights(model):,} weights"

    def prepare(self, model: Any, rows: Arrays) -> None:
        """Start, beside the training on rows (n, ...), what it doesn't change; by default nothing.

        The model has its scalings.
        """

    def adopt(self, model: Any, rows: Arrays, seed: int) -> None:
        """Take a trained model; measure on training rows (n, ...) all else that answers need."""
        self._model = model

    def save(self, folder: str | Path) -> Path:
        """Write the estimator into a folder for :func:`bayesinn.load`, and return the folder.

        The files are ``manifest.json`` and its weights.
        """
        network = self.model.network
        return write_model(folder, self.kind, manifest_entries(self), self.arrays(), network)

    def entries(self) -> dict[str, Any]:
        """Return this estimator's entries of a manifest, in plain values; see :attr:`schema`."""
        return {self.entry: self.network_configuration(), "rows": self._rows}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is saved with the network's weights, by name."""
        return self.model.arrays()

    def restore(self, saved: SavedModel) -> Trainable:
        """Return the model of a saved folder, built, with all but the network's weights."""
        model = self.built(saved)
        arrays = model.arrays()
        model.restore(
            {name: saved.array(name, value.shape, value.dtype) for name, value in arrays.items()}
        )
        return model

    def built(self, saved: SavedModel) -> Trainable:
        """Return the model of a saved folder with weights, and arrays, of the shapes there."""
        self._rows = saved.entries["rows"]
        for name, row in self._rows.items():
            check_memory(
                f"Manifest {str(saved.folder / 'manifest.json')!r}, entry 'rows'",
                2 * math.prod(row["shape"]) * np.dtype(row["dtype"]).itemsize,
                got=f"two rows of {name!r} of shape {tuple(row['shape'])}",
                do=ANEW,
                error=SavedPosteriorError,
            )
        rows = {name: np.ones((2, *row["shape"]), row["dtype"]) for name, row in self._rows.items()}
        return new_model(self, rows, seed=0)

    def adopt_saved(self, model: Any, saved: SavedModel) -> None:
        """Take a model that has the saved weights."""
        self._model = model

    def network_configuration(self) -> dict[str, Any]:
        """Return the configuration in plain values, enough to build the networks again."""
        return {name: describe(value) for name, value in self.configuration().items()}

    @property
    def model(self) -> Trainable:
        """What was trained."""
        if self._model is None:
            raise InputError(
                self._subject,
                expected=f"a trained {type(self).__name__}",
                got="one that was never trained",
                do="call fit(...) first, or bi.load(folder)",
            )
        return self._model

    @property
    def trained(self) -> bool:
        """Whether the estimator has been trained or loaded."""
        return self._model is not None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trained network's weights."""
        return fingerprint(
            {
                str(number): value.numpy()
                for number, value in enumerate(self.model.network.variables)
            }
        )

    @property
    def steps_done(self) -> int:
        """Steps of the last training; fewer than planned if patience or an error ended it."""
        return int(self.training.get("steps_done", 0))

    @property
    def unfinished(self) -> str:
        """What the last training lacks, in a sentence; empty if nothing, as far as losses tell."""
        return str(self.training.get("unfinished", ""))

    @property
    def steps_before(self) -> int:
        """Steps of the trainings that the last one started from."""
        return int(self.training.get("steps_before", 0))

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={value!r}" for name, value in self.configuration().items())
        return f"{type(self).__name__}({parts})"

    def _repr_html_(self) -> str:
        return facts_html(self._subject, self._facts())

    @property
    def state_text(self) -> str:
        """Whether it is trained, and for how many steps, in words."""
        return f"trained for {self.steps_done:,} steps" if self.trained else "not trained"

    def _facts(self) -> dict[str, str]:
        """Return training, networks and losses as texts by heading, for a table in a notebook."""
        networks: dict[str, Any] = {}
        for name, value in self.configuration().items():
            networks |= value if isinstance(value, dict) else {name: value}
        facts = {"training": "not trained"}
        facts |= {name: repr(value) for name, value in networks.items()}
        if not self.trained:
            return facts
        batch_size = self.training.get("settings", {}).get("batch_size", 0)
        facts["training"] = f"{self.steps_done:,} steps of {batch_size:,}"
        if "loss" in self.history:
            facts["loss"] = f"{self.history['loss'].iloc[-1]:.3f}"
        # The best weights are kept.
        if "val_loss" in self.history:
            facts["val_loss"] = f"{self.history['val_loss'].min():.3f}"
        return facts

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse pickle, deepcopy and joblib, which can't hold compiled functions."""
        raise InputError(
            f"Copy of {self._subject}",
            expected="a folder, which keeps every bit",
            got="pickle, copy or joblib",
            do="call save(folder), and bi.load(folder) where it is needed",
        )

    @property
    def _subject(self) -> str:
        of = "" if self.simulator is None else f" of {self.simulator.name!r}"
        return f"{type(self).__name__}{of}"


class Joined(Registered, ABC):
    """Combination of several estimators, such as an ensemble; it is not trained itself.

    An author writes :attr:`members`, :meth:`entries`, :attr:`schema` and :meth:`from_members`.
    """

    #: Kind of model in a manifest, whose entry "class" names the class.
    kind: ClassVar[str] = "Ensemble"
    #: Types of what :meth:`entries` returns.
    schema: ClassVar[Mapping[str, Any]] = {}

    @property
    @abstractmethod
    def members(self) -> Sequence[Any]:
        """The combined estimators, or combinations of them."""

    @property
    def fingerprint(self) -> str:
        """What tells it from others: its members, and how they are combined."""
        parts = [self.entries(), *(member.fingerprint for member in self.members)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def unfinished(self) -> str:
        """What the training of a member lacks, in a sentence; empty if none lacks anything."""
        return next(
            filter(None, (getattr(member, "unfinished", "") for member in self.members)), ""
        )

    def entries(self) -> dict[str, Any]:
        """Return the entries of a manifest beside the members, in plain values."""
        return {}

    @classmethod
    @abstractmethod
    def from_members(cls, members: Sequence[Any], entries: Mapping[str, Any]) -> Self:
        """Return the combination that a manifest describes, with its loaded members."""

    def fit(self, *arguments: Any, **options: Any) -> Never:
        """Refuse: members are fitted before they are joined."""
        name = type(self).__name__
        raise InputError(
            f"fit of {name}",
            expected="an estimator with networks of its own",
            got=f"{len(self.members)} that are joined, each with its own",
            do=f"fit each of them, then join them: bi.{name}([...])",
        )

    def save(self, folder: str | Path) -> Path:
        """Write all members into a folder for :func:`bayesinn.load`, and return the folder.

        The files are ``manifest.json`` and a subfolder with a folder for each member.
        """
        do = "join posteriors that are trained and saved, such as bi.AmortizedPosterior"
        for number, member in enumerate(self.members, 1):
            subject = f"Member {number} of the {type(self).__name__}"
            check_type(subject, member, (Estimator, Joined), "what can be saved", do)
        entries = {"class": public_name(type(self)), **self.entries()}
        return write_members(folder, self.kind, entries, [member.save for member in self.members])


# Fitting: the plan, the new model, the training.


@contextlib.contextmanager
def unchanged_on_error(estimator: object) -> Iterator[None]:
    """Keep what was trained before, and what was chosen for it, if the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


class Plan(NamedTuple):
    """What is to be trained, on what, and how, all of it checked.

    ``identity`` says in plain values, for checkpoints and manifests, what decides the run beside
    the settings. ``simulator_record`` is what the simulator does, if it or a bank has told.
    Training ends at ``ends_at`` of the monotonic clock, whatever else the time was spent on.
    ``seed`` is the user's; that of the settings follows from it and from ``start``, if any.
    """

    data: TrainingData
    settings: TrainingSettings
    optimization: Optimization
    checkpoint: Checkpoint | None
    identity: dict[str, Any]
    start: Estimator | None
    devices: Devices
    simulator_record: dict[str, Any] | None
    ends_at: float | None
    seed: int

    @property
    def folder(self) -> Path | None:
        """Folder of the state that this process writes."""
        return self.checkpoint.folder if self.checkpoint and self.devices.chief else None

    def first_rows(self, simulator: Simulator | None) -> Arrays:
        """Return rows (n, ...) to measure scalings on: those given, or pilot simulations."""
        settings = self.settings
        if self.data.pilot is not None:
            return self.data.augment(self.data.pilot, settings.seed)
        if simulator is None:
            return {}
        # Pilot simulations cost time too: no more of them than training draws.
        most = settings.simulations if settings.passes else PILOT_SIMULATIONS
        return draw_pilot(simulator, settings.seed, most)


def plan_fit(
    estimator: Estimator,
    data: Any,
    *,
    steps: Any,
    epochs: Any,
    batch_size: Any,
    seed: int,
    start: Estimator | None,
    validation: float | Mapping[str, Any] | None,
    augment: Augment | None,
    optimization: Optimization,
    checkpoint: Checkpoint | None,
) -> Plan:
    """Check what the user chose, and fill in what the simulator recommends."""
    started = time.monotonic()
    simulator = estimator.simulator
    own_seed = seeds.check_seed(seed)
    refuse_ignored(data, validation, optimization, augment)
    # Split by the user's seed, with a start, too: what was held out then must be held out now.
    given = training_data(data, simulator, validation, own_seed)
    estimator.adapt(given.rows, start)
    if start is not None and given.held_out is not None and not isinstance(validation, Mapping):
        _warn_of_other_split(start, given.held_out)
    if data is None and checkpoint is not None and checkpoint.resume:
        known = known_run(checkpoint.folder) or {}
        # Passes may have been chosen for the time that there was, and steps and batches for them.
        if optimization.passes is None and known.get("passes"):
            optimization = replace(optimization, passes=known["passes"])
            steps = known["steps"] if steps is None else steps
            batch_size = known["batch_size"] if batch_size is None else batch_size
    settings_seed = training_seed(own_seed, start)
    settings = given.settings(steps, epochs, batch_size, settings_seed, optimization)
    if data is None and simulator is not None:
        simulator.check_count(settings.batch_size, "Argument 'batch_size'")
    augmented = None
    if augment is not None:
        given.augmentation = Augmentation(augment)
        augmented = given.augmentation.record(pilot_rows(given.pilot or {}), settings.seed)
    identity = {
        **_model_in_words(simulator),
        "network": estimator.network_configuration(),
        "optimizer": optimization.optimizer_configuration,
        "data": given.fingerprint,
        "held_out": None if given.held_out is None else fingerprint(given.held_out),
        "augment": augmented,
        "start_from": None if start is None else start.fingerprint,
    }
    simulator_record = given.simulator_record
    wanted = data is None or checkpoint is not None
    if simulator is not None and simulator_record is None and wanted:
        # Now: a program may be edited while training goes on.
        simulated = checkpoint is None or checkpoint.check_simulator
        simulator_record = simulator_identity.entries(simulator, simulated)
    minutes = optimization.minutes
    return Plan(
        data=given,
        settings=settings,
        optimization=optimization,
        checkpoint=checkpoint,
        identity=identity,
        start=start,
        devices=Devices(optimization.strategy),
        simulator_record=simulator_record,
        ends_at=None if minutes is None else started + 60.0 * minutes,
        seed=own_seed,
    )


def training_seed(seed: int, start: Estimator | None) -> int:
    """Return the seed of simulations and shuffling: a start must not see its own again."""
    if start is None:
        return seed
    return int(hashlib.sha256(f"{seed} {start.fingerprint}".encode()).hexdigest()[:8], 16)


def _warn_of_other_split(start: Estimator, held_out: Arrays) -> None:
    """Warn where rows that are held out now may be among those that the start was trained on."""
    before = start.training.get("held_out")
    # Online training has seen no stored simulations. One that held none out has seen all of them.
    if start.training.get("data") is None or before == fingerprint(held_out):
        return
    warn(
        "Other rows are held out than in the training that this one starts from. If the "
        "simulations are the same, it has seen them, and the validation loss is too low: pass the "
        "same rows and seed, or validation={...}, simulations of their own."
    )


def _model_in_words(simulator: Simulator | None) -> dict[str, str | None]:
    """Return what a run is told from others by, of its simulator."""
    if simulator is None:
        return dict.fromkeys(("simulator", "prior", "context"))
    context = None if simulator.context is None else prior_text(simulator.context)
    return {"simulator": simulator.name, "prior": prior_text(simulator.prior), "context": context}


def new_model(estimator: Estimator, rows: Arrays, seed: int) -> Trainable:
    """Return a model with new weights, measured and initialised on rows (n, ...).

    The same seed gives the same model.
    """
    with building(), seeds.seeded_initial_weights(seed):
        model = estimator.trainable(rows, seed)
    subject = f"{type(estimator).__name__}.trainable, result"
    do = "return an object of a class that derives from bi.estimators.Trainable"
    check_type(subject, model, Trainable, "a Trainable", do)
    with building(), seeds.seeded_initial_weights(seed):
        model.initialize(_first(rows), seed)
    check_type(
        f"{type(model).__name__}.network",
        getattr(model, "network", None),
        keras.layers.Layer,
        "a Keras layer or model, which holds all weights",
        "set self.network in initialize",
    )
    return model


@contextlib.contextmanager
def opened_checkpoint(plan: Plan, simulator: Simulator | None) -> Iterator[bool]:
    """Prepare the checkpoint's folder, and tell whether it has a state to continue from.

    Costly simulations are kept there until training has ended, the first ones, too.
    """
    if plan.checkpoint is None:
        yield False
        return
    resumes = prepare_folder(
        plan.checkpoint,
        plan.settings,
        plan.identity,
        write=plan.devices.chief,
        simulator=simulator,
    )
    blocks = None if plan.folder is None else blocks_of(plan.folder)
    if simulator is None or blocks is None:
        yield resumes
        return
    kept = KeptBlocks(blocks)
    if not resumes and plan.checkpoint.check_simulator and (told := kept.record()):
        check_record(plan.checkpoint.folder, told, simulator)
    kept.begin(plan.simulator_record)
    simulator.engine.kept = kept
    try:
        yield resumes
    finally:
        simulator.engine.kept = None


def run_training(
    plan: Plan, estimator: Estimator, model: Trainable, rows: Arrays, resumes: bool, progress: bool
) -> TrainingResult:
    """Train a model with new weights, or with those of another."""
    settings = plan.settings
    if plan.start is not None:
        model.copy_weights(plan.start.model)
    _check_data(plan.data, estimator, model)
    if progress:
        _announce(settings, estimator.describe_training(model), plan.data.note)
    if plan.checkpoint is not None and resumes:
        check_scalings(plan.checkpoint.folder, model)
    # All have looked into the folder before simulations are written there.
    plan.devices.check_agreement([asdict(settings), plan.identity, resumes], np.empty(0))
    estimator.prepare(model, rows)
    source = _open_source(plan, model, rows, resumes, progress)
    with released_graphs():
        result = train(
            model,
            source,
            settings,
            identity=plan.identity,
            validation=plan.data.validation(model, settings),
            optimizer=plan.optimization.optimizer,
            callbacks=[*model.monitors(_first(rows), settings.seed), *plan.optimization.callbacks],
            progress=progress,
            checkpoint=plan.checkpoint,
            resumes=resumes,
            devices=plan.devices,
            simulator_record=plan.simulator_record,
            ends_at=plan.ends_at,
        )
    all_done = result.record["steps_done"] >= settings.steps
    if plan.folder is not None and result.error is None and all_done:
        forget(plan.folder)
    return result


def _check_data(data: TrainingData, estimator: Estimator, model: Trainable) -> None:
    for part in (data.pilot, data.held_out):
        if part is not None:
            estimator.check_rows(model, part)
    if data.pilot is not None and estimator.simulator is not None:
        warn_of_other_prior(estimator.simulator.prior, data.pilot)


def _announce(settings: TrainingSettings, text: str, note: str) -> None:
    if settings.passes:
        text += (
            f"\n  {settings.simulations:,} simulations, drawn first, "
            f"{settings.passes} passes through them"
        )
    if note:
        text += f"\n  {note}"
    print(text, flush=True)


def _open_source(
    plan: Plan, model: Trainable, rows: Arrays, resumes: bool, progress: bool
) -> Source:
    """Return the source of batches; a training that has ended needs none but the first rows."""
    settings = plan.settings
    augmentation = plan.data.augmentation
    if not (plan.checkpoint and resumes and has_ended(plan.checkpoint.folder, settings)):
        source = plan.data.source(model, settings, plan.start is not None, progress)
        return source if augmentation is None else Augmented(source, augmentation, settings)
    if settings.passes or (plan.data.rows is not None and augmentation is None):
        # As in the run that has ended: the state holds the weights that were trained.
        model.freeze()
    return ArraySource(pilot_rows(rows), settings)


def _first(rows: Arrays) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(value[:FIRST_ROWS]) for name, value in rows.items()}
