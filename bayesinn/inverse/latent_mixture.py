"""The latent mixture: a generative classifier from one invertible network and class Gaussians."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import pandas as pd
import scipy.special
import tensorflow as tf

from bayesinn.bijections import ActNorm, Bijection, Chain, DCTPooling
from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, full_precision
from bayesinn.core.configuration import Configured, Recipe, clone
from bayesinn.core.errors import (
    InputError,
    check_choice,
    check_draws,
    check_number,
    check_type,
    warn,
)
from bayesinn.core.files import SavedModel
from bayesinn.estimators.estimator import Estimator
from bayesinn.estimators.loading import load
from bayesinn.flows import coupling
from bayesinn.flows.latents import (
    SMALLEST_LOG_SCALE,
    floored,
    gaussian_log_probs,
    unfloored,
)
from bayesinn.simulation.digits import FEWEST_STEPS, SINGLE, resolution, statistics
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.data import Scaling
from bayesinn.training import sources
from bayesinn.training.callbacks import RoundTripMonitor
from bayesinn.training.settings import Checkpoint, Optimization
from bayesinn.training.trainable import Batch, Trainable, count_weights

#: The name of a class.
Label = int | str
#: Events "x" (n, *event), float32, and "labels" (n,), the numbers of their classes, int32.
Labelled = dict[str, np.ndarray]

_EPOCHS = 30
_LEARNING_RATE = 2e-3


class LatentMixture(Estimator):
    r"""The density of labelled x, :math:`p(x \mid y) = N(f(x); \mu_y, \sigma_y^2) \, |\det f'(x)|`.

    One bijection f serves all classes, which differ in the mean and the scale of each latent
    element. So an element means the same in every class, Bayes' rule classifies, and vectors unlike
    all classes have a low density. :class:`ClassNormal` has references. For images (height, width,
    channels), f is a chain of bijections of images; z is always a vector.

    Parameters
    ----------
    chain : Bijection
        By default that of ``flows.coupling(blocks=6)``. ActNorm may not be its last link. The
        scales of latent elements are arbitrary, unless the chain preserves volume: use
        :func:`bayesinn.inverse.gin` to compare them.
    latent : ClassNormal, by default with means and scales as free weights
    standardise : bool
        Whether elements (channels of images) are first brought to mean 0 and sd 1. Densities don't
        depend on it.
    noise : float
        Standard deviation of Gaussian noise on the standardised data, drawn anew in every training
        step. The density is then that of noisy data, and scales can't collapse if data repeat or
        lie on a surface.
    quantum : float
        Step width of discrete data, such as counts (1.0) or grey values. Training adds uniform
        noise from zero to ``quantum`` in every step; add it yourself to the data for
        :meth:`log_prob`.
    bottleneck : Bottleneck, optional
        Balance of density and classification that is trained in place of log p(x | y). Not for a
        latent with scales of the batch.

    Attributes
    ----------
    classes : tuple of int or str
    history : DataFrame
        Per epoch: step, loss (mean of -log p(x | y) in nats, or that of the bottleneck), learning
        rate, and val_loss.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.repeat(["left", "right"], 200)
    >>> x = np.random.default_rng(1).normal(size=(400, 2)) + 8.0 * (labels == "right")[:, None]
    >>> model = LatentMixture(coupling(blocks=1, hidden=(8,)).chain)
    >>> _ = model.fit(x, labels, steps=20, seed=1, progress=False)
    >>> model.classify([[-0.5, 0.5], [8.5, 7.5]]).round(2)
       left  right
    0   1.0    0.0
    1   0.0    1.0
    >>> model.sample("right", draws=5, seed=2).shape
    (5, 2)
    """

    kind = "LatentMixture"
    entry = "model"
    schema: ClassVar = {"model": dict, "classes": [(int, str)]}

    def __init__(
        self,
        chain: Bijection | None = None,
        latent: ClassNormal | None = None,
        standardise: bool = True,
        noise: float = 0.0,
        quantum: float = 0.0,
        bottleneck: Bottleneck | None = None,
    ) -> None:
        super().__init__()
        check_type(
            "LatentMixture, argument 'chain'",
            chain,
            (Bijection, type(None)),
            "a Bijection",
            "pass flow.chain for a flow, or for example bi.bijections.Chain([...])",
        )
        check_type(
            "LatentMixture, argument 'latent'",
            latent,
            (ClassNormal, type(None)),
            "a ClassNormal",
            "pass for example bi.inverse.ClassNormal('unit')",
        )
        self.chain = coupling(blocks=6).chain if chain is None else chain
        self.latent = ClassNormal() if latent is None else latent
        last = self.chain.bijections[-1:] if isinstance(self.chain, Chain) else []
        if any(isinstance(bijection, ActNorm) for bijection in last):
            raise InputError(
                "LatentMixture, argument 'chain'",
                expected="a chain that doesn't end with ActNorm",
                got=repr(self.chain),
                do="drop the last ActNorm: the means and scales of the classes do what it does",
            )
        self.standardise = standardise
        self.noise = check_number(
            "LatentMixture, argument 'noise'", noise, least=0, do="leave it out for none"
        )
        self.quantum = check_number(
            "LatentMixture, argument 'quantum'", quantum, least=0, do="leave it out for none"
        )
        check_type(
            "LatentMixture, argument 'bottleneck'",
            bottleneck,
            (Bottleneck, type(None)),
            "a Bottleneck",
            "pass for example bi.inverse.Bottleneck(beta=1.0)",
        )
        if bottleneck is not None and self.latent.scales == "batch":
            raise InputError(
                "LatentMixture, arguments 'latent' and 'bottleneck'",
                expected="means that are weights, beside a bottleneck",
                got=repr(self.latent),
                do="pass latent=bi.inverse.ClassNormal('unit')",
            )
        self.bottleneck = bottleneck
        self.classes: tuple[Label, ...] = ()
        self._names: tuple[Label, ...] = ()

    def fit(  # type: ignore[override]
        self,
        x: Any,
        labels: Any,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int = 256,
        seed: int = 0,
        validation: float | tuple[Any, Any] | None = None,
        optimization: Optimization = Optimization(),
        checkpoint: str | Path | Checkpoint | None = None,
        progress: bool = True,
    ) -> LatentMixture:
        """Train from new initial weights; keep the weights with the best validation loss.

        A loss that is not finite raises a TrainingError; the network then has the last good
        weights.

        Parameters
        ----------
        x : array (n, d), or images (n, height, width, channels)
        labels : array (n,) of integers or strings
        steps, epochs, batch_size, seed, optimization, checkpoint, progress
            As for :meth:`bayesinn.AmortizedPosterior.fit`, offline; the default learning rate is
            2e-3.
        validation : float, share of the data set aside (0.1 if left out), or other data (x, labels)
        """
        classes, arrays, held_out = split_labelled(x, labels, validation, seeds.check_seed(seed))
        self._names = classes
        return super().fit(
            arrays,
            steps=steps,
            epochs=_EPOCHS if steps is None and epochs is None else epochs,
            batch_size=batch_size,
            seed=seed,
            validation=0.0 if held_out is None else held_out,
            optimization=_with_defaults(optimization),
            checkpoint=checkpoint,
            progress=progress,
        )

    def trainable(self, rows: Arrays, seed: int) -> MixtureModel:
        """Return the density of x given its class, standardised on rows (n, *event)."""
        x = rows["x"]
        shape = x.shape[1:]
        scaling = Scaling(None, np.zeros(shape, np.float32), np.ones(shape, np.float32))
        if self.standardise:
            scaling = standardisation(x, self.quantum)
        counts = np.bincount(rows["labels"])
        model = self._new_model(len(counts), scaling)
        model.network.latent.log_weights.assign(np.log(counts / len(x)))
        return model

    def describe_training(self, model: MixtureModel) -> str:
        classes, dimension = model.network.latent.means.shape
        return (
            f"{classes} classes of {dimension} elements; {self.chain!r}; "
            f"{count_weights(model):,} weights"
        )

    def adopt(self, model: MixtureModel, rows: Arrays, seed: int) -> None:
        if self.latent.scales == "batch":
            model.set_statistics(rows, seed)
        super().adopt(model, rows, seed)
        self.classes = self._names

    def classify(self, x: Any) -> pd.DataFrame:
        """Return the probability of each class for x (n, *event), one column each, by Bayes' rule.

        Classes are taken to be as frequent as in the training data. ``.idxmax(axis=1)`` gives the
        most probable class.
        """
        return pd.DataFrame(
            scipy.special.softmax(self.model.joint_log_probs(x), axis=1),
            columns=list(self.classes),
        )

    def log_prob(self, x: Any, labels: Any = None) -> np.ndarray:
        """Return log densities (n,) of x (n, *event), in nats.

        They are log p(x | label) with labels (n,), else log p(x).
        """
        if labels is None:
            return scipy.special.logsumexp(self.model.joint_log_probs(x), axis=1)
        densities = self.model.class_log_probs(x)
        indices = class_indices(labels, self.classes, len(densities), "Argument 'labels'")
        return densities[np.arange(len(indices)), indices]

    def sample(self, label: Label, draws: int = 1_000, seed: int = 0) -> np.ndarray:
        """Draw vectors or images of a class, (draws, *event)."""
        model = self.model
        index = class_indices([label], self.classes, 1, "Argument 'label'")[0]
        means, log_scales = (value.numpy()[index] for value in model.network.latent.parameters())
        draws = check_draws(draws, {"x": means.shape})
        # Each class has noise of its own: draws of two would otherwise be copies of one another.
        own_seed = seeds.tensor_seed(seed, "draws", int(index))
        noise = tf.random.stateless_normal((draws, len(means)), own_seed, alg="philox")
        return model.decode(means + np.exp(log_scales) * noise.numpy())

    def latent_codes(self, x: Any) -> np.ndarray:
        """Return latent vectors z = f(x), (n, d), of x (n, *event)."""
        return self.model.encode(x)

    def from_latent(self, z: Any) -> np.ndarray:
        """Return x (n, *event) with latents z (n, d), to see the effect of a latent element."""
        return self.model.decode(z)

    @full_precision()
    def heat_maps(self, x: Any, label: Label, other: Label) -> np.ndarray:
        """Return the contribution of each place of images x to the log odds of two classes.

        The result is (n, height, width); its sum over all places is log p(label | x) - log p(other
        | x). Places are those of the image before the end of the chain, which must be
        :class:`DCTPooling`. The class Gaussians need unit scales. :func:`bayesinn.plots.images`
        draws the result.

        References
        ----------
        Mackowiak, Ardizzone, Köthe and Rother (2021), Generative classifiers as a basis for
        trustworthy image classification, arXiv:2007.15036.
        """
        subject = "Arguments 'label' and 'other'"
        first, second = class_indices([label, other], self.classes, 2, subject)
        chain = self.model.network.chain
        latent = self.model.network.latent
        pooling = chain
        while type(pooling) is Chain and pooling.bijections:
            pooling = pooling.bijections[-1]
        if not isinstance(pooling, DCTPooling) or latent.scales != "unit":
            raise InputError(
                "Heat maps of a LatentMixture",
                expected="a chain that ends with DCTPooling, and ClassNormal('unit'): log odds are "
                "then sums over places",
                got=f"{chain!r} and {latent!r}",
                do="train a LatentMixture of this kind",
            )
        means = latent.means.numpy()
        log_weights = latent.log_weights.numpy()
        # With unit scales, log odds are linear in codes; the rotation shares them among places.
        direction, _ = pooling.inverse(means[[first]] - means[[second]])
        places, _ = pooling.inverse(self.latent_codes(x) - 0.5 * (means[first] + means[second]))
        maps = np.sum(places.numpy() * direction.numpy(), axis=-1, dtype=np.float64)
        # The frequencies of the classes belong to no place: all have an equal part.
        return maps + (log_weights[first] - log_weights[second]) / pooling.pixels

    @property
    def latent_means(self) -> np.ndarray:
        """Mean of each latent element in each class, (k, d), in the order of ``classes``."""
        return self.model.network.latent.parameters()[0].numpy()

    @property
    def latent_scales(self) -> np.ndarray:
        """Standard deviation of each latent element in each class, (k, d)."""
        return np.exp(self.model.network.latent.parameters()[1].numpy())

    @staticmethod
    def load(folder: str | Path) -> LatentMixture:
        """Read a model that :meth:`save` wrote, as :func:`bayesinn.load` does."""
        model = load(folder)
        check_type(
            f"Folder {str(folder)!r}",
            model,
            LatentMixture,
            "a saved LatentMixture",
            "call bi.load(folder) for whatever was saved there",
        )
        return model

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments, by name."""
        return {
            "chain": self.chain,
            "latent": self.latent,
            "standardise": self.standardise,
            "noise": self.noise,
            "quantum": self.quantum,
            "bottleneck": self.bottleneck,
        }

    def entries(self) -> dict[str, Any]:
        return {
            "model": self.network_configuration(),
            "classes": list(self.classes),
            "event": list(self.model.scaling.mean.shape),
        }

    def built(self, saved: SavedModel) -> MixtureModel:
        with saved.reraise_as("event", "the shape of what the model was trained on"):
            shape = tuple(saved.entries["event"])
        mean, scale = (saved.array(f"data/{part}", shape) for part in ("mean", "scale"))
        return self._new_model(len(saved.entries["classes"]), Scaling(None, mean, scale))

    def adopt_saved(self, model: MixtureModel, saved: SavedModel) -> None:
        super().adopt_saved(model, saved)
        self.classes = tuple(saved.entries["classes"])

    def __repr__(self) -> str:
        state = (
            f"trained on classes {', '.join(map(repr, self.classes))}"
            if self.trained
            else "not trained"
        )
        return f"LatentMixture, {state}\n  chain: {self.chain!r}\n  latent: {self.latent!r}"

    def _new_model(self, classes: int, scaling: Scaling) -> MixtureModel:
        chain = clone(self.chain)
        network = LatentMixtureNetwork(chain, clone(self.latent), classes, scaling.mean.shape)
        return MixtureModel(network, scaling, self.noise, self.quantum, self.bottleneck)

    @property
    def model(self) -> MixtureModel:
        """The trained model."""
        model = super().model
        assert isinstance(model, MixtureModel)
        return model


def _with_defaults(optimization: Optimization) -> Optimization:
    """Return the same with what was left out; an optimizer has its own learning rate and decay."""
    if optimization.optimizer is not None:
        return optimization
    rate = optimization.learning_rate
    return replace(
        optimization,
        learning_rate=_LEARNING_RATE if rate is None else rate,
        weight_decay=optimization.weight_decay or 0.0,
    )


_MOMENTUM = 0.9
_FEWEST = 2.0


class ClassNormal(Configured, keras.layers.Layer):
    r"""A diagonal Gaussian by class, :math:`p(z \mid y) = N(\mu_y, \mathrm{diag}\,\sigma_y^2)`.

    Parameters
    ----------
    scales : {"free", "batch", "unit"}
        - "free": means and scales are weights, trained with the network; log scales never fall
          below -6.
        - "batch": means and scales are those of the class in the batch, the best for the present
          network (profile likelihood); after training, those of all data. A batch needs 20 or more
          members of each class; a class with fewer than two uses the statistics of earlier batches.
        - "unit": means are weights, and all scales are one.

    References
    ----------
    Izmailov, Kirichenko, Finzi and Wilson (2020), Semi-supervised learning with normalizing flows,
    arXiv:1912.13025.
    Sorrenson, Rother and Köthe (2020), Disentanglement by nonlinear ICA with GIN, arXiv:2001.04872.

    Examples
    --------
    >>> import tensorflow as tf
    >>> latent = ClassNormal()
    >>> latent.build(classes=3, dimension=2)
    >>> latent.log_probs(tf.zeros((5, 2))).shape
    TensorShape([5, 3])
    """

    def __init__(self, scales: Literal["free", "batch", "unit"] = "free") -> None:
        super().__init__(autocast=False)
        check_choice("ClassNormal, argument 'scales'", scales, ("free", "batch", "unit"))
        self.scales = scales

    def build(self, classes: int, dimension: int) -> None:
        """Make the weights; ``log_weights`` (k,) are the logs of the class frequencies."""

        def weight(name: str, shape: tuple[int, ...], trainable: bool) -> keras.Variable:
            return self.add_weight(
                shape=shape, initializer="zeros", trainable=trainable, autocast=False, name=name
            )

        self.means = weight("means", (classes, dimension), self.scales != "batch")
        self.raw_log_scales = weight("raw_log_scales", (classes, dimension), self.scales == "free")
        self.log_weights = weight("log_weights", (classes,), False)

    def parameters(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return means and log scales, each (k, d)."""
        raw = tf.convert_to_tensor(self.raw_log_scales)
        return tf.convert_to_tensor(self.means), tf.zeros_like(
            raw
        ) if self.scales == "unit" else floored(raw)

    def log_probs(self, z: tf.Tensor) -> tf.Tensor:
        """Return log densities of vectors (n, d) under every class, (n, k)."""
        return gaussian_log_probs(z, *(tf.cast(part, z.dtype) for part in self.parameters()))

    def call(self, z: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return log densities (n,) of vectors (n, d) under their classes.

        The classes are integers (n,) from 0 to k - 1.
        """
        means, log_scales = self.parameters()
        if training and self.scales == "batch":
            old_means = means
            old_log_scales = log_scales
            means, log_scales = self._statistics(z, labels)
            self.means.assign(_MOMENTUM * old_means + (1.0 - _MOMENTUM) * means)
            self.raw_log_scales.assign(
                unfloored(_MOMENTUM * old_log_scales + (1.0 - _MOMENTUM) * log_scales)
            )
        return tf.gather(gaussian_log_probs(z, means, log_scales), labels, axis=1, batch_dims=1)

    def set_from(self, z: tf.Tensor, labels: tf.Tensor) -> None:
        """Set means and scales to statistics of labelled vectors, for classes with two or more."""
        means, log_scales = self._statistics(z, labels)
        self.means.assign(means)
        self.raw_log_scales.assign(unfloored(log_scales))

    def _statistics(self, z: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return means and log scales (k, d) by class; the present ones if members are too few."""
        member = tf.one_hot(labels, self.means.shape[0], dtype=z.dtype)
        counts = tf.reduce_sum(member, axis=0)[:, None]
        divisor = tf.maximum(counts, 1.0)
        means = tf.matmul(member, z, transpose_a=True) / divisor
        # In two passes: the mean of squares minus the square of the mean would lose digits.
        deviations = z - tf.matmul(member, means)
        variances = tf.matmul(member, deviations**2, transpose_a=True) / divisor
        smallest = tf.exp(tf.constant(2.0 * SMALLEST_LOG_SCALE, z.dtype))
        log_scales = 0.5 * tf.math.log(variances + smallest)
        enough = counts >= _FEWEST
        old_means, old_log_scales = self.parameters()
        return tf.where(enough, means, old_means), tf.where(enough, log_scales, old_log_scales)


@dataclass(frozen=True, repr=False)
class Bottleneck(Recipe):
    r"""The loss :math:`\frac{2}{1 + \beta} (L_X + \beta L_Y)` of a generative classifier.

    :math:`L_X = -\log p(x) / d` is the loss of the density of x (d elements) under all classes
    together, in nats per element. :math:`L_Y = -\log p(y \mid x)` is the cross-entropy of the
    class, in nats. They bound the information that the latent keeps about x from above, and about y
    from below; the first bound is finite only with ``noise`` on the data. A small ``beta`` gives a
    good density, a large one good classification. ``beta = 1 / d`` is the loss without a
    bottleneck, -log p(x | y).

    Parameters
    ----------
    beta : float, from 0 (the density alone) to ``math.inf`` (the classes alone)
    smoothing : float
        Share of each label that is spread evenly over all classes. Without it, the best means drift
        apart for ever; with it, :math:`L_Y` is at least the entropy of such a label.

    References
    ----------
    Ardizzone, Mackowiak, Rother and Köthe (2020), Training normalizing flows with the information
    bottleneck for competitive generative classification, arXiv:2001.06448.

    Examples
    --------
    >>> import tensorflow as tf
    >>> joint = tf.constant([[-2.0, -4.0]])
    >>> for beta in (0.0, 1.0, math.inf):
    ...     loss = Bottleneck(beta).loss(joint, tf.zeros(1), labels=tf.constant([0]), dimension=2)
    ...     print(round(float(loss[0]), 3))
    1.873
    1.063
    0.254
    """

    beta: float = 1.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.beta != math.inf:
            check_number(
                "Bottleneck, argument 'beta'", self.beta, least=0, do="pass 1.0, or math.inf"
            )
        check_number(
            "Bottleneck, argument 'smoothing'",
            self.smoothing,
            least=0,
            below=1,
            do="leave it out, or pass 0.01",
        )

    def loss(
        self, joint: tf.Tensor, log_det: tf.Tensor, labels: tf.Tensor, dimension: int
    ) -> tf.Tensor:
        """Return losses (n,) of events with ``dimension`` elements.

        Parameters
        ----------
        joint : tensor (n, k), log densities of latent and class together
        log_det : tensor (n,), log determinants of the map from events to the latent
        labels : tensor (n,), numbers of the classes
        dimension : int, number of elements of an event
        """
        marginal = tf.reduce_logsumexp(joint, axis=1)
        classes = joint.shape[1]
        targets = (1.0 - self.smoothing) * tf.one_hot(labels, classes, dtype=joint.dtype)
        targets += self.smoothing / classes
        # Without the log determinants: they are large, and differences of classes would lose
        # digits.
        cross_entropy = -tf.reduce_sum(targets * (joint - marginal[:, None]), axis=1)
        # A share, because infinity divided by infinity is no number.
        share = 1.0 if self.beta == math.inf else self.beta / (1.0 + self.beta)
        density = -(marginal + log_det) / dimension
        return 2.0 * ((1.0 - share) * density + share * cross_entropy)


# Rows that tell how much elements vary.
_MOST_ROWS = 512


def split_labelled(
    x: Any, labels: Any, validation: float | tuple[Any, Any] | None, seed: int
) -> tuple[tuple[Label, ...], Labelled, Labelled | None]:
    """Check data; return classes, training data, and validation data.

    Validation data are a random share of the data, or a given pair (x, labels).
    """
    raw = x
    x = check_events(raw, None, "Argument 'x'")
    _warn_of_lost_digits(np.asarray(raw))
    labels = _check_labels(labels, len(x), "Argument 'labels'")
    if isinstance(validation, tuple):
        held_x = check_events(validation[0], x.shape[1:], "Validation data")
        held_labels = validation[1]
    else:
        do = "pass for example validation=0.1, or a pair (x, labels)"
        share = 0.1 if validation is None else validation
        kept, apart = sources.split(
            len(x), check_number("Argument 'validation'", share, least=0, below=1, do=do), seed
        )
        held_x = x[apart]
        held_labels = labels[apart]
        x = x[kept]
        labels = labels[kept]
    names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            "Argument 'labels'",
            expected="two or more training vectors of each class, to estimate its scale",
            got=f"one of class {names[counts.argmin()].item()!r}",
            do="leave that class out, or find more examples of it",
        )
    classes = tuple(names.tolist())
    held = {
        "x": held_x,
        "labels": class_indices(held_labels, classes, len(held_x), "Validation labels"),
    }
    return classes, {"x": x, "labels": numbers.astype(np.int32)}, held if len(held_x) else None


def check_events(x: Any, shape: Sequence[int] | None, subject: str) -> np.ndarray:
    """Return finite vectors, or images, of a shape as a float32 array (n, *event)."""
    array = np.asarray(x)
    fit = array.ndim in (2, 4) if shape is None else array.shape[1:] == tuple(shape)
    if not fit or array.dtype.kind not in "fiub":
        sizes = "d" if shape is None else ", ".join(map(str, shape))
        raise InputError(
            subject,
            expected=f"numbers in an array of shape (n, {sizes}), one vector or image a row",
            got=f"shape {array.shape} of {array.dtype}",
            do="give images a last axis of channels, x[..., None], or flatten them, "
            "x.reshape(len(x), -1)"
            if array.ndim > 2
            else "give one row for each vector",
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = int(np.sum(~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))))
    if array.size == 0 or bad:
        raise InputError(
            subject,
            expected="at least one vector or image, of numbers that are finite in single precision",
            got=f"{bad} rows with NaN or infinity" if bad else "none",
            do="leave those rows out",
        )
    return array


def _warn_of_lost_digits(x: np.ndarray) -> None:
    """Warn of elements of which single precision, as networks compute, keeps few digits."""
    some = x[:: max(len(x) // _MOST_ROWS, 1)]
    sizes, deviations, varies = statistics(some, resolution(x))
    if np.any(varies & (deviations < FEWEST_STEPS * SINGLE * sizes)):
        warn(
            "x varies so little beside its size that single precision keeps few digits of that: "
            "subtract an offset, here and whenever the model is asked"
        )


def class_indices(labels: Any, classes: Sequence[Label], rows: int, subject: str) -> np.ndarray:
    """Return the position of each label among the classes, (rows,), int32."""
    names = _check_labels(labels, rows, subject).tolist()
    position = {name: number for number, name in enumerate(classes)}
    if unknown := set(names) - set(position):
        raise InputError(
            subject,
            expected=f"classes of the training data: {', '.join(map(repr, classes))}",
            got=", ".join(sorted(map(str, unknown))),
            do="pass one of these, or fit again with data of that class",
        )
    return np.array([position[name] for name in names], np.int32)


def _check_labels(labels: Any, rows: int, subject: str) -> np.ndarray:
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array.shape != (rows,) or array.dtype.kind not in "iuU":
        raise InputError(
            subject,
            expected=f"integers or strings in an array of shape ({rows},), one label for each "
            "vector",
            got=f"shape {array.shape} of {array.dtype}",
            do="give the class of each row of x, not one-hot and not as fractions",
        )
    return array


# To save memory.
_ROWS_AT_ONCE = 1024


class LatentMixtureNetwork(keras.layers.Layer):
    """The density log p(x | class): a bijection and a class-conditional latent, with weights.

    Latent events that are images are laid flat.
    """

    def __init__(
        self, chain: Bijection, latent: ClassNormal, classes: int, event_shape: Sequence[int]
    ) -> None:
        super().__init__(name="latent_mixture", autocast=False)
        self.chain = chain
        self.latent = latent
        self.dimension = math.prod(event_shape)
        self.chain.build(tuple(event_shape))
        self.latent.build(classes, self.dimension)
        self.built = True

    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return latent vectors (n, d) of events (n, *event), and log determinants (n,)."""
        z, log_det = self.chain.forward(x)
        return tf.reshape(z, (-1, self.dimension)), log_det

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Return events (n, *event) of latent vectors (n, d)."""
        return self.chain.inverse(tf.reshape(z, (-1, *self.chain.latent_shape)))[0]

    def call(self, x: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False) -> Any:
        """Return log densities (n,) of events (n, *event) given their classes (n,).

        Without classes, it returns what :meth:`encode` does; in training with dropout.
        """
        z, log_det = self.encode(x)
        if labels is None:
            return z, log_det
        return self.latent(z, labels, training=training) + log_det


class MixtureModel(Trainable):
    """Standardisation and network of a :class:`~bayesinn.inverse.LatentMixture`."""

    network: LatentMixtureNetwork

    def __init__(
        self,
        network: LatentMixtureNetwork,
        scaling: Scaling,
        noise: float,
        quantum: float,
        bottleneck: Bottleneck | None,
    ) -> None:
        self.network = network
        self.scaling = scaling
        self.noise = noise
        self.quantum = quantum
        self.bottleneck = bottleneck
        self._forward = AnyRows(network.encode, leading=(1,))
        self._inverse = AnyRows(network.decode, leading=(1,))

    @property
    def xla_pays(self) -> bool:  # type: ignore[override]
        return self.network.chain.xla_pays

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return standardised events of a raw batch with their noise, and labels."""
        x = tf.cast(batch["x"], tf.float32)
        for_quantum, for_noise = seeds.split(seed, 2)
        if self.quantum > 0:
            x += self.quantum * tf.random.stateless_uniform(tf.shape(x), for_quantum, alg="philox")
        x = self.scaling.apply(x)
        if self.noise > 0:
            x += self.noise * tf.random.stateless_normal(tf.shape(x), for_noise, alg="philox")
        return x, batch["labels"]

    def initialize(self, batch: Batch, seed: int) -> None:
        x, labels = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        self.network.chain.initialize(x)
        self.network.latent.set_from(self.network.encode(x)[0], labels)

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        x, labels = self.prepare(batch, seed)
        if self.bottleneck is None:
            return -self.network(x, labels, training=training) - self.log_det
        z, log_det = self.network(x, training=training)
        joint = self.network.latent.log_probs(z) + self.network.latent.log_weights
        return self.bottleneck.loss(
            joint, log_det + self.log_det, labels, dimension=self.network.dimension
        )

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        noise = seeds.tensor_seed(seed, "dequantise")
        chain = self.network.chain
        return [RoundTripMonitor([chain], lambda: [(self.prepare(batch, noise)[0], None)])]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"data/mean": self.scaling.mean, "data/scale": self.scaling.scale}

    def set_statistics(self, arrays: Mapping[str, np.ndarray], seed: int) -> None:
        """Set means and scales of classes to statistics over all training data, with noise."""
        x, labels = self.prepare(arrays, seeds.tensor_seed(seed, "latent"))
        self.network.latent.set_from(tf.constant(_in_pieces(self._codes, x.numpy())), labels)

    @property
    def log_det(self) -> float:
        """Log determinant of the map to standardised vectors."""
        return -float(np.log(self.scaling.scale.astype(np.float64)).sum())

    @full_precision()
    def class_log_probs(self, x: Any) -> np.ndarray:
        """Return log densities of raw events (n, *event) under every class, (n, k), float64."""

        def densities(rows: np.ndarray) -> tf.Tensor:
            # In double precision: sums of many squares hide the differences between classes.
            z, log_det = (tf.cast(part, tf.float64) for part in self._forward(rows))
            return self.network.latent.log_probs(z) + log_det[:, None]

        return _in_pieces(densities, self._standardised(x)) + self.log_det

    def joint_log_probs(self, x: Any) -> np.ndarray:
        """Return log densities of raw events (n, *event) and classes together, (n, k), float64."""
        return self.class_log_probs(x) + self.network.latent.log_weights.numpy().astype(np.float64)

    @full_precision()
    def encode(self, x: Any) -> np.ndarray:
        """Return latent vectors (n, d) of raw events."""
        return _in_pieces(self._codes, self._standardised(x))

    @full_precision()
    def decode(self, z: Any) -> np.ndarray:
        """Return raw events (n, *event) of latent vectors (n, d)."""
        z = check_events(z, (self.network.dimension,), "Argument 'z'")
        return self.scaling.invert(_in_pieces(self._inverse, z))

    def _standardised(self, x: Any) -> np.ndarray:
        return self.scaling.apply(check_events(x, self.scaling.mean.shape, "Argument 'x'")).numpy()

    def _codes(self, x: np.ndarray) -> tf.Tensor:
        return self._forward(x)[0]


def standardisation(x: np.ndarray, quantum: float) -> Scaling:
    """Measure the scaling of data (n, *event) with uniform noise; constants keep their scale.

    Elements of vectors have their own; those of images share that of their channel.
    """
    x = x.astype(np.float64)
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    scale = np.sqrt(x.var(axis=axes) + quantum**2 / 12.0)
    scale = np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)
    parts = (np.broadcast_to(part, x.shape[1:]) for part in (mean + 0.5 * quantum, scale))
    return Scaling(None, *(part.astype(np.float32) for part in parts))


def _in_pieces(function: Callable[[np.ndarray], tf.Tensor], rows: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [function(part) for part in np.split(rows, range(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE))]
    )
