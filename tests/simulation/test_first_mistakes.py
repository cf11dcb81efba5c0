"""What people do in their first quarter of an hour, and the advice that fits."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError, SimulatorError
from bayesinn.estimators.fitting_data import check_share
from bayesinn.simulation.registry import find

tfd = tfp.distributions
PRIOR = {"mean": tfd.Normal(0.0, 1.0)}


@pytest.mark.parametrize(
    "function",
    [
        lambda parameters, generator: {"y": parameters["mean"] + generator.normal(size=3)},
        lambda parameters, seed: {"y": np.exp(parameters["mean"])},
        lambda parameters, seed: {"y": np.zeros(len(parameters["mean"]))},
        lambda parameters, seed: {"y": np.zeros((parameters["mean"].shape[0], 3))},
        lambda parameters, seed: {"y": np.random.default_rng(seed).normal(size=3)},
        lambda parameters, seed: {"y": np.array([float(one) for one in parameters["mean"]])},
        lambda parameters, seed: {"y": pd.Series(parameters["mean"])},
    ],
    ids=["generator", "exp", "len", "shape", "default_rng", "float", "pandas"],
)
def test_numpy_code_is_told_of_the_other_engine(function) -> None:
    with pytest.raises(SimulatorError, match="NumPy code\\? declare engine='python'"):
        bi.simulator(prior=PRIOR)(function)


def test_other_faults_are_not() -> None:
    with pytest.raises(SimulatorError) as caught:
        bi.simulator(prior=PRIOR)(lambda parameters, seed: {"y": parameters["men"]})
    assert "NumPy" not in str(caught.value)


def test_a_network_by_name_is_for_the_command_line() -> None:
    with pytest.raises(InputError, match=r"pass an object, such as bi\.summaries\.MLP\(\)"):
        bi.AmortizedPosterior(bi.get_simulator("linear"), summary="mlp")


def test_a_script_can_not_be_imported_again() -> None:
    reference = {"name": "nobody", "module": "__main__", "object": "stub", "file": ""}
    with pytest.raises(SavedPosteriorError) as caught:
        find(reference)
    assert "do this:  pass it: bi.load(folder, simulator=...)" in str(caught.value)
    assert "import __main__" not in str(caught.value)


def test_check_says_how_many_values_are_lost() -> None:
    @bi.simulator(prior=PRIOR, missing=0.2)
    def gappy(parameters, seed):
        shape = (tf.shape(parameters["mean"])[0], 5)
        return {"y": parameters["mean"][:, None] + tf.random.stateless_normal(shape, seed)}

    text = " ".join(repr(bi.simulator_report(gappy, simulations=200)).split())
    assert "Values lost: up to 20 % of each simulation" in text


def test_check_proposes_passes_where_the_simulator_takes_the_time() -> None:
    from bayesinn.guidance.simulator_report.pilot import describe

    slow = describe(1_000.0, 64, 0.1, 2, 256)
    assert any("--passes 4" in advice.do for advice in slow.advice)
    assert not describe(1e6, 256, 0.1, 2, 256).advice
    assert not describe(1e4, 256, 0.1, 0, 256).advice


def test_a_killed_run_leaves_no_notes_of_semaphores(fresh_python) -> None:
    code = """
import os, signal, loky
from bayesinn.simulation.engines.workers import start_tracker
start_tracker()
assert "PYTHONWARNINGS" not in os.environ
worker = loky.ProcessPoolExecutor(1).submit(os.getpid).result()
os.system(f"(sleep 1; kill -9 {worker} 2>/dev/null) &")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = fresh_python(code, check=False)
    assert done.returncode == -9
    assert done.stderr == ""


@pytest.mark.parametrize("rows", [3, 40])
def test_the_odd_one_out_is_blamed(rows: int) -> None:
    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0), "b": tfd.Normal(0.0, 1.0)})
    def growth(parameters, seed):
        return {"x": parameters["a"][:, None] * tf.ones(12)}

    sample = growth.sample(rows, seed=1)
    with pytest.raises(InputError, match=rf"(?s)'x'.*shape \({rows}, 12\).*transpose it: x\.T"):
        bi.AmortizedPosterior(growth).fit({**sample, "x": sample["x"].T})
    with pytest.raises(InputError, match=rf"(?s)'x'.*shape \({rows}, 12\).*the same rows"):
        bi.AmortizedPosterior(growth).fit({**sample, "x": np.ones((rows + 1, 12))})


@pytest.mark.parametrize(("share", "fewest"), [(None, 6), (0.01, 51), (0.99, 51)])
def test_too_few_rows_are_told_how_many_it_takes(share: float | None, fewest: int) -> None:
    with pytest.raises(InputError, match=rf"(?s){fewest} rows or more.*got: *5.*validation=0 "):
        check_share(share, 5)
    check_share(share, fewest)
