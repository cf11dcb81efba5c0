"""The simulator report finds each fault of a purpose-made simulator, and none of a healthy one."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core import progress
from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.guidance.simulator_report import SimulatorReport, pilot, simulator_report
from bayesinn.guidance.simulator_report.pilot import (
    Pilot,
    associations,
    copies,
    regions,
    repeats,
)
from bayesinn.simulation.simulations import Simulations

tfd = tfp.distributions
PRIOR = {"rate": tfd.Uniform(0.0, 1.0), "size": tfd.Uniform(1.0, 9.0)}


def signal(parameters):
    return parameters["rate"][:, None] + parameters["size"][:, None] * tf.range(1.0, 4.0)


def noisy(parameters, seed):
    mean = signal(parameters)
    return mean + 0.3 * tf.random.stateless_normal(tf.shape(mean), seed)


def corner(parameters):
    return ((parameters["rate"] > 0.8) & (parameters["size"] < 3.0))[:, None]


def report_on(function, prior=None, n=600, **options) -> SimulatorReport:
    """Simulate few: what is tested here shows at once."""
    return simulator_report(
        bi.simulator(prior=prior or PRIOR, units={"rate": "1/day"}, **options)(function),
        simulations=n,
        seed=1,
    )


def advice(report: SimulatorReport, severity: str) -> dict[str, str]:
    return {item.subject: item.text for item in report.advice if item.severity == severity}


@pytest.mark.parametrize("name", ["linear", "gaussian"])
def test_healthy_simulators_get_no_advice(name: str) -> None:
    report = simulator_report(bi.get_simulator(name), simulations=1_000, seed=2)
    assert report.ok
    assert report.advice == ()
    assert "ready for training" in repr(report)
    assert "All 1,000 simulations are finite; up to 0.003 may fail" in repr(report)
    assert report["speed"].per_second > 1_000


def test_sir_is_healthy_in_both_engines() -> None:
    for name, n in (("sir", 2_000), ("sir_numpy", 100)):
        report = simulator_report(bi.get_simulator(name), simulations=n)
        assert report.ok
        assert "networks see asinh(x / " in advice(report, "hint")["cases"]
        # Of 2,000 simulations all five parameters are seen; p of the weakest was 8e-7 to 0.015 over
        # six seeds.
        assert name == "sir_numpy" or all(
            p < 0.01 for p in report["influence"].associations.values()
        )
        assert "lambda [1/day]" in repr(report)
        assert report["predictive"].table.loc["cases", "scaling"].startswith("asinh")
        assert ("in the plain graph" in report["speed"].text) is (name == "sir")


def test_lines_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    report = simulator_report(bi.get_simulator("sir"), simulations=200)
    for columns in (80, 110):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert 70 < max(map(len, repr(report).splitlines())) <= columns


def test_the_seed_decides_every_number() -> None:
    def one_by_one(parameters, generator):
        return {"x": parameters["rate"] + parameters["size"] * generator.normal(size=3)}

    first, second = (
        report_on(one_by_one, engine="python", workers=workers, n=60) for workers in (1, 2)
    )
    assert first["prior"].table.equals(second["prior"].table)
    assert first["predictive"].table.equals(second["predictive"].table)
    assert first["influence"].associations == second["influence"].associations
    first, second, other = (
        simulator_report(bi.get_simulator("linear"), simulations=60, seed=seed)
        for seed in (1, 1, 2)
    )
    for check in ("prior", "predictive"):
        assert first[check].table.equals(second[check].table)
        assert not first[check].table.equals(other[check].table)


@pytest.mark.parametrize("policy", ["raise", "redraw"])
def test_failures_in_a_corner_are_found_before_the_policy_hides_them(policy: str) -> None:
    report = report_on(
        lambda parameters, seed: {
            "x": tf.where(corner(parameters), np.nan, noisy(parameters, seed))
        },
        n=2_000,
        on_nonfinite=policy,
    )
    # A fifth of the rates and a quarter of the sizes: 0.05, with a standard deviation of 0.005.
    assert report["failures"].share == pytest.approx(0.05, abs=0.015)
    region = report["failures"].regions[0]
    # 0.8 and 3 within 0.02 and 0.1 over three seeds.
    assert region.rule.startswith("rate > 0.8")
    assert " 1/day and size < 3" in region.rule or " 1/day and size < 2.9" in region.rule
    assert min(region.inside, region.caught) > 0.95
    assert report["failures"].table.loc["rate", "p-value"] < 1e-10
    assert report["failures"].table.loc["rate", "failing 5 %"] > 0.79
    assert report["failures"].shares.loc["x", "nan"] == report["failures"].share
    assert report.ok is (policy == "redraw")
    assert (
        "% of them fail" in advice(report, "problem" if policy == "raise" else "hint")["failures"]
    )
    # What remains is described without them.
    assert np.isfinite(report["predictive"].table.loc["x[0]", "maximum"])


def test_failures_everywhere_have_no_region() -> None:
    def fails_at_random(parameters, seed):
        bad = tf.random.stateless_uniform((tf.shape(parameters["rate"])[0], 1), seed) < 0.1
        return {"x": tf.where(bad, np.inf, noisy(parameters, seed))}

    report = report_on(fails_at_random)
    assert report["failures"].regions == ()
    assert "no particular region" in advice(report, "problem")["failures"]
    assert report["failures"].shares.loc["x", "infinite"] == report["failures"].share > 0.05


def test_most_simulations_failing_is_a_problem_under_any_policy() -> None:
    report = report_on(
        lambda parameters, seed: {"x": tf.sqrt(parameters["size"] - 8.5)},
        n=50,
        on_nonfinite="redraw",
    )
    assert "most draws are lost" in advice(report, "problem")["failures"]
    assert report["noise"].deterministic == ()  # too few are left to tell


def test_nan_in_padding_is_no_failure() -> None:
    def padded(parameters, context, seed):
        return {"x": tf.where(tf.range(3) < context["n"][:, None], noisy(parameters, seed), np.nan)}

    counts = tfd.FiniteDiscrete(tf.range(2, 4), logits=tf.zeros(2))
    report = report_on(padded, context={"n": counts}, lengths={"x": "n"})
    assert report["failures"].share == 0.0
    assert "n" in report["prior"].table.index


def test_constant_and_copied_outputs() -> None:
    def dull(parameters, seed):
        x = noisy(parameters, seed)
        ones = tf.ones_like(x[:, :1])
        return {
            "x": tf.concat([x, 2.0 - 3.0 * x[:, :1]], 1),
            "y": tf.concat([ones, x[:, 1:2]], 1),
            "c": 3.0 * ones[:, 0],
        }

    report = report_on(dull)
    assert report["outputs"].copies == (("x[3]", "x[0]"), ("y[1]", "x[1]"))
    assert "is 3 in every simulation" in advice(report, "problem")["c"]
    assert "1 of 2 elements never vary (y[0])" in advice(report, "hint")["y"]
    assert "x[3] of x[0], y[1] of x[1]" in advice(report, "hint")["copies"]
    assert list(advice(report, "problem")) == ["c"]


NOISE_FAULTS = {
    "deterministic": ("posterior is singular", lambda parameters, seed: {"x": signal(parameters)}),
    "shared": (
        "every simulation of a batch has the same noise",
        lambda parameters, seed: {
            "x": signal(parameters) + tf.random.stateless_normal((1, 3), seed)
        },
    ),
    "irreproducible": (
        "differs though parameters and seed are the same",
        lambda parameters, seed: {
            "x": signal(parameters) + tf.random.normal(tf.shape(signal(parameters)))
        },
    ),
    "unaffected": (
        "says nothing about them",
        lambda parameters, seed: {
            "x": tf.random.stateless_normal(tf.shape(signal(parameters)), seed)
        },
    ),
}


@pytest.mark.parametrize("fault", NOISE_FAULTS)
def test_faults_of_the_noise(fault: str) -> None:
    text, function = NOISE_FAULTS[fault]
    report = report_on(function)
    assert getattr(report["noise"], fault) == ("x",)
    assert [text in found for found in advice(report, "problem").values()] == [True]


def test_faults_of_the_noise_in_workers() -> None:
    def own_seed(parameters, generator):
        return {"x": parameters["rate"] + np.random.default_rng(1).normal(size=3)}

    def shared(parameters, generator):
        return {
            "x": parameters["rate"][:, None]
            + parameters["size"][:, None]
            + generator.normal(size=3)
        }

    assert report_on(own_seed, engine="python", workers=1, n=60)["noise"].deterministic == ("x",)
    assert report_on(shared, engine="python", workers=1, batched=True, n=60)["noise"].shared == (
        "x",
    )


def test_what_is_deterministic_but_discrete_is_a_hint_and_what_is_rare_is_fine() -> None:
    def hits(parameters, seed):
        rare = tf.random.stateless_uniform(tf.shape(parameters["rate"]), seed) < 0.02
        return {"x": noisy(parameters, seed), "high": parameters["rate"] > 0.5, "rare": rare}

    report = report_on(hits)
    assert report.ok
    assert report["noise"].deterministic == ("high",)
    assert list(advice(report, "hint")) == ["high"]


def test_scales_that_float32_or_the_library_can_not_hold() -> None:
    def extreme(parameters, seed):
        x = tf.cast(noisy(parameters, seed), tf.float64)
        return {
            "infinite": x * 1e40,
            "tiny": x * 1e-9,
            "offset": tf.cast(x + 2.45e6, tf.float32),
            "kept": x + 1.7e9,
            "counts": tf.cast(x * 1e7, tf.int64),
            "wide": tf.exp(x),
        }

    report = report_on(extreme)
    problems = advice(report, "problem")
    hints = advice(report, "hint")
    assert "infinite in float32" in problems["infinite"]
    assert "of which single precision keeps " in problems["offset"]
    assert "Subtract an offset" in problems["offset"]
    assert "can't tell n from n + 1" in hints["counts"]
    assert "networks see asinh(x / " in hints["wide"]
    assert set(problems) == {"infinite", "offset"}  # what is tiny is brought to unit scale
    assert report["predictive"].table.loc["counts[0]", "type"] == "int64"


def test_a_parameter_without_influence_is_a_hint() -> None:
    def some(parameters, seed):
        return {
            "x": noisy(parameters, seed),
            "noise": tf.random.stateless_normal(tf.shape(parameters["rate"]), seed),
        }

    report = report_on(
        some, prior={**PRIOR, "idle": tfd.Normal(0.0, 1.0), "pair": tfd.Dirichlet([1.0, 1.0])}
    )
    assert report.ok
    assert list(advice(report, "hint")) == ["noise", "idle", "pair[0]", "pair[1]"]
    assert "nothing depends on it" in advice(report, "hint")["idle"]
    assert "Posteriors are the same without it" in advice(report, "hint")["noise"]
    assert report.unrelated == ("noise", "idle", "pair[0]", "pair[1]")
    assert "but parameters and outputs are unrelated in noise, idle, " in report.verdict


def test_a_parameter_that_hides_is_not_said_to_do_nothing() -> None:
    def faint(parameters, seed):
        return {"x": 100.0 * noisy(parameters, seed) + parameters["faint"][:, None]}

    report = report_on(faint, prior={**PRIOR, "faint": tfd.Normal(0.0, 0.1)}, n=100)
    assert report["influence"].responses in ({"rate": True, "faint": True}, {"faint": True})
    assert "though outputs do change with it" in advice(report, "hint")["faint"]


def test_simulations_that_come_again() -> None:
    report = report_on(
        lambda parameters, seed: {"x": tf.nn.relu(noisy(parameters, seed)[:, 2] - 20.0)}
    )
    assert report["outputs"].repeats == pytest.approx(0.7, abs=0.07)
    assert report["outputs"].regions[0].rule.startswith("size < 6")
    assert "clipped" in advice(report, "problem")["repeats"]
    assert "size < 6" in advice(report, "problem")["repeats"]


def test_data_beyond_the_prior_predictive() -> None:
    function = lambda parameters, seed: {"x": noisy(parameters, seed)}  # noqa: E731
    assert report_on(function, observed={"x": [5.0, 10.0, 15.0]}).advice == ()
    far = report_on(function, observed={"x": [5.0, 10.0, 500.0]})
    assert "1 of 3 observed numbers lie beyond all 600 simulations" in advice(far, "hint")["x"]


def test_tracing_is_no_part_of_the_speed() -> None:
    def traced(parameters, seed):
        time.sleep(0.5)  # when the graph is made, and never again
        noise = tf.random.stateless_normal((tf.shape(parameters["rate"])[0], 3), seed)
        return {"x": parameters["rate"][:, None] + parameters["size"][:, None] * noise}

    # Each of the batches of 256 and 224 is the first of its size: 450 to 512 a second.
    assert report_on(traced, n=500)["speed"].per_second > 1_500


def test_slow_simulators_show_progress_and_get_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slow at a tenth of the scale.
    monkeypatch.setattr(pilot, "_SECONDS_BEFORE_PROGRESS", 0.3)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)

    def slow(parameters, generator):
        time.sleep(0.01)
        return {"x": parameters["rate"] + parameters["size"] * generator.normal(size=3)}

    report = report_on(slow, engine="python", workers=1, n=80)
    assert "simulating: 20 of 80" in capsys.readouterr().out
    # 100 a second at best.
    assert 40.0 < report["speed"].per_second < 101.0
    assert report["speed"].batch_size == 60
    assert "simulating for 5,000 steps of 256 takes" in advice(report, "hint")["speed"]


def test_slow_programs_get_a_hint_that_fits_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pilot, "_TRAINING_STEPS", 10**6)
    program = bi.command_simulator(["printf", '{{"x": [{rate}, {seed}]}}'], prior=PRIOR, workers=1)
    _, speed = pilot.draw(program, 50, seed=1, batch_size=256)
    hint = speed.advice[-1]
    for fragment in (
        "bank (bayesinn simulate)",
        "more workers",
        "cluster",
        "A Python function may",
    ):
        assert fragment in hint.text


def test_files(tmp_path: Path) -> None:
    report = report_on(
        lambda parameters, seed: {
            "x": tf.where(corner(parameters), np.nan, noisy(parameters, seed)),
            "y": noisy(parameters, seed)[:, 0],
        }
    )
    paths = report.plot(tmp_path / "figures")
    assert [path.name for path in paths] == ["prior_predictive_x.png", "prior_predictive_y.png"]
    text = report.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    for heading in ("Advice", "Speed", "Failures", "Prior", "Prior predictive"):
        assert f"{heading}</h2>" in text
    assert "Failed" in text
    assert "[1/day]" in text or '<span class="unit">1/day' in text
    assert "% of them fail" in text


def test_rules_merge_what_belongs_together_and_stay_silent_by_chance() -> None:
    generator = np.random.default_rng(1)
    columns = {"a": generator.uniform(size=2_000), "b": generator.normal(size=2_000) * 1e-6}
    middle = (columns["a"] > 0.4) & (columns["a"] < 0.6)
    assert regions(columns, middle, Labels())[0].rule in {
        f"{low} < a < {high}" for low in (0.39, 0.4) for high in (0.59, 0.6)
    }
    assert regions(columns, columns["b"] > 1e-6, Labels())[0].rule.startswith(
        ("b > 1e-06", "b > 9.9e-07", "b > 1.0")
    )
    # Over 100 data sets of each size none had a region by chance.
    assert all(
        regions(columns, generator.uniform(size=2_000) < share, Labels()) == ()
        for share in (0.01, 0.1, 0.5)
    )


def test_one_extreme_simulation_makes_no_copies() -> None:
    x = np.random.default_rng(1).normal(size=(200, 2))
    x[0] = 1e9
    assert abs(np.corrcoef(x, rowvar=False)[0, 1]) > 0.999999
    assert copies({"x": x}, seed=1) == ()
    rare = np.zeros((200, 2))
    rare[7] = 1.0
    assert copies({"x": rare}, seed=1) == ()


def test_associations_have_size_and_power() -> None:
    generator = np.random.default_rng(1)
    found = []
    for _ in range(100):
        theta = generator.normal(size=(2, 300))
        noise = generator.normal(size=(300, 10))
        found.append(associations({"a": theta[0], "b": theta[1]}, {"x": theta[0][:, None] + noise}))
    assert all(p["a"] < 1e-6 for p in found)
    # 5 % expected; 400 data sets gave 5.2 %.
    assert np.mean([p["b"] < 0.05 for p in found]) < 0.12
    # A spread that differences between simulations hide, and an even effect.
    spread = np.exp(0.3 * theta[0])[:, None] * noise + 30.0 * generator.normal(size=(300, 1))
    assert associations({"a": theta[0]}, {"x": spread})["a"] < 1e-6
    assert associations({"a": theta[0]}, {"x": theta[0][:, None] ** 2 + noise})["a"] < 1e-6


def test_padding_is_left_out() -> None:
    x = np.array([[1.0, 9.0], [1.0, 2.0], [3.0, 9.0]])
    n = np.array([1, 2, 1])

    def observables(x, n):
        drawn = Simulations({"rate": np.zeros(3)}, {"n": n}, {"x": x}, 0)
        simulator = SimpleNamespace(lengths={"x": "n"})
        return Pilot(simulator, drawn, seed=1, raw=simulator).observables

    assert np.nanmax(observables(x, n)["x"]) == 3.0
    marked, counts = repeats(observables(np.array([[1.0, 5.0], [1.0, 6.0], [3.0, 9.0]]), n * 0 + 1))
    assert marked.tolist() == [True, True, False]
    assert sorted(counts) == [1, 2]


def test_speed_in_words() -> None:
    text = pilot.describe(rate=100.0, size=256, first=1.0, workers=0, batch_size=50).text
    assert "5,000 training steps of 50 take 41 min 40 s" in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulator_report("linear"), "(?s)a Simulator.*'linear'.*bi.get_simulator"),
        (
            lambda: simulator_report(bi.get_simulator("linear"), simulations=49),
            "(?s)'simulations'.*of 50 or more.*49",
        ),
        (lambda: simulator_report(bi.get_simulator("linear"), batch_size=0), "'batch_size'"),
        (lambda: simulator_report(bi.get_simulator("linear"), seed=-1), "'seed'"),
    ],
)
def test_wrong_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_simulator_that_sometimes_raises_gets_a_report() -> None:
    @bi.simulator(prior={"rate": tfd.Uniform(0.0, 1.0)}, engine="python", workers=1)
    def picky(parameters, generator):
        value = parameters["rate"] + generator.normal()
        if value > 2.6:
            raise ValueError("too large")
        return {"x": value}

    report = simulator_report(picky, simulations=300, seed=1)
    assert not report.ok
    assert "fail" in repr(report)


@pytest.mark.parametrize(("error", "severity"), [(KeyError, "problem"), (ValueError, "hint")])
def test_exceptions_are_told_as_what_they_are(error: type[Exception], severity: str) -> None:
    def model(parameters, generator):
        if parameters["rate"] > 0.7:
            raise error("lookup")
        return {"x": parameters["rate"] + generator.normal(size=3)}

    report = report_on(model, n=100, engine="python", on_nonfinite="redraw")
    assert "lookup" in report["failures"].text
    found = advice(report, severity)["failures"]
    assert "% of the simulations fail, the last by" in found
    assert "lookup" in found


def test_context_of_many_numbers_does_not_fill_the_tables() -> None:
    def spectrum(parameters, context, seed):
        noise = tf.random.stateless_normal(tf.shape(context["error"]), seed)
        flux = parameters["rate"][:, None] + context["error"] * noise
        return {"flux": tf.where(context["error"][:, 7:8] > 0.9, np.nan, flux)}

    report = report_on(
        spectrum,
        prior={"rate": tfd.Uniform(0.0, 1.0), "size": tfd.Normal(tf.zeros(3), 1.0)},
        context={"error": tfd.Uniform(tf.zeros(200), 1.0)},
    )
    rows = ["rate", "size[0]", "size[1]", "size[2]", "error"]
    assert report["prior"].table.index.tolist() == rows
    failures = report["failures"]
    assert len(failures.table) == 32
    assert failures.table.index[0] == "error[7]"
    assert "32 of 204 numbers, those that differ most" in failures.text
