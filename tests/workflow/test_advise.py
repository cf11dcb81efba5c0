"""Advice on more simulations: a curve that falls to the exact nats, and a gain that doubling then has."""

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators import linear
from tests.helpers.models import small_flow

SIZES, STEPS, REPEATS = [100, 200, 400], 400, 2


def template():
    return bi.AmortizedPosterior(linear.linear, flow=small_flow())


@pytest.fixture(scope="module")
def simulations():
    return linear.linear.sample(1_600, seed=1)


@pytest.mark.slow
def test_gain_of_doubling_is_the_one_predicted(simulations):
    own = template()
    advice = bi.advise(own, simulations, sizes=SIZES, repeats=REPEATS, steps=STEPS, seed=1, progress=False)
    assert not own.trained
    nats = advice.table["nats"].to_numpy()
    assert (np.diff(nats) < 0.0).all()
    # Not below the exact nats, and not far above: measured 0.05 with a standard error of 0.05.
    assert -3.0 * advice.table["error"].iloc[-1] < nats[-1] - linear.entropy() < 0.15
    doubled = bi.advise(own, simulations, sizes=[400, 800], repeats=REPEATS, steps=STEPS, seed=1, progress=False)
    gained, error = doubled.table["gain"].iloc[-1], doubled.table["gain_error"].iloc[-1]
    assert advice.gain.lower - 2.0 * error < gained < advice.gain.upper + 2.0 * error


def test_sizes_and_parts(simulations, monkeypatch):
    """A fixed tenth is held out; parts of one size are disjoint, and contain those of a smaller size."""
    seen = []

    def record(self, data, **options):
        seen.append((len(data["y"]), set(data["y"].tolist()), options["seed"]))
        return self

    def nothing(self, parameters, data):
        seen[-1] += (set(data["y"].tolist()),)
        return np.zeros(len(data["y"]))

    monkeypatch.setattr(bi.AmortizedPosterior, "fit", record)
    monkeypatch.setattr(bi.AmortizedPosterior, "log_prob", nothing)
    bi.advise(template(), simulations, progress=False)
    # 1,600 rows: a quarter is held out, as a tenth would be fewer than 500.
    assert [size for size, *_ in seen] == 3 * [150, 300, 600, 1_200]
    apart = seen[0][3]
    assert len(apart) == 400
    assert all(part[3] == apart and not part[1] & apart for part in seen)
    assert len({seed for _, _, seed, _ in seen}) == 12
    for repeat in range(3):
        own = [part[1] for part in seen[4 * repeat : 4 * repeat + 4]]
        assert own[0] < own[1] < own[2] < own[3]
    assert not seen[0][1] & seen[4][1]
    assert not seen[4][1] & seen[8][1]
    assert not seen[0][1] & seen[8][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [200, 100]}, "increasing"),
        ({"sizes": [200]}, "two or more"),
        ({"sizes": [200, 5_000]}, "from 20 to 1,200"),
        ({"repeats": 1}, "'repeats'"),
    ],
)
def test_bad_arguments_are_refused(simulations, options, message):
    with pytest.raises(InputError, match=message):
        bi.advise(template(), simulations, progress=False, **options)


def test_too_few_simulations_are_refused(simulations):
    few = {name: value[:100] for name, value in simulations.items()}
    with pytest.raises(InputError, match="pass more data"):
        bi.advise(template(), few, progress=False)
