"""What authors of extensions get wrong: refused where it happens, before it can spoil a training.

Each class would otherwise be broadcast to another loss, or train and save what no one can load.
"""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.bijections import Affine, Autoregressive, Bijection, Chain, Coupling
from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.flows import Flow
from bayesinn.summaries import Summary
from bayesinn.training.trainable import Trainable

tfd = tfp.distributions
N = 6
X = tf.random.stateless_normal((N, 2), (1, 2))


class Scaled(Bijection):
    """Doubles, and returns the log determinant that ``wrong`` makes of the correct one."""

    reads = None

    def __init__(self, wrong: Any) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x, condition=None):
        return self.wrong(2.0 * x, tf.fill([tf.shape(x)[0]], 2.0 * np.log(2.0)))

    def inverse(self, z, condition=None):
        return self.wrong(z / 2.0, tf.fill([tf.shape(z)[0]], -2.0 * np.log(2.0)))


WRONG_IMAGES = {
    "a column": lambda z, log_det: (z, log_det[:, None]),
    "an element each": lambda z, log_det: (z, tf.stack([log_det, log_det], axis=1)),
    "a number": lambda z, log_det: (z, log_det[0]),
    "a plain number": lambda z, log_det: (z, 0.0),
    "one for all": lambda z, log_det: (z, log_det[:1]),
    "none": lambda z, log_det: (z, None),
    "events alone": lambda z, log_det: z,
    "three": lambda z, log_det: (z, log_det, log_det),
    "other events": lambda z, log_det: (z[:, :1], log_det),
    "no events": lambda z, log_det: (None, log_det),
    "integers": lambda z, log_det: (z, tf.cast(log_det, "int32")),
    "events of integers": lambda z, log_det: (tf.cast(z, "int32"), log_det),
}


@pytest.mark.parametrize("name", WRONG_IMAGES)
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_images_and_log_determinants_have_the_shape_of_the_contract(name, direction) -> None:
    bijection = Scaled(WRONG_IMAGES[name])
    with pytest.raises(InputError, match=rf"^Scaled\.{direction}"):
        getattr(bijection, direction)(X)
    # Inside a chain, and in a graph whose number of rows isn't known.
    traced = tf.function(
        getattr(Chain([bijection]), direction),
        input_signature=[tf.TensorSpec((None, 2), tf.float32)],
    )
    if name != "one for all":
        with pytest.raises(InputError, match=rf"^Scaled\.{direction}"):
            traced(X)


def test_floats_of_another_type_are_cast() -> None:
    bijection = Scaled(lambda z, log_det: (tf.cast(z, "float64"), log_det.numpy().astype("f8")))
    assert {value.dtype for value in Chain([bijection]).forward(X)} == {tf.float32}


class Summed(Affine):
    """Returns what ``wrong`` makes of the correct answer."""

    wrong = None

    def forward(self, x, raw):
        return Summed.wrong(*super().forward(x, raw))


@pytest.mark.parametrize("block", [Coupling, Autoregressive])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda z, log_slope: (z, tf.reduce_sum(log_slope, axis=-1)),
        lambda z, log_slope: (z, tf.reduce_sum(log_slope, axis=-1, keepdims=True)),
        lambda z, log_slope: (z, 0.0),
        lambda z, log_slope: (z[:1], log_slope),
        lambda z, log_slope: z,
    ],
)
def test_log_slopes_are_those_of_elements(block, wrong, monkeypatch) -> None:
    monkeypatch.setattr(Summed, "wrong", staticmethod(wrong))
    with pytest.raises(InputError, match=r"^Summed\.forward"):
        block(transform=Summed(), hidden=(4,)).forward(tf.ones((N, 4)))


class Gauss(Flow):
    """A standard normal distribution; ``method`` returns what ``wrong`` makes of its answer."""

    def __init__(self, method: str, wrong: Any) -> None:
        super().__init__()
        self.wrong = {"loss": lambda y: y, "log_prob": lambda y: y, "sample": lambda y: y}
        self.wrong[method] = wrong

    def log_prob(self, x, condition=None):
        return self.wrong["log_prob"](-0.5 * tf.reduce_sum(x**2, axis=-1))

    def loss(self, x, condition=None, *, seed=None, progress=1.0, training=False):
        return self.wrong["loss"](0.5 * tf.reduce_sum(x**2, axis=-1))

    def sample(self, n, condition=None, *, seed):
        return self.wrong["sample"](tf.random.stateless_normal((n, 2), seed))


@pytest.mark.parametrize("method", ["loss", "log_prob"])
@pytest.mark.parametrize(
    "wrong", [lambda y: y[:, None], tf.reduce_mean, lambda y: y[:1], lambda y: None]
)
def test_losses_and_densities_have_a_number_for_each_event(method: str, wrong: Any) -> None:
    flow = Gauss(method, wrong)
    flow.build((2,))
    with pytest.raises(InputError, match=rf"^Gauss\.{method}, result"):
        getattr(flow, method)(X)


@pytest.mark.parametrize("wrong", [lambda x: x[:3], lambda x: x[..., :1], lambda x: x[None]])
def test_draws_have_the_shape_of_events(wrong: Any) -> None:
    flow = Gauss("sample", wrong)
    flow.build((2,))
    with pytest.raises(InputError, match=r"^Gauss\.sample, draws"):
        flow.sample(4, seed=(1, 2))


class Pooled(Summary):
    """Returns what ``wrong`` makes of the data."""

    def __init__(self, wrong: Any) -> None:
        super().__init__()
        self.wrong = wrong

    def call(self, x, mask=None):
        return self.wrong(x)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x[..., None],
        lambda x: tf.reduce_mean(x, axis=-1),
        lambda x: x[:1],
        lambda x: {"features": x[:, :, None]},
        lambda x: {"features": x, "map": x[:3]},
        lambda x: {"features": x, "map": None},
        lambda x: {"features": x, 3: x},
        lambda x: x[:, :0],
    ],
)
def test_summaries_are_vectors(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^Pooled\.call"):
        Pooled(wrong)(X)


class Column(bi.estimators.Estimator):
    """Least squares, whose loss is of shape (n, n)."""

    def trainable(self, rows, seed):
        return _Column()


class _Column(Trainable):
    def initialize(self, batch, seed):
        self.network = keras.layers.Dense(1)
        self.network(batch["x"])

    def loss(self, batch, seed, progress, training):
        return (self.network(batch["x"]) - batch["y"]) ** 2


class Late(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(1), keras.layers.Dense(1)]

    def call(self, x):
        return self.parts[0](x) + self.parts[1](x)


class _Late(_Column):
    built = 1

    def initialize(self, batch, seed):
        self.network = Late()
        for part in self.network.parts[: self.built]:
            part(batch["x"])
        self.network.built = True


class _Never(_Late):
    built = 0


class _Nothing(_Column):
    def initialize(self, batch, seed):
        pass


class _Function(_Column):
    def initialize(self, batch, seed):
        self.network = keras.layers.Dense(1).call


class _Constant(_Column):
    def loss(self, batch, seed, progress, training):
        return batch["y"]


ROWS = {"x": np.ones((60, 2), "f4"), "y": np.ones(60, "f4")}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_Column, r"_Column\.loss, result(?s:.)*\(n,\)"),
        (_Late, "2 more, made when the loss"),
        (_Never, "weights to train"),
        (_Nothing, r"_Nothing\.network(?s:.)*a Keras layer"),
        (_Function, r"_Function\.network(?s:.)*a Keras layer"),
        (_Constant, r"_Constant\.loss(?s:.)*depend on the weights"),
    ],
)
def test_losses_of_a_trainable(model: type[Trainable], message: str, monkeypatch) -> None:
    monkeypatch.setattr(Column, "trainable", lambda self, rows, seed: model())
    with pytest.raises(InputError, match=message):
        Column().fit(ROWS, epochs=1, batch_size=10, validation=0, progress=False)


class Regressing(Summary):
    """Has a head that only the loss of its own calls, which returns what ``rank`` says."""

    shapes = ("(n, steps)",)
    masks = False

    def __init__(self, rank: int = 1) -> None:
        super().__init__()
        self.network = keras.layers.Dense(3)
        self.head = keras.layers.Dense(2)
        self.rank = rank

    def call(self, x, mask=None):
        return self.network(x)

    def auxiliary_loss(self, vector, x, entries=None):
        errors = (self.head(self.network(x)) - vector) ** 2
        return errors if self.rank == 2 else tf.reduce_sum(errors, axis=-1)


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0), "log_sd": tfd.Normal(0.0, 0.5)})
def five(parameters, seed):
    mean = parameters["mean"][:, None]
    noise = tf.random.stateless_normal((tf.shape(mean)[0], 5), seed)
    return {"x": mean + tf.exp(parameters["log_sd"])[:, None] * noise}


def _regressing(rank: int) -> bi.AmortizedPosterior:
    flow = bi.flows.coupling(blocks=1, hidden=(4,))
    return bi.AmortizedPosterior(five, summary=Regressing(rank), flow=flow)


def test_layers_of_an_auxiliary_loss_are_trained_and_saved(tmp_path) -> None:
    posterior = _regressing(1)
    rows = five.sample(64, seed=1)
    start = posterior.trainable(rows, 1)
    start.initialize(rows, 1)
    posterior.fit(rows, epochs=2, seed=1, validation=0, progress=False)
    again = bi.load(posterior.save(tmp_path / "saved"))
    head, loaded, first = (
        model.network.summaries["x"].head.kernel.numpy()
        for model in (posterior.model, again.model, start)
    )
    np.testing.assert_array_equal(loaded, head)
    assert not np.allclose(head, first)
    with pytest.raises(InputError, match=r"^Regressing\.auxiliary_loss"):
        _regressing(2).fit(rows, epochs=1, progress=False)


class Line(bi.estimators.Estimator):
    """Least squares with as many units as the constructor is told."""

    def __init__(self, units: int = 1, fault: str = "") -> None:
        super().__init__()
        self.units = units
        self.fault = fault

    def configuration(self) -> dict[str, Any]:
        return {"units": self.units, "fault": self.fault}

    def trainable(self, rows, seed):
        if self.fault and np.all(rows["x"] == 1.0):
            raise KeyError(self.fault)
        return _Line(self.units)


class _Line(Trainable):
    def __init__(self, units: int) -> None:
        self.units = units

    def initialize(self, batch, seed):
        self.network = keras.layers.Dense(self.units)
        self.network(batch["x"])

    def loss(self, batch, seed, progress, training):
        return tf.reduce_mean((self.network(batch["x"]) - batch["y"][:, None]) ** 2, axis=-1)


class Forgotten(Line):
    configuration = bi.estimators.Estimator.configuration


class Incomplete(Line):
    def __init__(self, units: int, other: int) -> None:
        super().__init__(units)

    def configuration(self) -> dict[str, Any]:
        return {"units": self.units}


class Misspelt(Line):
    def configuration(self) -> dict[str, Any]:
        return {"unit": self.units}


@pytest.mark.parametrize("estimator", [Forgotten(2), Incomplete(2, 3), Misspelt(2)])
def test_what_could_not_be_built_again_is_not_trained(estimator: Line) -> None:
    name = type(estimator).__name__
    with pytest.raises(InputError, match=rf"^{name}\.configuration\(\)(?s:.)*'units'"):
        estimator.fit(ROWS, epochs=1, progress=False)


class Undecided(Line):
    def configuration(self) -> Any:
        return None


class Bare(bi.estimators.Estimator):
    def trainable(self, rows, seed):
        return keras.layers.Dense(1)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [(Undecided(2), "None, no dict"), (Bare(), r"Bare\.trainable, result(?s:.*)a Trainable")],
)
def test_answers_of_other_types_are_refused(
    estimator: bi.estimators.Estimator, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        estimator.fit(ROWS, epochs=1, progress=False)


def test_rows_that_no_memory_holds_are_refused(tmp_path) -> None:
    line = Line(2).fit(ROWS, epochs=1, validation=0, progress=False)
    file = line.save(tmp_path / "line") / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["rows"]["x"]["shape"] = [10**6, 10**6]
    file.write_text(json.dumps(manifest))
    with pytest.raises(SavedPosteriorError, match=r"entry 'rows'(?s:.*)which need"):
        bi.load(file.parent)


def test_the_folder_is_not_blamed_for_what_an_author_has_written(tmp_path) -> None:
    line = Line(2, fault="x1").fit(
        ROWS | {"x": np.zeros((60, 2), "f4")}, epochs=1, validation=0, progress=False
    )
    folder = line.save(tmp_path / "line")
    with pytest.raises(
        SavedPosteriorError,
        match=r"Line(?s:.)*KeyError: 'x1'(?s:.)*test_wrong_extensions.py, line \d+(?s:.)*mend",
    ) as told:
        bi.load(folder)
    assert "copy the whole folder" not in str(told.value)
