"""Learning curves: the predicted gain, its interval, and what is said of it."""

import numpy as np
import pytest

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.diagnostics import learning_curve

SIZES = np.array([125, 250, 500, 1_000])


def measured(levels, seed, *, noise=0.002, held_out=300, sizes=SIZES):
    """Held-out values around levels: training noise that falls with size, and held-out noise."""
    generator = np.random.default_rng(seed)
    training = (
        noise
        * (sizes / sizes[-1])[:, None, None] ** -0.5
        * generator.normal(size=(len(sizes), 3, 1))
    )
    return np.asarray(levels)[:, None, None] + training + generator.normal(size=held_out)


def power_law(exponent, gain):
    """Levels of which twice the last size gains this much."""
    return 2.0 + gain / (1.0 - 2.0**-exponent) * (SIZES / SIZES[-1]) ** -exponent


@pytest.mark.parametrize(
    ("exponent", "gain"), [(0.3, 0.02), (0.5, 0.03), (1.0, 0.025), (1.5, 0.04)]
)
def test_gain_of_a_power_law_lies_in_its_interval(exponent, gain):
    gains = [
        learning_curve(measured(power_law(exponent, gain), seed), SIZES).gain for seed in range(60)
    ]
    covered = np.mean([found.lower < gain < found.upper for found in gains])
    # 90 % nominally; measured 0.88 to 0.98. The mean error is a tenth of the gain at most.
    assert covered > 0.8
    assert abs(np.mean([found.nats for found in gains]) - gain) < 0.15 * gain


def test_without_noise_the_gain_is_that_of_the_curve():
    found = learning_curve(measured(power_law(1.0, 0.025), 1, noise=1e-6), SIZES).gain
    assert found.nats == pytest.approx(0.025, rel=0.01)


def test_errors_of_gains_are_paired():
    """Common parts of held-out data cancel: errors of gains are far below those of levels."""
    table = learning_curve(measured(power_law(1.0, 0.025), 1), SIZES).table
    assert table["gain"][1:].to_numpy() == pytest.approx(
        [0.1, 0.05, 0.025][:3] * np.array([2.0, 2.0, 2.0]), abs=0.02
    )
    assert (table["error"] > 0.05).all()
    assert (table["gain_error"][1:] < 0.01).all()


def test_what_is_said():
    large = learning_curve(measured(power_law(1.0, 0.08), 1), SIZES)
    assert repr(large).startswith(
        f"Twice as many simulations would gain about {large.gain.nats:.2g} nats (0.0"
    )
    flat = learning_curve(measured(np.full(4, 2.0), 2, noise=0.001), SIZES)
    assert flat.is_conclusive
    assert "would gain at most 0.00" in repr(flat)
    lost = learning_curve(measured(np.full(4, 2.0), 1, noise=0.2), SIZES)
    assert not lost.is_conclusive
    assert "can't be told: -" in repr(lost)


@pytest.mark.parametrize("levels", [[2.3, 2.2], [2.3, np.inf, 2.1, 2.05]])
def test_too_few_sizes_and_infinite_levels_tell_nothing(levels):
    with np.errstate(invalid="ignore"):
        advice = learning_curve(
            measured(levels, 1, sizes=SIZES[: len(levels)]), SIZES[: len(levels)]
        )
    assert np.isnan(advice.gain.nats)
    few = len(levels) < 3
    do = "pass three or more sizes" if few else "train for longer"
    assert f"can't be told; {do}\n" in repr(advice)
    assert ("Held-out truths with zero or undefined density: 300" in repr(advice)) != few


def test_a_truth_that_a_network_excludes_is_counted():
    nats = measured(power_law(1.0, 0.08), 1)
    nats[2, 1, 7] = np.inf
    with np.errstate(invalid="ignore"):
        advice = learning_curve(nats, SIZES)
    assert advice.impossible == 1
    assert "\n  Held-out truths with zero or undefined density: 1\n" in repr(advice)
    assert "pass more repeats" in repr(
        learning_curve(measured(np.full(4, 2.0), 1, noise=0.2), SIZES)
    )


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((4, 1, 9), SIZES), ((4, 3, 9), SIZES[::-1]), ((3, 3, 9), SIZES), ((4, 3), SIZES)],
)
def test_wrong_arrays_are_refused(shape, sizes):
    with pytest.raises(InputError, match="repeat each size"):
        learning_curve(np.zeros(shape), sizes)


def test_figure_has_the_curve_and_the_expected_point():
    advice = learning_curve(measured(power_law(1.0, 0.08), 1), SIZES)
    (ax,) = plots.learning_curve(advice, floor=2.0).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "125",
        "250",
        "500",
        "1,000",
        "2,000",
    ]
    curve, expected = (container.lines[0] for container in ax.containers)
    assert curve.get_ydata() == pytest.approx(advice.table["nats"])
    assert expected.get_ydata() == pytest.approx(advice.table["nats"].iloc[-1] - advice.gain.nats)
    # Nothing is drawn where nothing can be told.
    unknown = learning_curve(measured([2.3, 2.2], 1, sizes=SIZES[:2]), SIZES[:2])
    assert len(plots.learning_curve(unknown).axes[0].containers) == 1
