"""Which changes of a prior are seen in what banks and posteriors up to version 0.1.0 kept: quantiles."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core import seeds
from bayesinn.core.errors import BankError
from bayesinn.simulation import identity, quantiles

tfd = tfp.distributions
OWNER = identity.Owner("the bank 'x'", "made this bank", "use another", BankError)
LEVELS = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
DOSES = tfd.Uniform(0.5, 2.0)


def simulator(prior, context=DOSES) -> bi.Simulator:
    @bi.simulator(prior={"rate": prior}, context={"dose": context}, name="trial")
    def function(parameters, context, seed):
        rows = tf.shape(context["dose"])[0]
        return {
            "y": tf.reduce_sum(
                tf.reshape(tf.cast(parameters["rate"], tf.float32), (rows, -1)), axis=1
            )
        }

    return function


def shared_entries(one: bi.Simulator) -> dict:
    """What those versions wrote."""
    shapes = {
        kind: {name: list(shape) for name, shape in own.items()} for kind, own in one.shapes.items()
    }
    prior = {
        name: np.quantile(values, LEVELS, axis=0, method="inverted_cdf").T.tolist()
        for name, values in quantiles.fixed_draws(one).items()
    }
    return {**shapes, "prior": prior}


def check_same(saved: dict, one: bi.Simulator) -> None:
    identity.check(saved, one, OWNER)


PRIORS = {
    "uniform": tfd.Uniform(0.5, 2.0),
    "normal": tfd.Normal(3.0, 2.0),
    "constant in single precision": tfd.Normal(1e6, 1e-3),
    "heavy tail": tfd.LogNormal(0.0, 3.0),
    "counts": tfd.Poisson(3.0),
    "two values": tfd.Bernoulli(probs=0.99),
    "simplex": tfd.Dirichlet([0.5, 1.0, 2.0]),
    "vector": tfd.Normal([0.0, 5.0, 7.0], [1.0, 2.0, 3.0]),
    "matrix": tfd.Uniform(tf.zeros((3, 2)), 1.0),
}


@pytest.mark.parametrize("name", PRIORS)
def test_the_same_prior_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = simulator(PRIORS[name])
    check_same(shared_entries(one), simulator(PRIORS[name]))
    # Other versions, machines and numbers of threads may draw others.
    saved = shared_entries(one)
    tensor_seed = seeds.tensor_seed
    for other in range(1, 21):
        monkeypatch.setattr(
            seeds, "tensor_seed", lambda seed, stream, other=other: tensor_seed(other, stream)
        )
        check_same(saved, one)


CHANGES = {
    "ten times as large": (tfd.Uniform(0.5, 2.0), tfd.Uniform(5.0, 20.0)),
    "another family": (tfd.Normal(0.0, 1.0), tfd.LogNormal(0.0, 1.0)),
    "integers": (tfd.Uniform(0.5, 2.0), tfd.Poisson(1.0)),
    "wider by a fifth": (tfd.Normal(0.0, 1.0), tfd.Normal(0.0, 1.2)),
    "one probability": (tfd.Bernoulli(probs=0.97), tfd.Bernoulli(probs=0.9)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_prior_is_refused(name: str) -> None:
    before, after = CHANGES[name]
    saved = shared_entries(simulator(before))
    with pytest.raises(
        BankError, match=r"(?s)'trial'.*got: .*'rate' with prior quantiles 1 % .*in place"
    ):
        check_same(saved, simulator(after))


def test_the_element_that_differs_is_named() -> None:
    saved = shared_entries(simulator(tfd.Normal([0.0, 5.0, 7.0], 1.0)))
    with pytest.raises(BankError, match="'rate', element 1, with prior quantiles"):
        check_same(saved, simulator(tfd.Normal([0.0, 6.0, 7.0], 1.0)))


def test_the_context_counts_too() -> None:
    saved = shared_entries(simulator(tfd.Normal(0.0, 1.0)))
    with pytest.raises(BankError, match="'dose' with prior quantiles"):
        check_same(saved, simulator(tfd.Normal(0.0, 1.0), context=tfd.Uniform(1.0, 3.0)))


def test_what_format_1_did_not_save_is_not_compared() -> None:
    saved = {**shared_entries(simulator(tfd.Uniform(0.5, 2.0))), "prior": {}}
    check_same(saved, simulator(tfd.Uniform(5.0, 20.0)))


def test_quantiles_of_another_shape_are_refused() -> None:
    saved = shared_entries(simulator(tfd.Uniform(0.5, 2.0)))
    for rows in ([[1.0] * 6], [[1.0] * 7] * 2, [], [[1.0] * 7, [1.0]]):
        with pytest.raises(BankError, match="'rate'"):
            check_same({**saved, "prior": {"rate": rows}}, simulator(tfd.Uniform(0.5, 2.0)))


def test_many_columns_are_left_short() -> None:
    quantiles = shared_entries(simulator(tfd.Normal(tf.zeros(500), 1.0)))["prior"]["rate"]
    assert np.shape(quantiles) == (100, 7)
