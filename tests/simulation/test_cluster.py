"""Simulations on a Dask cluster: a scheduler and workers in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.engines import workers as cluster_module

distributed = pytest.importorskip("distributed")
tfd = tfp.distributions

PRIOR = {"rate": tfd.LogNormal(0.0, 0.5)}


def counted(parameters, generator):
    time.sleep(0.005)
    return {"x": generator.poisson(parameters["rate"], 3)}


def model(function=counted, **options) -> bi.Simulator:
    return bi.simulator(prior=PRIOR, engine="python", name="counted", workers=2, **options)(
        function
    )


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers = []
        self.scheduler = self.start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                    "--scheduler-file", str(folder / "scheduler.json"))  # fmt: skip
        for _ in range(2):
            self.add_worker()
        deadline = time.monotonic() + 60.0
        while not (folder / "scheduler.json").is_file():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with distributed.Client(
            scheduler_file=str(folder / "scheduler.json"), set_as_default=False
        ) as client:
            self.address = client.scheduler_info()["address"]
            client.wait_for_workers(2, timeout=60)

    def start(self, module: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=self.folder, start_new_session=True, **quiet)

    def add_worker(self) -> None:
        given = (
            "--scheduler-file",
            str(self.folder / "scheduler.json"),
            "--nthreads",
            "1",
            "--no-dashboard",
        )
        self.workers.append(self.start("dask_worker", *given))

    def kill(self, process: subprocess.Popen) -> None:
        # A worker with its nanny, which would start it again.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    own = Cluster(tmp_path)
    yield own
    own.close()


def same(bank: Bank, other: Bank) -> bool:
    ours = bank.read()
    theirs = other.read()
    return list(ours) == list(theirs) and all(
        np.array_equal(ours[name], theirs[name]) for name in ours
    )


def test_a_cluster_gives_the_bits_of_local_workers_also_if_a_worker_is_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    here = bi.simulate_bank(model(), 800, tmp_path / "here", seed=3, chunk=100, progress=False)
    command = [
        sys.executable,
        "-c",
        _REMOTE,
        cluster.address,
        str(tmp_path / "there"),
        str(Path(__file__).parents[2]),
    ]
    running = subprocess.Popen(command)
    while not (tmp_path / "there").is_dir() and running.poll() is None:
        time.sleep(0.05)
    cluster.kill(cluster.workers.pop())
    assert running.wait(timeout=120) == 0
    assert same(bi.open_bank(tmp_path / "there"), here)


def test_a_killed_scheduler_is_said_and_the_bank_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    simulator = model()
    place = tmp_path / "bank"
    with distributed.Client(cluster.address, set_as_default=False, timeout=10) as client:
        bi.simulate_bank(simulator, 100, place, seed=3, chunk=100, cluster=client, progress=False)
        cluster.kill(cluster.scheduler)
        with pytest.raises(SimulatorError, match="start it again"):
            bi.simulate_bank(simulator, 800, place, seed=3, cluster=client, progress=False)
    bank = bi.simulate_bank(simulator, 800, place, seed=3, progress=False)
    assert same(
        bank, bi.simulate_bank(simulator, 800, tmp_path / "here", seed=3, chunk=100, progress=False)
    )


def test_failures_and_crashes_on_a_cluster_follow_the_policy(
    cluster: Cluster, tmp_path: Path
) -> None:
    def crashing(parameters, generator):
        if parameters["rate"] > 3.0:
            os.kill(os.getpid(), signal.SIGKILL)
        if parameters["rate"] > 2.0:
            time.sleep(60.0)
        return {"x": generator.poisson(parameters["rate"], 3)}

    simulator = model(crashing, on_nonfinite="redraw", time_limit=0.5)
    options = {"seed": 2, "chunk": 40, "progress": False}
    there = bi.simulate_bank(simulator, 40, tmp_path / "there", cluster=cluster.address, **options)
    here = bi.simulate_bank(simulator, 40, tmp_path / "here", **options)
    assert there.read()["rate"].max() <= 2.0
    assert there.failed == here.failed > 0
    assert same(there, here)


SCALE = {"factor": 1.0}


def scaled(parameters, generator):
    return {"x": SCALE["factor"] * generator.normal()}


@pytest.fixture
def threads() -> Iterator[distributed.Client]:
    """A cluster of one worker with two threads, in this process."""
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False}
    with (
        distributed.LocalCluster(dashboard_address=None, **options) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_changed_constants_are_seen_by_the_workers_of_a_cluster(
    threads: distributed.Client, monkeypatch
) -> None:
    engine = model(scaled).engine.on_cluster(threads)
    before = engine.sample(20, 1, "simulations").observables["x"]
    monkeypatch.setitem(SCALE, "factor", 8.0)
    after = engine.sample(20, 1, "simulations").observables["x"]
    np.testing.assert_array_equal(after, 8.0 * before)


def test_what_is_simulated_again_runs_alone_on_a_cluster(
    threads: distributed.Client, monkeypatch
) -> None:
    """Threads of a worker share processes: a crash in one would fail rows of another one."""
    runs = []

    def recorded(workers, payload, parameters, *task, alone):
        runs.append((len(parameters["rate"]), alone))
        return start(workers, payload, parameters, *task, alone=alone)

    start = cluster_module.start
    monkeypatch.setattr(cluster_module, "start", recorded)

    def crashing(parameters, generator):
        if parameters["rate"] > 2.0:
            os._exit(3)
        return {"x": generator.poisson(parameters["rate"], 3)}

    engine = model(crashing, on_nonfinite="redraw").engine.on_cluster(threads)
    drawn = engine.sample(40, 2, "simulations")
    assert drawn.failed > 0
    assert (5, False) in runs
    assert {rows for rows, alone in runs if alone} == {1}
    here = model(crashing, on_nonfinite="redraw").sample(40, seed=2)
    for name, value in drawn.flat().items():
        np.testing.assert_array_equal(value, here[name], err_msg=name)


def test_what_can_not_run_on_a_cluster_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cluster_module, "_SECONDS_TO_CONNECT", 1)
    for address, match in (
        ("tcp://127.0.0.1:9", "start one: dask scheduler"),
        (5, "the address of a Dask scheduler"),
        ("tls://127.0.0.1:9", "(?s)TypeError: TLS expects.*security="),
        ("inproc://1", "'inproc://1'"),
        ("nothing://127.0.0.1:9", "unknown address scheme"),
        ("", "missing port"),
    ):
        with pytest.raises(InputError, match=match):
            bi.simulate_bank(model(), 10, tmp_path / "bank", cluster=address)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty:
        with (
            distributed.Client(empty, set_as_default=False) as client,
            pytest.raises(InputError, match="no worker"),
        ):
            bi.simulate_bank(model(), 10, tmp_path / "bank", cluster=client)
        with (
            distributed.Client(empty, set_as_default=False) as client,
            pytest.raises(InputError, match="TensorFlow"),
        ):
            bi.simulate_bank(bi.get_simulator("linear"), 10, tmp_path / "bank", cluster=client)
    assert not (tmp_path / "bank").exists()


def test_a_cluster_whose_workers_are_gone_says_so_once_and_goes_on_with_a_new_one(
    cluster: Cluster, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(cluster_module, "_SECONDS_BETWEEN_POLLS", 0.2)
    simulator = model()
    workers = cluster.workers
    with distributed.Client(cluster.address, set_as_default=False, timeout=10) as client:
        started = []
        looks = []
        submit = client.submit
        nthreads = client.nthreads

        def counted_submit(function, *arguments, **options):
            if function is cluster_module.run_remotely:
                started.append(1)
                if len(started) == 1:
                    while workers:
                        cluster.kill(workers.pop())
            return submit(function, *arguments, **options)

        def counted_nthreads() -> dict:
            found = nthreads()
            looks.extend([1] * (not found))
            if len(looks) == 3 and not workers:
                cluster.add_worker()
            return found

        monkeypatch.setattr(client, "submit", counted_submit)
        monkeypatch.setattr(client, "nthreads", counted_nthreads)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            there = bi.simulate_bank(
                simulator, 40, tmp_path / "there", seed=3, chunk=40, cluster=client, progress=False
            )
    assert len(looks) >= 3
    messages = [
        str(warning.message) for warning in caught if "waiting for a worker" in str(warning.message)
    ]
    assert len(messages) == 1
    for part in (cluster.address, "has 0 workers now", f"dask worker {cluster.address}"):
        assert part in messages[0]
    assert same(
        there, bi.simulate_bank(simulator, 40, tmp_path / "here", seed=3, chunk=40, progress=False)
    )


def test_nothing_is_said_of_simulations_that_take_long(
    cluster: Cluster, tmp_path: Path, monkeypatch
) -> None:
    def slow(parameters, generator):
        time.sleep(0.5)
        return {"x": generator.poisson(parameters["rate"], 3)}

    monkeypatch.setattr(cluster_module, "_SECONDS_BETWEEN_LOOKS", 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        bi.simulate_bank(
            model(slow),
            4,
            tmp_path / "bank",
            seed=3,
            chunk=4,
            cluster=cluster.address,
            progress=False,
        )


_REMOTE = """
import sys
sys.path.insert(0, sys.argv[3])
import bayesinn as bi
from tests.simulation.test_cluster import model
bi.simulate_bank(model(), 800, sys.argv[2], seed=3, chunk=100, cluster=sys.argv[1], progress=False)
"""
