"""The script that the design promises runs as printed; only its numbers are smaller."""

from __future__ import annotations

import pytest

SCRIPT = '''
import bayesinn as bi
import tensorflow as tf
import tensorflow_probability as tfp
tfd = tfp.distributions

@bi.simulator(
    prior={"rate": tfd.LogNormal(-0.9, 0.5), "size": tfd.Uniform(1.0, 9.0)},
    labels={"rate": r"$\\lambda$"}, units={"rate": "1/day"},
)
def outbreak(parameters, seed):
    """parameters: dict of tensors, each (n, *event); returns a dict of tensors, each (n, ...)."""
    mean = parameters["size"][:, None] * tf.exp(parameters["rate"][:, None] * tf.range(14.0))
    return {"cases": mean + tf.sqrt(mean) * tf.random.stateless_normal(tf.shape(mean), seed)}

posterior = bi.AmortizedPosterior(outbreak, summary=bi.summaries.ConvLSTM(32), flow=bi.flows.coupling(blocks=6))
# summary and flow may be left out: chosen from the observables' shapes, and the choice is printed
posterior.fit(steps=5_000, batch_size=256, seed=1)                       # online: fresh draws, simulated in the graph
result = posterior.infer({"cases": observed}, draws=2_000, seed=2)       # ArviZ DataTree, named and unit-labelled
draws = posterior.sample({"cases": many}, draws=1_000, seed=3)           # dict of arrays (n_obs, draws, *event)
density = posterior.log_prob(draws, {"cases": many})                     # exact, on the parameter's own scale
report = bi.diagnose(posterior, simulations=500, draws=250, seed=4)      # SBC, coverage, recovery, TARP, ...
report.to_html("report.html")
posterior.save("outbreak-posterior"); posterior = bi.load("outbreak-posterior")
'''

SMALLER = {
    "steps=5_000, batch_size=256": "steps=20, batch_size=32",
    "draws=2_000": "draws=200",
    "draws=1_000": "draws=100",
    "simulations=500, draws=250": "simulations=100, draws=50",
}

# The script leaves the data to its reader.
DATA = """
many = outbreak.sample(5, seed=9)["cases"]
observed = many[0]
"""

CHECKS = """
import os
import numpy as np

assert result["posterior"]["rate"].shape == (1, 200)
assert result["posterior"]["rate"].attrs["units"] == "1/day"
assert draws["size"].shape == density.shape == (5, 100)
assert np.isfinite(density).all()
assert (draws["size"] > 1.0).all() and (draws["size"] < 9.0).all()
assert os.path.getsize("report.html") > 10_000
assert sorted(os.listdir("outbreak-posterior")) == ["manifest.json", "weights.h5"]
again = posterior.sample({"cases": many}, draws=100, seed=3)
assert all(np.array_equal(again[name], draws[name]) for name in draws)
print("as promised")
"""


@pytest.mark.slow
def test_the_script_runs(tmp_path, fresh_python) -> None:
    script = SCRIPT
    for printed, smaller in SMALLER.items():
        assert script.count(printed) == 1
        script = script.replace(printed, smaller)
    before, fit, after = script.partition("posterior = bi.AmortizedPosterior(")
    file = tmp_path / "outbreak.py"
    file.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{before}{DATA}{fit}{after}{CHECKS}")
    out = fresh_python(file).stdout
    assert "20 of 20 steps" in out
    assert out.splitlines()[-1] == "as promised"
