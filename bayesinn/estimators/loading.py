"""Load estimators that were saved."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesinn.core import seeds
from bayesinn.core.configuration import (
    blamed_authors,
    bounded_sizes,
    building,
    rebuild,
    registered_class,
)
from bayesinn.core.errors import InputError, SavedPosteriorError, check_flag, check_path, check_type
from bayesinn.core.files import (
    MEMBERS,
    SavedModel,
    check_entry,
    check_head,
    member_folders,
    read_manifest,
    read_model,
    reraise_as,
)
from bayesinn.estimators.estimator import Estimator, Joined
from bayesinn.simulation import identity
from bayesinn.simulation.registry import find
from bayesinn.simulation.simulator import Simulator

_OTHER_SIMULATOR = identity.Refusal(
    "a saved posterior",
    "this posterior was trained on",
    "load with the version of the simulator that the posterior was trained on, or train again; "
    "if it is the same: bi.load(folder, check_simulator=False)",
    SavedPosteriorError,
    warns=True,
)
#: Kinds of model that can be loaded.
_KINDS = ("AmortizedPosterior", "LatentMixture", "Estimator")
#: Entry of manifests that says where to find the simulator.
SIMULATOR = {"name": str, "module": str, "object": str, "file": str}
_SIMULATED = {
    "simulator": SIMULATOR,
    "packages": {str: str},
    **identity.SHAPES,
}
_TRAINED = {
    "training": {"settings": {"steps": int}},
    "history": {str: [(float, type(None))]},
}


def load(
    folder: str | Path,
    simulator: Simulator | Sequence[Simulator] | None = None,
    trust_source: bool = False,
    check_simulator: bool = True,
) -> Any:
    """Load a posterior, or another estimator, that ``save`` wrote; its class and answers are equal.

    An ensemble is loaded with all its members.

    Parameters
    ----------
    folder : path, as given to ``save``
    simulator : Simulator
        By default found by its name, in this program or an installed package. For a comparison of
        models, a list of its simulators.
    trust_source : bool
        Whether to run the module or source file that the folder names, if the simulator is not
        found otherwise. Only for folders from people whose programs you would run.
    check_simulator : bool
        Whether to check that the simulator does the same as at training: prior, units and more are
        compared, and a few rows, one if that takes long, are simulated again. If False, only names
        and shapes must fit.

    Raises
    ------
    SavedPosteriorError
        If the folder is no saved estimator, is damaged or newer, or its simulator has other names
        or shapes. A warning says if the simulator does something else than at training.

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    ... )
    >>> folder = posterior.fit(steps=1, progress=False).save(f"{tempfile.mkdtemp()}/posterior")
    >>> load(folder).fingerprint == posterior.fingerprint
    True
    """
    check_flag("Argument 'trust_source'", trust_source)
    check_flag("Argument 'check_simulator'", check_simulator)
    given = _given(simulator)
    place = check_path("Argument 'folder'", folder, "posterior")
    if read_manifest(place).get("kind") == Joined.kind:
        return _load_members(place, simulator, trust_source, check_simulator)
    saved = read_model(place, _KINDS, _TRAINED)
    kind = _class_of(saved)
    simulated = kind.simulated or "simulator" in saved.entries
    _check(saved, {**kind.schema, **(_SIMULATED if simulated else {})})
    parts = saved.entries.get("models", [saved.entries] if simulated else [])
    found = _find_simulators(parts, given, trust_source, check_simulator)
    simulators = tuple(found) if "models" in saved.entries else next(iter(found), None)
    return _restored(kind, saved, simulators)


def _given(simulator: Simulator | Sequence[Simulator] | None) -> list[Simulator] | None:
    """Return the simulators that a user passed, checked; None if there are none."""
    if simulator is None:
        return None
    given: list[Any] = list(simulator) if isinstance(simulator, list | tuple) else [simulator]
    do = "pass what @bi.simulator decorates"
    for one in given:
        check_type("Argument 'simulator'", one, Simulator, "a Simulator", do)
    return given


def _find_simulators(
    parts: Sequence[Mapping[str, Any]],
    given: list[Simulator] | None,
    trust_source: bool,
    check_simulator: bool,
) -> list[Simulator]:
    """Return the simulator that each part of a manifest names: found, or given and checked."""
    if given is not None and parts and len(given) != len(parts):
        raise InputError(
            "Argument 'simulator'",
            expected=f"{len(parts)} simulators, as this folder has",
            got=f"{len(given)}",
            do="pass a list of them, or leave them out",
        )
    if given is not None:
        # In the order of the folder, if they have the names there.
        names = [part["simulator"].get("name") for part in parts]
        by_name = {simulator.name: simulator for simulator in given}
        given = [by_name[name] for name in names] if by_name.keys() == set(names) else given
    found = []
    for number, part in enumerate(parts):
        known = find(part["simulator"], trust_source) if given is None else given[number]
        identity.check(part, known, _OTHER_SIMULATOR, check_simulator)
        found.append(known)
    return found


def _load_members(
    folder: Path, simulator: Any, trust_source: bool, check_simulator: bool
) -> Joined:
    """Return what a folder's members make together."""
    entries = read_manifest(folder)
    subject = f"Manifest {str(folder / 'manifest.json')!r}"
    check_head(subject, entries, [Joined.kind])
    check_entry(subject, "", entries, {"class": str, **MEMBERS})
    kind = registered_class(entries["class"])
    with reraise_as(f"{subject}, entry 'class'", "a class of what is joined"):
        if not issubclass(kind, Joined):
            raise TypeError(f"{entries['class']!r}, which has no members")
    check_entry(subject, "", entries, kind.schema)
    try:
        members: list[Any] = []
        for place in member_folders(folder, entries):
            # Members that were trained on one simulator are compared with it once.
            record = identity.kept_in(read_manifest(place))
            seen = record and record in [getattr(one, "identity", None) for one in members]
            members.append(load(place, simulator, trust_source, check_simulator and not seen))
    except SavedPosteriorError:
        if read_manifest(folder) == entries:
            raise
        # Another process has replaced the members meanwhile.
        return _load_members(folder, simulator, trust_source, check_simulator)
    with reraise_as(f"{subject}, entries {sorted(kind.schema)}", "what fits the members"):
        return kind.from_members(members, entries)


def _restored(kind: type[Estimator], saved: SavedModel, simulator: Any) -> Estimator:
    """Return the estimator that a manifest describes, with its weights."""
    import pandas as pd

    expected = "networks that this version can build"
    configuration = saved.entries[kind.entry]
    with (
        saved.reraise_as(kind.entry, expected),
        blamed_authors(expected),
        bounded_sizes(configuration, saved.weight_count),
        building(),
    ):
        # Each of several networks has weights of its own.
        if configuration.get("networks", 1) > len(saved.file["network"]):
            raise ValueError(f"{configuration['networks']:,} networks with fewer arrays of weights")
        estimator = kind.from_configuration(simulator, rebuild(configuration))
        with seeds.seeded_initial_weights(0):
            model = estimator.restore(saved)
    saved.assign(model.network)
    with saved.reraise_as("history", "columns of equal length"):
        estimator.history = pd.DataFrame(saved.entries["history"])
    estimator.adopt_saved(model, saved)
    estimator.training = saved.entries["training"]
    estimator.identity = identity.kept_in(saved.entries)
    return estimator


def _class_of(saved: SavedModel) -> type[Estimator]:
    """Return the class that wrote a folder; anything but an estimator is refused."""
    entries = saved.entries
    _check(saved, {"class": str})
    kind = registered_class(entries["class"])
    with saved.reraise_as("class", "a class that is trained and saved"):
        if not issubclass(kind, Estimator):
            raise TypeError(f"{entries['class']!r}, which is no estimator")
    return kind


def _check(saved: SavedModel, schema: Mapping[str, Any]) -> None:
    check_entry(f"Manifest {str(saved.folder / 'manifest.json')!r}", "", saved.entries, schema)
