"""Simulation banks: what is written, continued, appended, refused; finished chunks stay."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import xarray
import zarr

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError, SimulatorError
from bayesinn.simulation.bank import Bank, simulate as writing, store as bank_store
from tests.conftest import ROOT
from tests.helpers.models import survey

tfd = tfp.distributions
DAYS = np.array(["2020-03-01", "2020-03-02", "2020-03-04"], dtype="datetime64[D]")
#: How often a run is killed; BAYESINN_KILLS=20 takes minutes.
KILLS = int(os.environ.get("BAYESINN_KILLS", "2"))
WRITE = """
import sys
import bayesinn as bi
from tests.simulation.test_bank import growth
print("ready", flush=True)
bi.simulate_bank(growth, int(sys.argv[2]), sys.argv[1], seed=3, chunk=50, progress=False)
"""


@bi.simulator(
    prior={"rate": tfd.LogNormal(0.0, 0.5), "weights": tfd.Normal([0.0, 0.0], 1.0)},
    labels={"rate": r"$\lambda$"}, units={"rate": "1/day", "wavelength": "nm"},
    coordinates={"cases": {"day": DAYS}, "spectrum": {"wavelength": np.array([400.0, 500.0])}},
)  # fmt: skip
def growth(parameters, seed):
    """Grow."""
    mean = parameters["rate"][:, None] * tf.range(3.0)
    cases = mean + tf.random.stateless_normal(tf.shape(mean), seed)
    return {
        "cases": cases,
        "spectrum": parameters["weights"],
        "count": tf.cast(parameters["rate"], tf.int64),
    }


def simulator(prior=None, name="toy", offset=0.0, **options) -> bi.Simulator:
    @bi.simulator(prior={"mean": prior or tfd.Normal(0.0, 1.0)}, name=name, **options)
    def function(parameters, seed):
        return {"y": parameters["mean"] + offset}

    return function


def write(folder: Path, n: int = 1_000, model: bi.Simulator = growth, **options) -> Bank:
    return bi.simulate_bank(
        model, n, folder, **{"seed": 3, "chunk": 300, "progress": False, **options}
    )


def contents(folder: Path) -> dict[str, object]:
    """All files, metadata parsed; what killed writers leave behind is no part of a bank."""
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return {
        name: json.loads(file.read_text()) if name.endswith(".json") else file.read_bytes()
        for name, file in files.items()
        if file.suffix != ".partial"
    }


def checksums(folder: Path) -> list[Path]:
    """Files of the checksums of finished chunks."""
    return [file for file in folder.glob("chunk/checksum/c/*") if file.suffix != ".partial"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "bank"
    write(folder)
    return folder


# What is written


def test_a_chunk_is_a_pure_function_of_its_number(undisturbed: Path) -> None:
    bank = bi.open_bank(undisturbed)
    everything = bank.read()
    assert len(bank) == bank.n == len(everything["rate"]) == 1_000
    assert (bank.chunks, bank.missing, bank.failed) == (4, [], 0)
    for number in range(4):
        drawn = growth.engine.sample(300, 3, "bank", number).numpy().flat()
        for name, value in drawn.items():
            part = everything[name][300 * number : 300 * (number + 1)]
            np.testing.assert_array_equal(part, value[: len(part)])
            assert part.dtype == value.dtype
    assert not np.array_equal(everything["rate"][:300], everything["rate"][300:600])


def test_xarray_opens_it_with_names_units_and_coordinates(undisturbed: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(undisturbed)
    assert set(data.data_vars) == {"rate", "weights", "cases", "spectrum", "count"}
    assert data["cases"].dims == ("simulation", "day")
    assert data["weights"].dims == ("simulation", "weights_dim_0")
    np.testing.assert_array_equal(data["day"], DAYS)
    assert data["wavelength"].attrs == {"long_name": "wavelength", "units": "nm"}
    assert data["rate"].attrs == {"long_name": r"$\lambda$", "units": "1/day", "role": "parameter"}
    assert data["cases"].attrs["role"] == "observable"
    assert data.attrs["seed"] == 3
    assert data.attrs["simulator"] == "growth"
    assert (
        data.attrs["prior"]
        == "rate ~ LogNormal(loc=0.0, scale=0.5); weights ~ Normal(loc=[0.0, 0.0], scale=1.0)"
    )
    assert {"bayesinn", "zarr", "numpy"} <= set(data.attrs["versions"])
    bank = bi.open_bank(undisturbed)
    for name, value in bank.read().items():
        np.testing.assert_array_equal(data[name], value)
    assert bank.dataset["cases"].equals(data["cases"])
    assert {kind: list(own) for kind, own in bank.shapes.items()} == {
        k: list(own) for k, own in growth.shapes.items()
    }


def test_context_and_integers(tmp_path) -> None:
    bank = write(tmp_path, 40, survey, chunk=16)
    drawn = survey.engine.sample(16, 3, "bank", 1).numpy().flat()
    for name, value in bank.read(slice(16, 32)).items():
        np.testing.assert_array_equal(value, drawn[name])
        assert value.dtype == drawn[name].dtype
    assert bank.dataset["dose"].attrs["role"] == "context"


def test_python_simulators_count_failures_and_give_single_precision(tmp_path) -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=2, on_nonfinite="redraw"
    )
    def plain(parameters, generator):
        return {"y": np.nan if parameters["mean"] > 1.0 else generator.integers(5)}

    bank = write(tmp_path, 90, plain, chunk=40)
    values = bank.read()
    assert values["y"].dtype == np.float32
    assert set(values["y"]) <= set(range(5))
    assert values["mean"].max() <= 1.0
    drawn = [plain.engine.sample(40, 3, "bank", number) for number in range(3)]
    np.testing.assert_array_equal(
        values["y"], np.concatenate([part.observables["y"] for part in drawn])[:90]
    )
    assert bank.failed == sum(part.failed for part in drawn) > 0


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(290, 310),
        slice(5, 5),
        slice(-10, None),
        np.array([999, 0, 300, 299, 300]),
    ],
)
def test_rows_are_read_in_any_order(undisturbed: Path, rows) -> None:
    bank = bi.open_bank(undisturbed)
    everything = bank.read()
    for name, value in bank.read(rows).items():
        np.testing.assert_array_equal(value, everything[name][rows])


@pytest.mark.parametrize(
    "rows", [np.array([], int), [], slice(5, 5), slice(900, 100), np.zeros(0)], ids=repr
)
def test_of_no_rows_arrays_are_empty(undisturbed: Path, rows) -> None:
    bank = bi.open_bank(undisturbed)
    some = bank.read(slice(0, 2))
    none = bank.read(rows)
    assert list(none) == list(some)
    for name, value in none.items():
        assert value.shape == (0, *some[name].shape[1:])
        assert value.dtype == some[name].dtype


@pytest.mark.parametrize(
    "rows", [slice(0, 9, 2), np.array([1_000]), np.array([-1]), np.array([0.5]), 3]
)
def test_rows_that_are_none_are_refused(undisturbed: Path, rows) -> None:
    with pytest.raises(InputError, match="Rows of a bank"):
        bi.open_bank(undisturbed).read(rows)


def test_default_chunks(tmp_path) -> None:
    assert write(tmp_path / "few", 100, chunk=None).rows_per_chunk == 1_024
    assert write(tmp_path / "many", 100_000, simulator(), chunk=None).rows_per_chunk == 1_563
    python = simulator(name="python", engine="python", workers=3)
    assert write(tmp_path / "python", 10, python, chunk=None).rows_per_chunk == 10
    assert write(tmp_path / "more", 40, python, chunk=None).rows_per_chunk == 16
    with pytest.raises(InputError, match="at most 100,000 chunks"):
        write(tmp_path / "python", 2_000_000, python, chunk=None)


def test_nothing_is_printed_of_what_is_done_soon(tmp_path, capsys) -> None:
    write(tmp_path, progress=True)
    assert capsys.readouterr().out == ""


def test_what_takes_long_is_estimated(tmp_path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_SECONDS_WORTH_TELLING", -1.0)
    write(tmp_path, progress=True)
    out = capsys.readouterr().out
    assert f"simulating: at most 39.1 KiB at {tmp_path}, about " in out
    assert "simulating: 1,000 of 1,000 simulations" in out


# Continued, appended, several writers


def test_appending_changes_no_chunk(undisturbed: Path, tmp_path) -> None:
    write(tmp_path / "bank", 650)
    before = contents(tmp_path / "bank")
    for n in (1_000, 200):
        assert len(write(tmp_path / "bank", n)) == 1_000
        after = contents(tmp_path / "bank")
        assert after == contents(undisturbed)
    data = [name for name in before if "/c/" in name]
    assert {name: after[name] for name in data} == {name: before[name] for name in data}


def test_variables_that_were_lengthened_alone_hold_unfinished_chunks(
    undisturbed: Path, tmp_path
) -> None:
    """As after a writer that was killed between two arrays."""
    folder = tmp_path / "bank"
    write(folder, 650)
    group = zarr.open_group(folder, mode="r+")
    for _, array in group.arrays():
        if array.shape[:1] == (650,):
            array.resize((1_000, *array.shape[1:]))
    bank = bi.open_bank(folder)
    assert (len(bank), bank.missing) == (1_000, [3])
    assert bank.verify() == []
    write(folder, 1_000)
    assert contents(folder) == contents(undisturbed)


def test_an_interrupted_run_keeps_its_chunks(undisturbed: Path, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "bank"
    made = []
    original = bank_store.BankStore.write

    def interrupted(self, number, simulations) -> None:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(number)
        original(self, number, simulations)

    with monkeypatch.context() as patch:
        patch.setattr(bank_store.BankStore, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(folder)
    bank = bi.open_bank(folder)
    assert sorted({0, 1, 2, 3} - set(made)) == bank.missing
    assert "2 chunks unfinished" in repr(bank)
    with pytest.raises(BankError, match="2 of 4 chunks unfinished") as error:
        bank.read()
    assert "bi.simulate_bank" in str(error.value)
    # What is unfinished is seen as such in xarray, too.
    assert np.isnan(bank.dataset["rate"].values).sum() >= 400
    bank.read(slice(300 * made[0], 300 * made[0] + 10))
    drawn = []
    monkeypatch.setattr(
        bank_store.BankStore, "write", lambda *a: (drawn.append(a[1]), original(*a))[1]
    )
    write(folder)
    assert sorted(drawn) == sorted({0, 1, 2, 3} - set(made))
    assert contents(folder) == contents(undisturbed)


@pytest.mark.slow
def test_killed_and_continued_gives_the_same_bits(tmp_path) -> None:
    """The driver dies at random moments, among them some in the middle of a chunk."""
    folder = tmp_path / "bank"
    random = np.random.default_rng(KILLS)
    n = 3_000 * KILLS
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITE, str(folder), str(n)]
    finished = 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        # Every other time while chunks are written; the first may be before there are any arrays.
        deadline = time.monotonic() + 60.0
        while kill % 2 and len(checksums(folder)) <= finished and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len(checksums(folder)) >= finished + kill % 2
        finished = len(checksums(folder))
    assert 0 < finished < n // 50
    bi.simulate_bank(growth, n, folder, seed=3, chunk=50, progress=False)
    bi.simulate_bank(growth, n, tmp_path / "undisturbed", seed=3, chunk=50, progress=False)
    assert contents(folder) == contents(tmp_path / "undisturbed")


def test_several_writers_give_the_same_bits(undisturbed: Path, tmp_path) -> None:
    folder = tmp_path / "bank"
    errors = []

    def run(n: int) -> None:
        try:
            write(folder, n)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in (1_000, 1_000, 650)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert contents(folder) == contents(undisturbed)


@pytest.mark.parametrize("seed", [3, 4])
def test_another_program_creates_the_bank_just_now(
    undisturbed: Path, tmp_path, monkeypatch, seed: int
) -> None:
    folder = tmp_path / "bank"
    original = writing.open_group

    def late(*arguments):
        found = original(*arguments)
        monkeypatch.setattr(writing, "open_group", original)
        write(folder, 650, seed=seed)
        return found

    monkeypatch.setattr(writing, "open_group", late)
    if seed == 3:
        write(folder)
        assert contents(folder) == contents(undisturbed)
    else:
        with pytest.raises(BankError, match="seed"):
            write(folder)


def test_another_program_lengthens_the_bank_while_it_is_described(
    undisturbed: Path, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / "bank"
    original = zarr.consolidate_metadata

    def slow(location):
        metadata = folder / "zarr.json"
        described = original(location)
        before = metadata.read_bytes()
        monkeypatch.setattr(zarr, "consolidate_metadata", original)
        write(folder)
        # What was read before is written after.
        metadata.write_bytes(before)
        return described

    monkeypatch.setattr(zarr, "consolidate_metadata", slow)
    write(folder, 650)
    assert contents(folder) == contents(undisturbed)


def test_failures_count_when_their_chunk_is_finished(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = write(tmp_path / "bank", 600)
    zarr.open_group(bank.location)["chunk/failed"][:] = [2, 3]
    bank = bi.open_bank(bank.location)
    assert bank.failed == 5
    zarr.open_group(bank.location)["chunk/checksum"][1] = 0
    assert bank.failed == 2


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "swapped"])
def test_a_corrupt_chunk_is_found_and_made_again(undisturbed: Path, tmp_path, damage: str) -> None:
    folder = tmp_path / "bank"
    write(folder)
    file = folder / "rate" / "c" / "2"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    content = {
        "bit": bytes(data),
        "cut": bytes(data[:20]),
        "swapped": (file.parent / "1").read_bytes(),
    }
    file.unlink()
    if damage in content:
        file.write_bytes(content[damage])
    bank = bi.open_bank(folder)
    with pytest.raises(BankError, match="chunk 2 as it was written") as error:
        bank.read()
    assert "bank.verify()" in str(error.value)
    bank.read(slice(0, 600))
    assert bank.verify() == [2]
    assert bank.missing == [2]
    write(folder)
    assert bank.verify() == []
    assert contents(folder) == contents(undisturbed)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
    ],
    ids=["disk", "files", "memory"],
)
@pytest.mark.parametrize("part", ["rate", "chunk"])
def test_what_can_not_be_read_just_now_is_no_damage(
    tmp_path, monkeypatch, part: str, error: Exception
) -> None:
    """No chunk is forgotten, and nobody is told to delete a bank; of variables or of checksums."""
    from zarr.storage import _local

    get = _local._get

    def refused(path, *options):
        if path.is_relative_to(tmp_path / "bank" / part / ("c" if part == "rate" else "")):
            raise error
        return get(path, *options)

    bank = write(tmp_path / "bank")
    before = contents(tmp_path / "bank")
    reads = [bank.verify, bank.read]
    if part == "chunk":
        reads += [lambda: bank.missing, lambda: bank.failed, lambda: bank.finished(0)]
    for read in reads:
        with monkeypatch.context() as patch:
            patch.setattr(_local, "_get", refused)
            with pytest.raises(BankError, match="place can be reached, and try again") as found:
                read()
        assert type(error).__name__ in str(found.value)
        assert "delete" not in str(found.value)
        assert "verify" not in str(found.value)
    assert contents(tmp_path / "bank") == before
    assert bank.verify() == []


# Disks


def full(monkeypatch: pytest.MonkeyPatch, calls: int, error: OSError) -> None:
    """Let the file system refuse after some files."""
    from zarr.storage import _local

    put = _local._put
    left = iter(range(calls))

    def refused(path, value, *options, **named):
        if next(left, None) is None:
            raise error
        return put(path, value, *options, **named)

    monkeypatch.setattr(_local, "_put", refused)


@pytest.mark.parametrize("calls", [0, 1, 5, 12, 20, 25, 30])
def test_a_full_disk_loses_nothing(undisturbed: Path, tmp_path, monkeypatch, calls: int) -> None:
    folder = tmp_path / "bank"
    with monkeypatch.context() as patch:
        full(patch, calls, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(BankError, match=r"(?s)room|place to") as error:
            write(folder)
    assert "No space left on device" in str(error.value)
    assert "choose another place" in str(error.value)
    write(folder)
    assert contents(folder) == contents(undisturbed)


def test_a_read_only_folder_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, 0, PermissionError(errno.EACCES, "Permission denied"))
    with pytest.raises(BankError, match=r"(?s)bank.*Permission denied.*choose another place"):
        write(tmp_path / "bank")


def test_too_little_room_is_noticed_early(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000}))
    with pytest.raises(BankError, match=r"(?s)MiB for the chunks to come.*0 MiB left.*make room"):
        write(tmp_path / "bank")
    assert len(bi.open_bank(tmp_path / "bank").missing) in (2, 3)
    # Also where another program makes the first chunk.
    elsewhere = iter([True])
    monkeypatch.setattr(
        bank_store.BankStore, "finished", lambda self, chunk: next(elsewhere, False)
    )
    with pytest.raises(BankError, match=r"(?s)MiB for the chunks to come.*0 MiB left.*make room"):
        write(tmp_path / "another")


# What is refused


OTHERS = {
    "prior": (
        lambda: simulator(tfd.Normal(1.0, 1.0)),
        {},
        "the prior of 'mean' is Normal(loc=1.0, scale=1.0) in place of Normal(loc=0.0,",
    ),
    "name": (lambda: simulator(name="other"), {}, "those of 'toy'"),
    "policy": (
        lambda: simulator(on_nonfinite="redraw"),
        {},
        "option 'on_nonfinite' is redraw in place of raise",
    ),
    "seed": (simulator, {"seed": 4}, "seed=4"),
    "chunk": (simulator, {"chunk": 301}, "chunk=301"),
}


@pytest.mark.parametrize("change", OTHERS)
def test_another_bank_is_refused_and_left_alone(tmp_path, change: str) -> None:
    write(tmp_path, model=simulator())
    before = contents(tmp_path)
    other, options, fragment = OTHERS[change]
    with pytest.raises(BankError, match=r"(?s)expected.*got.*do this") as error:
        write(tmp_path, model=other(), **options)
    assert fragment in str(error.value)
    assert contents(tmp_path) == before


def test_a_foreign_zarr_and_other_files_are_left_alone(tmp_path) -> None:
    zarr.create_group(tmp_path / "group").create_array("x", shape=(3,), dtype="f4")
    zarr.create_array(tmp_path / "array", shape=(3,), dtype="f4")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for name in ("group", "array", "files", "file"):
        with pytest.raises(BankError, match="choose another place"):
            write(tmp_path / name)
        with pytest.raises(BankError):
            bi.open_bank(tmp_path / name)
    assert contents(tmp_path) == before
    with pytest.raises(BankError, match="no Zarr group"):
        bi.open_bank(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_later_format_is_refused(tmp_path) -> None:
    write(tmp_path)
    zarr.open_group(tmp_path).attrs["format_version"] = 2
    with pytest.raises(BankError, match=r"format version 1(?s:.)*version 2"):
        bi.open_bank(tmp_path)


def test_simulations_that_stay_broken_stop_it_and_the_rest_is_kept(tmp_path) -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, name="fragile")
    def fragile(parameters, seed):
        return {"y": tf.math.log(parameters["mean"] + 3.0)}

    drawn = (fragile.engine.sample(50, 3, "bank", number).failed for number in range(1_000))
    bad = next(number for number, failed in enumerate(drawn) if failed)
    assert bad > 0
    write(tmp_path, 50 * bad, fragile, chunk=50)
    with pytest.raises(SimulatorError, match="on_nonfinite='redraw'"):
        write(tmp_path, 50 * (bad + 1), fragile, chunk=50)
    bank = bi.open_bank(tmp_path)
    assert bank.missing == [bad]
    assert bank.verify() == []
    assert np.isfinite(bank.read(slice(0, 50 * bad))["y"]).all()


@pytest.mark.parametrize(
    "arguments", [{"n": 0}, {"n": 1.5}, {"seed": -1}, {"chunk": 0}, {"progress": 1}]
)
def test_arguments_are_checked(tmp_path, arguments: dict) -> None:
    with pytest.raises(InputError):
        write(tmp_path / "bank", **arguments)
    assert not (tmp_path / "bank").exists()


# Other stores


def test_in_memory(undisturbed: Path) -> None:
    bank = write("memory://bank-of-a-test")
    for name, value in bi.open_bank(undisturbed).read().items():
        np.testing.assert_array_equal(bank.read()[name], value)


@pytest.mark.slow
def test_in_an_object_store(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_module = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"), ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"), ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    try:
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("simulations")
        write("s3://simulations/bank", 650)
        bank = write("s3://simulations/bank")
        for name, value in bi.open_bank(undisturbed).read().items():
            np.testing.assert_array_equal(bank.read()[name], value)
        assert (
            bi.open_bank("s3://simulations/bank").fingerprint
            == bi.open_bank(undisturbed).fingerprint
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            assert xarray.open_zarr("s3://simulations/bank").sizes["simulation"] == 1_000
        with pytest.raises(BankError, match="no-such-bucket"):
            write("s3://no-such-bucket/bank")
    finally:
        server.stop()
