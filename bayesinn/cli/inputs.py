"""What commands open: a simulator, a posterior, an observation; cheap checks come first."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bayesinn.cli import options as cl
from bayesinn.core.errors import InputError
from bayesinn.core.files import read_manifest
from bayesinn.core.startup import import_tensorflow
from bayesinn.simulation.installed import check_name

if TYPE_CHECKING:
    from bayesinn.cli.run import Run
    from bayesinn.posterior.amortized import AmortizedPosterior
    from bayesinn.simulation.simulator import Simulator

    Observation = dict[str, Any] | None


def start_tensorflow() -> None:
    """Import TensorFlow; on a terminal, say so at once."""
    if "tensorflow" not in sys.modules and sys.stderr.isatty():
        typer.echo("loading TensorFlow ...", err=True)
    # ArviZ looks through all modules that there are, so it comes first.
    import arviz_base  # noqa: F401

    import_tensorflow()


def check_file(data: Path | None) -> None:
    """Refuse a file of data that can't be read, before anything heavy is imported."""
    if data is not None and data.suffix.lower() == ".csv" and data.expanduser().is_file():
        from bayesinn.cli.tables import read_table

        read_table(data.expanduser())
    elif data is not None and not data.expanduser().is_file():
        raise InputError(
            "Data file", expected="a file", got=f"no file {str(data)!r}", do="check the path"
        )


def collect_options(context: list[str], **given: Any) -> dict[str, list[Any]]:
    """Return the options of a command that were given, with their values."""
    options: dict[str, list[Any]] = {"context": list(context)}
    for name, value in given.items():
        if value is not None:
            options[name] = [value]
    return options


def new_strategy(name: str) -> Any:
    """Return a tf.distribute strategy: ``"mirrored"`` or ``"multi-worker"``.

    The mirrored strategy trains on all devices of this process. A multi-worker strategy must be
    made before TensorFlow is used, which simulators do when they are imported.
    """
    config = os.environ.get("TF_CONFIG", "")
    try:
        if name != "mirrored" and not {"cluster", "task"} <= json.loads(config).keys():
            raise ValueError("without cluster or task")
        import tensorflow as tf

        return (
            tf.distribute.MirroredStrategy()
            if name == "mirrored"
            else tf.distribute.MultiWorkerMirroredStrategy()
        )
    except (AttributeError, ValueError) as error:
        raise InputError(
            f"Option --strategy {name}",
            expected='TF_CONFIG={"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": '
            '"worker", "index": NUMBER}}',
            got=f"{config}: {error}" if config else "no TF_CONFIG",
            do="set it for each process, or give --strategy mirrored for the devices of one "
            "machine",
        ) from error


def find_simulator(name: str) -> Simulator:
    """Return a registered simulator, or one of a file."""
    check_name(name)  # before TensorFlow is imported, which takes seconds
    start_tensorflow()
    from bayesinn.simulation.registry import get_simulator

    return get_simulator(name)


def open_run(folder: Path | None, simulator: Simulator) -> Run:
    """Return a run folder, by default the simulator's own."""
    from bayesinn.cli.run import Run

    return Run(folder or Path("runs") / simulator.name)


def open_posterior(
    run: Path, output: Path | None, name: str | None, trust: bool
) -> tuple[Run, AmortizedPosterior]:
    """Return the folder for results, which is no other posterior's run folder, and a posterior."""
    posterior = load_posterior(run, name, trust)
    saved = cl.saved_posterior(run)
    results = open_run(output or (None if saved == run else run), posterior.simulator)
    there = results.folder / "posterior"
    if (there / "manifest.json").is_file() and read_manifest(there) != read_manifest(saved):
        raise InputError(
            f"Run folder {str(results.folder)!r}",
            expected=f"a new folder, or the one of the posterior in {str(saved)!r}",
            got="one with another posterior",
            do="choose another folder: --output FOLDER",
        )
    return results, posterior


def load_posterior(run: Path, name: str | None, trust: bool) -> AmortizedPosterior:
    """Return the posterior of a run folder, or one that was saved by itself."""
    saved = cl.saved_posterior(run)
    read_manifest(saved)  # before TensorFlow is imported
    simulator = None if name is None else find_simulator(name)
    start_tensorflow()
    from bayesinn.estimators.loading import load
    from bayesinn.posterior.posterior import check_posterior

    posterior = load(saved, simulator, trust)
    check_posterior(f"Folder {str(run)!r}", posterior)
    return posterior


def read_observation(
    data: Path | None, simulator: Simulator, context: list[str], by: str | None = None
) -> Observation:
    """Return an observation from a file, or several; None without a file."""
    from bayesinn.cli.data_files import parse_context, read_data

    if data is None and (context or by):
        raise typer.BadParameter("--context and --by need data: --data FILE")
    return (
        None if data is None else read_data(data, simulator, context=parse_context(context), by=by)
    )
