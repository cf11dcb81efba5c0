"""The latent mixture: a generative classifier from one invertible network and class Gaussians."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.special
import tensorflow as tf

from bayesinn.bijections import ActNorm, Bijection, Chain
from bayesinn.core import seeds
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.core.files import SavedModel
from bayesinn.core.memory import check_draws
from bayesinn.core.precision import full_precision
from bayesinn.core.validation import check_number, check_type
from bayesinn.estimators.estimator import Estimator
from bayesinn.estimators.loading import load
from bayesinn.flows import coupling
from bayesinn.inverse.mixture_network import (
    Bottleneck,
    ClassNormal,
    Label,
    LatentMixtureNetwork,
    MixtureModel,
    class_indices,
    split_labelled,
    standardisation,
)
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.data import Scaling
from bayesinn.training.settings import Checkpoint, Optimization
from bayesinn.training.trainable import count_weights


@full_precision()
def gap_maps(model: MixtureModel, codes: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return what each place adds to the log odds of two classes, by number, (n, height, width).

    With unit scales the log odds are linear in codes (n, d). The chain ends with a rotation of an
    image, whose places therefore share them without remainder.
    """
    chain = model.network.chain
    latent = model.network.latent
    pooling = chain.final_rotation
    if pooling is None or latent.scales != "unit":
        raise InputError(
            "Heat maps of a LatentMixture",
            expected="a chain that ends with DCTPooling, and ClassNormal('unit'): log odds are "
            "then sums over places",
            got=f"{chain!r} and {latent!r}",
            do="train a LatentMixture of this kind",
        )
    means = latent.means.numpy()
    log_weights = latent.log_weights.numpy()
    direction, _ = pooling.inverse(means[[first]] - means[[second]])
    places, _ = pooling.inverse(codes - 0.5 * (means[first] + means[second]))
    maps = np.sum(places.numpy() * direction.numpy(), axis=-1, dtype=np.float64)
    # The frequencies of the classes belong to no place: all have an equal part.
    return maps + (log_weights[first] - log_weights[second]) / pooling.pixels


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
        pair = class_indices([label, other], self.classes, 2, "Arguments 'label' and 'other'")
        return gap_maps(self.model, self.latent_codes(x), *pair)

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

    def restore(self, saved: SavedModel) -> MixtureModel:
        # Older models are for vectors.
        with saved.reraise_as("event", "the shape of what the model was trained on"):
            shape = tuple(saved.entries.get("event", [None]))
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
