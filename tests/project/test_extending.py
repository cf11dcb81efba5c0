"""What a user writes to extend the library: bijections, summaries, flows, a diagnostic, a trainable,
estimators of a likelihood and of the model, posteriors of other makers.

Each is one class or function of at most 40 lines. It trains, is saved and loaded in a fresh
process, is diagnosed and reported, and the library knows nothing of it.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib.figure import Figure

import bayesinn as bi
from bayesinn.bijections import Bijection, Chain, Coupling, Haar, MultiScale, Reshape, Subnet
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow, InvertibleFlow
from bayesinn.summaries import Summary
from bayesinn.testing import check_bijection, check_summary
from bayesinn.training.trainable import Batch, Trainable

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0), "log_sd": tfd.Normal(0.0, 0.5)})
def sample_of_ten(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    mean = parameters["mean"][:, None]
    log_sd = parameters["log_sd"][:, None]
    return {"x": mean + tf.exp(log_sd) * tf.random.stateless_normal((tf.shape(mean)[0], 10), seed)}


class Shift(Bijection):
    """Shift vectors by a linear function of the condition."""

    def build(self, event_shape, condition_shape=None) -> None:
        super().build(event_shape, condition_shape)
        if condition_shape is not None:
            shape = (self.condition_dimension, self.dimension)
            self.slope = self.add_weight(shape=shape, initializer="zeros", name="slope")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return x + self._shift(condition), tf.zeros_like(x[:, 0])

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return z - self._shift(condition), tf.zeros_like(z[:, 0])

    def _shift(self, condition: tf.Tensor | None) -> tf.Tensor | float:
        return 0.0 if condition is None else condition @ tf.convert_to_tensor(self.slope)


class Moments(Summary):
    """Mean and logarithm of the standard deviation, then a dense layer."""

    shapes = ("(n, elements)",)
    masks = False
    order = "set"

    def __init__(self, units: int = 4) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, axes=[1])
        return self.dense(tf.stack([mean, 0.5 * tf.math.log(variance + 1e-3)], axis=-1))


class WithMap(Summary):
    """A vector, and a map of the data with channels for each element."""

    shapes = ("(n, elements)",)
    masks = False

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.convolution = keras.layers.Conv1D(channels, 3, padding="same", activation="silu")
        self.dense = keras.layers.Dense(channels)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        cells = self.convolution(x[..., None])
        return {"features": self.dense(tf.reduce_mean(cells, axis=1)), "map": cells}


class ShiftByMap(Bijection):
    """Shift vectors by a linear function of all cells of a map."""

    reads = "map"

    def build(self, event_shape, condition_shape=None) -> None:
        super().build(event_shape, condition_shape)
        shape = (*condition_shape, *event_shape)
        self.slope = self.add_weight(shape=shape, initializer="zeros", name="slope")

    def forward(self, x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x + self._shift(condition), tf.zeros_like(x[:, 0])

    def inverse(self, z: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return z - self._shift(condition), tf.zeros_like(z[:, 0])

    def _shift(self, cells: tf.Tensor) -> tf.Tensor:
        return tf.tensordot(cells, tf.convert_to_tensor(self.slope), axes=2)


class ConditionalGaussian(Flow):
    """A normal distribution whose mean and standard deviations are linear in the condition."""

    def build(self, event_shape, condition_shape=None) -> None:
        self.parameters = keras.layers.Dense(2 * event_shape[0])
        self.parameters.build((None, *condition_shape))
        super().build(event_shape, condition_shape)

    def _law(self, condition: tf.Tensor) -> tfd.Distribution:
        mean, log_sd = tf.split(self.parameters(condition), 2, axis=-1)
        return tfd.MultivariateNormalDiag(mean, tf.exp(tf.minimum(log_sd, 5.0)))

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        return self._law(condition).log_prob(x)

    def sample(self, n: int | tf.Tensor, condition: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
        return tf.transpose(self._law(condition).sample(n, seed=seed), (1, 0, 2))


class Generator(Flow):
    """A network of condition and noise, trained by the energy score: no density, and no codes."""

    nats = False

    def build(self, event_shape, condition_shape=None) -> None:
        self.network = keras.Sequential(
            [keras.layers.Dense(32, "silu"), keras.layers.Dense(event_shape[0])]
        )
        self.network.build((None, event_shape[0] + condition_shape[0]))
        super().build(event_shape, condition_shape)

    def sample(self, n: int | tf.Tensor, condition: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(
            (tf.shape(condition)[0] * n, *self.event_shape), seed, alg="philox"
        )
        draws = self.network(tf.concat([noise, tf.repeat(condition, n, axis=0)], axis=-1))
        return tf.reshape(draws, (-1, n, *self.event_shape))

    def loss(self, x, condition=None, *, seed=None, progress=1.0, training=False) -> tf.Tensor:
        draws = self.sample(2, condition, seed=tf.zeros((2,), tf.int32) if seed is None else seed)
        distance = tf.reduce_mean(tf.norm(draws - x[:, None] + 1e-9, axis=-1), axis=1)
        return distance - 0.5 * tf.norm(draws[:, 0] - draws[:, 1] + 1e-9, axis=-1)


class ScaleMixture(ConditionalGaussian):
    """The normal distribution with a random scale, whose density is an integral over that."""

    density = "costly"

    def build(self, event_shape, condition_shape=None) -> None:
        super().build(event_shape, condition_shape)
        self.spread = self.add_weight(shape=(), initializer="zeros", name="spread")

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        nodes, weights = np.polynomial.hermite_e.hermegauss(16)
        spread = tf.convert_to_tensor(self.spread)
        law = self._law(condition)
        terms = [
            tfd.MultivariateNormalDiag(law.loc, law.stddev() * tf.exp(spread * node)).log_prob(x)
            for node in nodes.astype(np.float32)
        ]
        shares = (weights / weights.sum()).astype(np.float32)
        return tf.reduce_logsumexp(tf.stack(terms) + tf.math.log(shares)[:, None], axis=0)

    def sample(self, n: int | tf.Tensor, condition: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
        draws = super().sample(n, condition, seed=seed)
        centre = self._law(condition).loc[:, None]
        node = tf.random.stateless_normal(
            (*tf.unstack(tf.shape(draws)[:2]), 1), seed + 1, alg="philox"
        )
        return centre + (draws - centre) * tf.exp(tf.convert_to_tensor(self.spread) * node)


@bi.simulator(prior={"image": tfd.Independent(tfd.Normal(tf.zeros((4, 4, 1)), 1.0), 3)})
def noisy_image(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    image = parameters["image"]
    return {"seen": image + 0.5 * tf.random.stateless_normal(tf.shape(image), seed)}


@dataclasses.dataclass(frozen=True, repr=False)
class Wide(Subnet):
    """A convolution that sees most of a small image, then one of single pixels."""

    filters: int = 8

    def network(self, features, outputs, dtype=None) -> keras.layers.Layer:
        wide = keras.layers.Conv2D(self.filters, 5, padding="same", activation="relu", dtype=dtype)
        last = keras.layers.Conv2D(outputs, 1, kernel_initializer="zeros", dtype=dtype)
        return keras.Sequential([wide, last])


class Checkerboard(Bijection):
    """Shift the black pixels of an image by what a network sees of the white ones."""

    event_rank = 3

    def __init__(self, subnet: Subnet = Wide()) -> None:
        super().__init__()
        self.subnet = subnet

    def build(self, event_shape, condition_shape=None) -> None:
        super().build(event_shape, condition_shape)
        places = np.indices(self.event_shape[:-1]).sum(axis=0)[..., None]
        self.white = (places % 2).astype(self.variable_dtype)
        features = self.channels + self.condition_dimension
        self.network = self.subnet.network(features, self.channels, self.dtype_policy)
        self.network.build((None, *self.event_shape[:-1], features))

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return x + self._shift(x, condition), tf.zeros_like(x[:, 0, 0, 0])

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return z - self._shift(z, condition), tf.zeros_like(z[:, 0, 0, 0])

    def _shift(self, x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        seen = self.subnet.evaluate(self.network, self.white * x, condition)
        return (1.0 - self.white) * tf.cast(seen, x.dtype)


def multi_scale() -> MultiScale:
    """Two levels, the first of which finishes three of four channels."""
    first = Chain([Checkerboard(), Haar(), Coupling(subnet=Wide())])
    second = Chain([Haar(), Coupling(subnet=Wide())])
    return MultiScale([first, second], finished=0.75)


IMAGES = {"image bijection": Checkerboard, "multi-scale chain": multi_scale}


class Bias:
    """Mean distance of the posterior mean from the truth, over the mean posterior sd."""

    def __init__(self, given) -> None:
        distances = [given.draws[name].mean(axis=1) - given.truth[name] for name in given.truth]
        sds = [given.draws[name].std(axis=1).mean() for name in given.truth]
        self.value = float(max(abs(d.mean()) / sd for d, sd in zip(distances, sds, strict=True)))
        self.summary = f"largest bias {self.value:.2f} posterior sd"


def draw_bias(result: Bias, *, labels=None, figure=None) -> Figure:
    figure = figure or Figure(figsize=(3.0, 2.0))
    figure.subplots().bar(["largest bias"], [result.value])
    return figure


BIAS = bi.diagnosis.Check(
    name="bias",
    group="sharpness",
    run=Bias,
    question="How far posterior means are from the truth on average.",
    figures={
        "bias": (draw_bias, "In posterior standard deviations; zero for a correct posterior.")
    },
)


class LeastSquares(Trainable):
    """A linear map, trained by least squares."""

    def __init__(self) -> None:
        self.network = keras.layers.Dense(1)

    def initialize(self, batch: Batch, seed: int) -> None:
        self.network.build((None, batch["x"].shape[1]))

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        return (self.network(batch["x"])[:, 0] - batch["y"]) ** 2


class Regression(bi.estimators.Estimator):
    """A linear regression, fitted to arrays."""

    def trainable(self, rows, seed) -> Trainable:
        return LeastSquares()


class DataGivenParameters(Trainable):
    """A flow whose event is the data, and whose condition the parameters."""

    def __init__(self, flow: Flow) -> None:
        self.network = flow

    def prepare(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        return batch["x"], tf.stack([batch["mean"], batch["log_sd"]], axis=-1)

    def initialize(self, batch: Batch, seed: int) -> None:
        self.network.initialize(*self.prepare(batch))

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        event, condition = self.prepare(batch)
        return self.network.loss(event, condition, seed=seed, progress=progress, training=training)


class Likelihood(bi.estimators.Estimator):
    """The density of data, given parameters."""

    def __init__(self, simulator: bi.Simulator, flow: Flow) -> None:
        super().__init__(simulator)
        self.flow = flow

    def configuration(self) -> dict[str, object]:
        return {"flow": self.flow}

    def trainable(self, rows, seed) -> Trainable:
        return DataGivenParameters(clone(self.flow))

    def log_prob(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.model.network.log_prob(*self.model.prepare(rows)).numpy()


class ModelGivenData(Trainable):
    """A summary network, whose features are the log odds of each model."""

    def __init__(self, summary: Summary) -> None:
        self.network = summary

    def initialize(self, batch: Batch, seed: int) -> None:
        self.network(batch["x"])

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        return keras.losses.sparse_categorical_crossentropy(
            batch["model"], self.network(batch["x"]), from_logits=True
        )


class Comparison(bi.estimators.Estimator):
    """The probability of each model, given data."""

    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self.summary = summary

    def configuration(self) -> dict[str, object]:
        return {"summary": self.summary}

    def trainable(self, rows, seed) -> Trainable:
        return ModelGivenData(clone(self.summary))

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        return tf.nn.softmax(self.model.network(tf.constant(x))).numpy()


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def noisy_mean(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    mean = parameters["mean"]
    return {"x": mean + tf.random.stateless_normal(tf.shape(mean), seed)}


def exact_mean(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw from the posterior of a mean, the data half as far from zero."""
    noise = np.random.default_rng(seed).normal(size=(len(data["x"]), draws))
    return {"mean": data["x"][:, None] / 2 + np.sqrt(0.5) * noise}


OWN = {
    "bijection": {"flow": InvertibleFlow(Chain([Shift(), Coupling(hidden=(8,))]))},
    "summary": {"summary": Moments()},
    "condition with a map": {
        "flow": InvertibleFlow(Chain([ShiftByMap(), Coupling(hidden=(8,))], reversible=True)),
        "summary": WithMap(),
    },
    "flow": {"flow": ConditionalGaussian(), "summary": bi.summaries.MLP(4, hidden=(16,))},
    "flow without density": {"flow": Generator(), "summary": bi.summaries.MLP(4, hidden=(16,))},
    "flow with a costly density": {
        "flow": ScaleMixture(),
        "summary": bi.summaries.MLP(4, hidden=(16,)),
    },
}
READ = """
import sys
import numpy as np
import bayesinn as bi
from tests.project.test_extending import sample_of_ten
posterior = bi.load(sys.argv[1], simulator=sample_of_ten)
np.savez(sys.argv[2], **posterior.sample({"x": np.linspace(-1.0, 1.0, 10)}, draws=20, seed=1))
"""


READ_IMAGES = """
import sys
import numpy as np
import bayesinn as bi
from tests.project.test_extending import noisy_image
posterior = bi.load(sys.argv[1], simulator=noisy_image)
np.savez(sys.argv[2], **posterior.sample({"seen": np.ones((4, 4, 1))}, draws=5, seed=1))
"""


@pytest.mark.parametrize(
    "parts",
    [
        [Shift],
        [Moments],
        [WithMap],
        [ShiftByMap],
        [ConditionalGaussian],
        [Generator],
        [ScaleMixture],
        [Wide],
        [Checkerboard],
        [multi_scale],
        [Bias],
        [LeastSquares, Regression],
        [DataGivenParameters, Likelihood],
        [ModelGivenData, Comparison],
        [exact_mean],
    ],
)
def test_extensions_are_short(parts: list[Callable[..., object]]) -> None:
    assert sum(len(inspect.getsource(part).splitlines()) for part in parts) <= 40


def test_contracts_hold() -> None:
    check_bijection(Shift)
    check_summary(Moments, (10,))
    check_summary(WithMap, (10,))
    for make in IMAGES.values():
        check_bijection(make, event_shape=(4, 4, 1))


@pytest.fixture(scope="module")
def trained() -> Mapping[str, bi.AmortizedPosterior]:
    return {
        name: bi.AmortizedPosterior(sample_of_ten, **networks).fit(
            steps=100, batch_size=64, seed=1, progress=False
        )
        for name, networks in OWN.items()
    }


def test_saved_and_loaded_in_a_fresh_process(trained, tmp_path: Path, fresh_python) -> None:
    for name, posterior in trained.items():
        posterior.save(tmp_path / name)
        fresh_python(READ, tmp_path / name, tmp_path / f"{name}.npz")
        draws = posterior.sample({"x": np.linspace(-1.0, 1.0, 10)}, draws=20, seed=1)
        for parameter, values in np.load(tmp_path / f"{name}.npz").items():
            np.testing.assert_array_equal(values, draws[parameter])


@pytest.mark.parametrize("name", IMAGES)
def test_images_as_parameters(name: str, tmp_path: Path, fresh_python) -> None:
    flow = InvertibleFlow(Chain([Reshape((4, 4, 1)), IMAGES[name]()]))
    posterior = bi.AmortizedPosterior(noisy_image, flow=flow)
    posterior.fit(steps=20, batch_size=32, seed=1, progress=False)
    posterior.save(tmp_path / "saved")
    fresh_python(READ_IMAGES, tmp_path / "saved", tmp_path / "draws.npz")
    draws = posterior.sample({"seen": np.ones((4, 4, 1))}, draws=5, seed=1)
    assert draws["image"].shape == (5, 4, 4, 1)
    np.testing.assert_array_equal(np.load(tmp_path / "draws.npz")["image"], draws["image"])


def test_resumed(tmp_path: Path) -> None:
    def train(steps: int, **options) -> bi.AmortizedPosterior:
        posterior = bi.AmortizedPosterior(sample_of_ten, **OWN["flow"])
        return posterior.fit(steps=steps, batch_size=64, seed=1, progress=False, **options)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 25:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(50, optimization=bi.Optimization(callbacks=[Stop()]), checkpoint=tmp_path)
    resumed = train(50, checkpoint=bi.Checkpoint(tmp_path, resume=True))
    assert resumed.fingerprint == train(50).fingerprint


def test_diagnosed_and_reported(trained, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("bayesinn.diagnosis.check._registered", {})
    bi.diagnosis.register_check(BIAS)
    for name, posterior in trained.items():
        diagnosis = bi.diagnose(posterior, simulations=60, draws=40, seed=1, progress=False)
        assert "posterior sd" in diagnosis.verdict.loc["bias", "found"]
        page = diagnosis.to_html(tmp_path / f"{name}.html").read_text()
        assert "How far posterior means are from the truth" in page
        # Without latent codes, what needs them is left out, and the diagnosis says so.
        assert ("latent codes: not run" in repr(diagnosis).replace("\n", " ")) == (
            not posterior.flow.codes
        )
        assert (diagnosis["latent"] is None) == (not posterior.flow.codes)
        # So is what needs densities, also where they would be costly.
        assert (diagnosis["joint_coverage"] is None) == (posterior.flow.density != "exact")


def test_densities_are_what_the_flow_declares(trained) -> None:
    data = {"x": np.linspace(-1.0, 1.0, 10)}
    draws = trained["flow"].sample(data, draws=20, seed=1)
    for name, has, cheap in (
        ("flow", True, True),
        ("flow without density", False, False),
        ("flow with a costly density", True, False),
    ):
        posterior = trained[name]
        assert (posterior.density is not None) == has
        assert ("lp" in posterior.infer(data, draws=20, predictive=False).sample_stats) == cheap
        if has:
            assert np.isfinite(posterior.log_prob(draws, data)).all()
        else:
            with pytest.raises(InputError, match="a flow with a density"):
                posterior.log_prob(draws, data)


def test_an_entry_reaches_the_bijection_that_reads_it(trained) -> None:
    flow = trained["condition with a map"].model.network.flow
    assert flow.chain.condition_shape == {"features": (4,), "map": (10, 4)}
    assert flow.chain.bijections[0].condition_shape == (10, 4)
    assert flow.chain.bijections[1].condition_shape == (4,)
    # Near the centre of the prior, the loss has a gradient for each cell.
    assert np.abs(flow.chain.bijections[0].slope.numpy()).min() > 0.0
    with pytest.raises(InputError, match="Condition, entry 'map'"):
        bi.AmortizedPosterior(
            sample_of_ten, flow=InvertibleFlow(ShiftByMap()), summary=Moments()
        ).fit(steps=2, batch_size=16, seed=1, progress=False)


def test_an_entry_that_nothing_reads_is_told() -> None:
    assert OWN["condition with a map"]["flow"].entries == {"features", "map"}
    assert OWN["flow without density"]["flow"].entries == {"features"}
    rows = sample_of_ten.sample(32, seed=1)
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    spare = bi.AmortizedPosterior(sample_of_ten, flow=flow, summary=WithMap())
    with pytest.warns(UserWarning, match=r"WithMap.* returns 'map', which no flow") as told:
        spare.trainable(rows, seed=1).initialize(rows, seed=1)
    assert len(told) == 1


class Mute(ConditionalGaussian):
    """A density that can't be drawn from."""

    draws = False


def test_what_a_flow_cannot_do_is_refused() -> None:
    networks = {"flow": Mute(), "summary": bi.summaries.MLP(4, hidden=(16,))}
    posterior = bi.AmortizedPosterior(sample_of_ten, **networks)
    posterior.fit(steps=2, batch_size=16, seed=1, progress=False)
    data = {"x": np.linspace(-1.0, 1.0, 10)}
    with pytest.raises(InputError, match="a flow that can draw"):
        posterior.sample(data, draws=5)
    assert bi.diagnose_observations(
        posterior, {"x": sample_of_ten.sample(40, seed=1)["x"]}, seed=1
    ).passed
    with pytest.raises(InputError, match="a flow that can draw"):
        bi.diagnose(posterior, simulations=60, draws=40, seed=1, progress=False)
    assert np.isfinite(
        posterior.log_prob({"mean": np.zeros(1), "log_sd": np.zeros(1)}, {"x": data["x"][None]})
    )


class Pointless(Flow):
    """Trained without a density, and nothing can be drawn from it."""

    def loss(self, x, condition=None, *, seed=None, progress=1.0, training=False) -> tf.Tensor:
        return tf.zeros_like(x[:, 0])


def test_abilities_follow_from_the_methods_that_are_written() -> None:
    abilities = {
        kind: (kind.density, kind.draws, kind.codes)
        for kind in (Pointless, Mute, Generator, ConditionalGaussian, ScaleMixture)
    }
    assert abilities == {
        Pointless: (None, False, False),
        Mute: ("exact", False, False),
        Generator: (None, True, False),
        ConditionalGaussian: ("exact", True, False),
        ScaleMixture: ("costly", True, False),
    }
    assert bi.flows.InvertibleFlow.codes
    assert not bi.flows.Framed(Generator()).codes
    assert bi.flows.Framed(Generator()).density is None
    for call in (lambda flow, x: flow.log_prob(x), lambda flow, x: flow.sample(2, x, seed=(1, 2))):
        with pytest.raises(InputError, match=r"(?s)expected: a method.*use a flow that has it"):
            call(Pointless(), tf.zeros((2, 1)))


def test_a_trainable_of_its_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(500, 3)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5]) + 0.3).astype(np.float32)
    model = Regression().fit(
        {"x": x, "y": y},
        steps=600,
        batch_size=50,
        seed=1,
        validation=0.0,
        progress=False,
        optimization=bi.Optimization(learning_rate=0.02, weight_decay=0.0),
    )
    kernel = model.model.network.kernel
    np.testing.assert_allclose(kernel[:, 0], [1.0, -2.0, 0.5], atol=0.02)
    assert model.history["loss"].iloc[-1] < 0.01
    again = bi.load(model.save(tmp_path / "regression"))
    assert again.fingerprint == model.fingerprint
    with pytest.raises(InputError, match=r"(?s)expected: arrays.*pass fit\("):
        Regression().fit(steps=1)
    apart = {"x": x[:8], "y": y[:8, None]}
    with pytest.raises(InputError, match=r"(?s)shapes of training data.*'y': \(\).*'y': \(1,\)"):
        Regression().fit({"x": x, "y": y}, epochs=1, validation=apart, progress=False)


READ_ESTIMATORS = """
import sys
import numpy as np
import bayesinn as bi
from tests.project import test_extending
likelihood = bi.load(f"{sys.argv[1]}/likelihood")
comparison = bi.load(f"{sys.argv[1]}/comparison")
rows = likelihood.simulator.sample(20, seed=5)
answers = {"log_prob": likelihood.log_prob(rows), "p": comparison.probabilities(rows["x"])}
np.savez(sys.argv[2], **answers)
"""


def test_estimators_of_likelihood_and_model(tmp_path: Path, fresh_python) -> None:
    options = {"batch_size": 128, "seed": 1, "progress": False}
    likelihood = Likelihood(sample_of_ten, ConditionalGaussian()).fit(steps=600, **options)
    rows = sample_of_ten.sample(2_000, seed=5)
    law = tfd.Normal(rows["mean"][:, None], tf.exp(rows["log_sd"])[:, None])
    exact = tf.reduce_sum(law.log_prob(rows["x"]), axis=-1).numpy()
    # The divergence from the exact likelihood, which the network can be, in nats.
    assert 0.0 <= np.mean(exact - likelihood.log_prob(rows)) < 0.3

    generator = np.random.default_rng(1)
    model = generator.integers(2, size=4_000).astype(np.int32)
    x = generator.normal(size=(4_000, 10)) * np.where(model, 1.5, 1.0)[:, None]
    x = x.astype(np.float32)
    options["optimization"] = bi.Optimization(learning_rate=0.05, average=0.9)
    comparison = Comparison(Moments(2)).fit({"x": x, "model": model}, steps=600, **options)
    narrow, wide = (tfd.Normal(0.0, sd).log_prob(x).numpy().sum(axis=1) for sd in (1.0, 1.5))
    probability = 1.0 / (1.0 + np.exp(narrow - wide))
    # The best line in these two moments is 0.073 from the exact probabilities; chance is 0.3.
    assert np.mean(np.abs(comparison.probabilities(x)[:, 1] - probability)) < 0.1

    likelihood.save(tmp_path / "likelihood")
    comparison.save(tmp_path / "comparison")
    fresh_python(READ_ESTIMATORS, tmp_path, tmp_path / "answers.npz")
    rows = sample_of_ten.sample(20, seed=5)
    answers = np.load(tmp_path / "answers.npz")
    np.testing.assert_array_equal(answers["log_prob"], likelihood.log_prob(rows))
    np.testing.assert_array_equal(answers["p"], comparison.probabilities(rows["x"]))


def test_a_constructor_of_a_ready_estimator_needs_a_way_to_be_built_again(tmp_path: Path) -> None:
    """Loading doesn't run constructors of ready estimators."""

    class Tagged(bi.AmortizedPosterior):
        def __init__(self, simulator: bi.Simulator) -> None:
            super().__init__(simulator, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
            self.tag = "mine"

    with pytest.raises(InputError, match=r"(?s)Constructor of Tagged.*AmortizedPosterior.assemble"):
        Tagged(sample_of_ten).fit(steps=1, progress=False)

    class Built(Tagged):
        def assemble(self, simulator: bi.Simulator, configuration: Mapping[str, object]) -> None:
            super().assemble(simulator, configuration)
            self.tag = "mine"

    folder = Built(sample_of_ten).fit(steps=1, progress=False).save(tmp_path / "built")
    assert bi.load(folder, sample_of_ten).tag == "mine"


def test_an_ensemble_and_a_function_are_posteriors(trained, tmp_path: Path) -> None:
    observed = sample_of_ten.sample(1, seed=3)["x"][0]
    pair = bi.Ensemble([trained["bijection"], trained["flow"]])
    function = bi.SampledPosterior(noisy_mean, exact_mean)
    for name, posterior, data in (("pair", pair, observed), ("function", function, 0.5)):
        diagnosis = bi.diagnose(
            posterior, simulations=60, draws=40, seed=1, observed={"x": data}, progress=False
        )
        page = diagnosis.to_html(tmp_path / f"{name}.html").read_text()
        assert posterior.simulator.name in page
        text = " ".join(repr(diagnosis).split())
        # What these posteriors don't have is left out, and said once.
        assert text.count("has no latent codes") == 1
        assert text.count("observation: not run") == (posterior is function)
        assert (diagnosis["joint_coverage"] is None) == (posterior is function)
    assert diagnosis.grade != "outside"
