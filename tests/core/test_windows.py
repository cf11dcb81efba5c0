"""What Windows lacks is missed nowhere: modules, signals, groups of processes, UTF-8 as the default."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.interpreter import ROOT

# Python runs it first in every process, workers included.
HIDE = """
import importlib.abc, os, signal, sys, warnings

HIDDEN = {"fcntl", "resource", "pwd", "grp", "termios"}

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
for name in HIDDEN:
    sys.modules.pop(name, None)
for module, names in (
    (signal, ("SIGALRM", "setitimer", "getitimer", "alarm", "ITIMER_REAL")),
    (os, ("killpg", "setsid", "waitid", "fork")),
):
    for name in names:
        delattr(module, name)
warnings.filterwarnings("error", category=EncodingWarning, module=r"bayesinn\\b")
"""

SCRIPT = """
import sys
import time

import numpy as np
import tensorflow_probability as tfp

import bayesinn as bi

PRIOR = {"place": tfp.distributions.Normal(0.0, 1.0)}


@bi.simulator(
    prior=PRIOR, units={"place": "µm"}, engine="python", workers=1,
    on_nonfinite="redraw", time_limit=0.5,
)
def slow(parameters, generator):
    if parameters["place"] > 2.0:
        time.sleep(60.0)
    return {"x": parameters["place"] + 0.1 * generator.normal(size=3)}


program = bi.command_simulator(
    [sys.executable, "-S", "-c", "import sys; print('y'); print(sys.argv[1])", "{place}"],
    prior=PRIOR,
    output="csv",
)

if __name__ == "__main__":
    assert set(program.sample(3, seed=1)) == {"place", "y"}
    bank = bi.simulate_bank(slow, 60, "bank", seed=1, chunk=30)
    assert bank.failed > 0 and bank.read()["place"].max() <= 2.0
    small = bi.flows.coupling(blocks=1, hidden=(8,))
    posterior = bi.AmortizedPosterior(slow, flow=small)
    posterior.fit(bank, steps=4, checkpoint="checkpoint", seed=1)
    posterior.save("saved")
    loaded = bi.load("saved", simulator=slow)
    print(loaded.sample({"x": [0.1, 0.2, 0.3]}, draws=5, seed=1))
"""


def windows(folder: Path, *command: str) -> str:
    """Run Python in a folder, as far as possible with what there is on Windows."""
    (folder / "sitecustomize.py").write_text(HIDE)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONWARNDEFAULTENCODING": "1",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "cp1252",
        "BAYESINN_CACHE": "off",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, check=False
    )
    output = (done.stdout + done.stderr).decode("cp1252", "replace")
    # 1: a diagnosis outside tolerance.
    assert done.returncode == (0 if command[0] == "model.py" else 1), output
    return output


def test_training_needs_nothing_that_windows_lacks(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SCRIPT, "utf-8")
    assert "place" in windows(tmp_path, "model.py")


@pytest.mark.slow
def test_commands_print_in_the_encoding_of_the_console(tmp_path: Path) -> None:
    command = ["-m", "bayesinn.cli", "run", "sir", "--steps", "20", "--simulations", "100"]
    windows(tmp_path, *command, "--seed", "1")
    assert (tmp_path / "runs" / "sir" / "report.html").is_file()
