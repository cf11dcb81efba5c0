"""What notebooks show of each object: HTML with its names, and no markup of the user's own."""

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.run import Run
from bayesinn.diagnosis.diagnosis import diagnose_arrays
from bayesinn.diagnosis.evidence import Evidence

tfd = tfp.distributions


def test_html_of_everything(tmp_path) -> None:
    linear = bi.get_simulator("linear")
    posterior = bi.AmortizedPosterior(linear, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    assert "not trained" in posterior._repr_html_()
    posterior.fit(steps=2, batch_size=32, progress=False)
    posterior.save(tmp_path / "run" / "posterior")
    generator = np.random.default_rng(1)
    truth = generator.normal(size=60)
    draws = generator.normal(size=(60, 20))
    diagnosis = diagnose_arrays(Evidence({"x1": truth}, {"x1": draws}, prior={"x1": truth}))
    bank = bi.simulate_bank(linear, 20, tmp_path / "bank", progress=False)
    for thing, names in (
        (linear, ["linear", "x1", "Normal(", "observables"]),
        (posterior, ["linear", "2 steps of 32", "loss", "Coupling"]),
        (diagnosis, ["SBC", diagnosis.grade, "coverage"]),
        (bank, ["Bank of 20 simulations", "chunks"]),
        (Run(tmp_path / "run"), ["linear", "not diagnosed"]),
    ):
        text = thing._repr_html_()
        assert text.startswith("<div>")
        assert "<table>" in text
        for name in names:
            assert name in text


def test_names_are_no_markup() -> None:
    model = bi.from_arrays({"<b>": tfd.Normal(0.0, 1.0)}, {"y": (2,)}, name="<script>")
    text = model._repr_html_()
    assert "<script>" not in text
    assert "&lt;b&gt;" in text


@pytest.mark.parametrize("rows", [[("a", "")], [("a", "b")]])
def test_columns_without_text_are_left_out(rows) -> None:
    from bayesinn.core.html import table_html

    assert ("second" in table_html("title", ("first", "second"), rows)) == bool(rows[0][1])
