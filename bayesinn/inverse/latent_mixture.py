"""The latent mixture: a generative classifier from one invertible network and a Gaussian for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
import tensorflow as tf

from bayesinn.bijections import ActNorm, Bijection, Chain
from bayesinn.core import seeds
from bayesinn.core.configuration import building, clone, describe, rebuild
from bayesinn.core.errors import InputError
from bayesinn.core.storage import read_model, write_model
from bayesinn.flows import coupling
from bayesinn.inverse.class_normal import ClassNormal
from bayesinn.inverse.labelled_data import Label, LabelledData, check_labels, check_vectors, indices_of
from bayesinn.inverse.mixture_network import MixtureModel, MixtureNetwork, Standardisation
from bayesinn.posterior import format1
from bayesinn.training.fit import fit_arrays
from bayesinn.training.settings import Checkpoint, Optimization

#: What the manifest of a saved model has.
_SAVED = {"model": dict, "classes": [(int, str)], "training": dict, "history": {str: [(float, type(None))]}}


class LatentMixture:
    r"""The density of labelled vectors, :math:`p(x \mid y) = N(f(x); \mu_y, \sigma_y^2) \, |\det f'(x)|`.

    One bijection f serves all classes; they differ only in the mean and the scale of each latent element. So a latent
    element means the same for every class, the network classifies by Bayes' rule, and it knows when a vector is like
    no class at all.

    Scale and shift of the latent elements are a convention as long as f may stretch: multiply an element of z and its
    means and scales by two, and nothing has changed. So ActNorm may not be the last link of the chain. Where the
    scales themselves are to be compared, take a chain that preserves volume; see :func:`bayesinn.inverse.gin`.

    Parameters
    ----------
    chain : Bijection
        That of ``flows.coupling(blocks=6)`` if left out.
    latent : ClassNormal
        Means and scales as free weights if left out.
    standardise : bool
        Whether each element is first brought to mean zero and standard deviation one. Densities don't depend on it.
    noise : float
        Standard deviation of Gaussian noise on the data, fresh in every step, after standardising. The density learned
        is then that of noisy data. It keeps scales from collapsing where data repeat, or lie on a surface.
    quantum : float
        For data in steps, such as counts (1.0) or grey values: the width of the step. Uniform noise from zero to
        ``quantum`` is added, fresh in every training step. Add it to what you pass to :meth:`log_prob` as well.

    Attributes
    ----------
    classes : tuple of int or str
    history : DataFrame
        One row per epoch: step, loss, learning rate, and val_loss. The loss is the mean of -log p(x | y) in nats.

    References
    ----------
    Izmailov, Kirichenko, Finzi and Wilson (2020), Semi-supervised learning with normalizing flows, arXiv:1912.13025.

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

    def __init__(
        self,
        chain: Bijection | None = None,
        latent: ClassNormal | None = None,
        standardise: bool = True,
        noise: float = 0.0,
        quantum: float = 0.0,
    ) -> None:
        self.chain = coupling(blocks=6).chain if chain is None else chain
        self.latent = ClassNormal() if latent is None else latent
        if isinstance(self.chain, Chain) and isinstance(self.chain.bijections[-1], ActNorm):
            raise InputError(
                "LatentMixture, argument 'chain'",
                expected="a chain that doesn't end with ActNorm",
                got=repr(self.chain),
                do="drop the last ActNorm: the means and scales of the classes do what it does",
            )
        for name, value in (("noise", noise), ("quantum", quantum)):
            if not 0 <= value < np.inf:
                raise InputError(
                    f"LatentMixture, argument {name!r}",
                    expected="a number, zero or positive",
                    got=repr(value),
                    do=f"leave {name!r} out for none",
                )
        self.standardise, self.noise, self.quantum = standardise, float(noise), float(quantum)
        self.classes: tuple[Label, ...] = ()
        self.history = pd.DataFrame()
        self.training: dict[str, Any] = {}
        self._trained: MixtureModel | None = None

    def fit(
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
        """Train, from new initial weights, and keep the weights that are best on a validation set.

        Parameters
        ----------
        x : array (n, d)
        labels : array (n,) of integers or strings
        steps, epochs, batch_size, seed, optimization, checkpoint, progress
            See :meth:`bayesinn.AmortizedPosterior.fit`, offline; the learning rate is 2e-3 if left out.
        validation : float, or pair (x, labels)
            The share of the data set aside (0.1 if left out), or a set of its own.

        Returns
        -------
        LatentMixture, itself

        Raises
        ------
        TrainingError
            When a loss is not finite; the network then has the last good weights.
        """
        data = LabelledData.split(x, labels, validation, seeds.check_seed(seed))
        rows, dimension = data.training["x"].shape
        standardisation = Standardisation.none(dimension)
        if self.standardise:
            standardisation = Standardisation.fit(data.training["x"], self.quantum)
        model = self.new_model(len(data.classes), standardisation, seed)
        frequencies = np.bincount(data.training["labels"], minlength=len(data.classes)) / rows
        model.network.latent.log_weights.assign(np.log(frequencies))
        if progress:
            weights = sum(int(np.prod(variable.shape)) for variable in model.network.trainable_variables)
            print(f"{len(data.classes)} classes of {dimension} elements; {self.chain!r}; {weights:,} weights")
        training = fit_arrays(
            model,
            data.training,
            data.held_out,
            steps=steps,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            optimization=optimization,
            checkpoint=checkpoint,
            network=self.configuration(),
            progress=progress,
        )
        if self.latent.scales == "batch":
            model.set_statistics(data.training, seed)
        self.adopt(model, data.classes, training.result.history.drop(columns="failed_simulations"), training.record)
        training.raise_error()
        return self

    def classify(self, x: Any) -> pd.DataFrame:
        """Probability of each class, by Bayes' rule with the classes as frequent as in the training data.

        Parameters
        ----------
        x : array (n, d)

        Returns
        -------
        DataFrame (n, k), one column for each class; ``.idxmax(axis=1)`` is the most probable one
        """
        logits = self._class_log_probs(x) + self._require_trained().log_weights()
        return pd.DataFrame(scipy.special.softmax(logits, axis=1), columns=list(self.classes))

    def log_prob(self, x: Any, labels: Any = None) -> np.ndarray:
        """Log density in nats.

        Parameters
        ----------
        x : array (n, d)
        labels : array (n,), optional

        Returns
        -------
        array (n,)
            log p(x | label) given labels; without them log p(x), the classes as frequent as in the training data.
        """
        densities = self._class_log_probs(x)
        if labels is None:
            return scipy.special.logsumexp(densities + self._require_trained().log_weights(), axis=1)
        labels = check_labels(labels, len(densities), "Argument 'labels'")
        indices = indices_of(labels, self.classes, "Argument 'labels'")
        return densities[np.arange(len(indices)), indices]

    def sample(self, label: Label, draws: int = 1_000, seed: int = 0) -> np.ndarray:
        """Draw vectors of a class, (draws, d)."""
        model = self._require_trained()
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise InputError("Argument 'draws'", expected="a positive integer", got=repr(draws), do="pass draws=1000")
        index = indices_of(check_labels([label], 1, "Argument 'label'"), self.classes, "Argument 'label'")[0]
        means, log_scales = (value.numpy()[index] for value in model.network.latent.parameters())
        noise = tf.random.stateless_normal((int(draws), len(means)), seeds.tensor_seed(seed, "draws"), alg="philox")
        return model.decode(means + np.exp(log_scales) * noise.numpy())

    def latent_codes(self, x: Any) -> np.ndarray:
        """The latent vectors z = f(x), (n, d), of x (n, d)."""
        model = self._require_trained()
        return model.encode(check_vectors(x, model.dimension, "Argument 'x'"))

    def from_latent(self, z: Any) -> np.ndarray:
        """The vectors x (n, d) that have latent vectors z (n, d): to see what an element of the latent does."""
        model = self._require_trained()
        return model.decode(check_vectors(z, model.dimension, "Argument 'z'"))

    @property
    def latent_means(self) -> np.ndarray:
        """Mean of each latent element in each class, (k, d), in the order of ``classes``."""
        return self._require_trained().network.latent.parameters()[0].numpy()

    @property
    def latent_scales(self) -> np.ndarray:
        """Standard deviation of each latent element in each class, (k, d)."""
        return np.exp(self._require_trained().network.latent.parameters()[1].numpy())

    def save(self, folder: str | Path) -> Path:
        """Write the model into a folder (``manifest.json`` and ``weights.h5``) for :meth:`load`."""
        trained = self._require_trained()
        entries = {
            "model": self.configuration(),
            "classes": list(self.classes),
            "training": self.training,
            "history": self.history.to_dict(orient="list"),
        }
        return write_model(folder, "LatentMixture", entries, trained.arrays(), trained.network)

    @staticmethod
    def load(folder: str | Path) -> LatentMixture:
        """Read a model that :meth:`save` wrote; its answers are equal to those of the model that was saved.

        Raises
        ------
        SavedPosteriorError
            For a folder that is not a saved latent mixture, is damaged, or has another format.
        """
        saved = read_model(folder, "LatentMixture", _SAVED, format1.rewrite)
        classes, history = saved.entries["classes"], pd.DataFrame(saved.entries["history"])
        standardisation = Standardisation(*(saved.array(f"data/{part}", (None,)) for part in ("mean", "scale")))
        with saved.explained("model", "a model that this version can build"), building():
            model = LatentMixture(**rebuild(saved.entries["model"]))
            trained = model.new_model(len(classes), standardisation, seed=0)
        saved.assign(trained.network)
        model.adopt(trained, classes, history, saved.entries["training"])
        return model

    def configuration(self) -> dict[str, Any]:
        """The constructor's arguments in plain values."""
        names = ("chain", "latent", "standardise", "noise", "quantum")
        return {name: describe(getattr(self, name)) for name in names}

    def new_model(self, classes: int, standardisation: Standardisation, seed: int) -> MixtureModel:
        """A network with new weights, the same for the same seed."""
        with seeds.seeded_initial_weights(seed):
            network = MixtureNetwork(clone(self.chain), clone(self.latent))
            network.build_for(classes, len(standardisation.mean))
        return MixtureModel(network, standardisation, self.noise, self.quantum)

    def adopt(
        self, model: MixtureModel, classes: Sequence[Label], history: pd.DataFrame, training: dict[str, Any]
    ) -> None:
        """Take over trained parts, from training or from a saved folder."""
        self._trained, self.classes, self.history, self.training = model, tuple(classes), history, training

    def __repr__(self) -> str:
        state = f"trained on classes {', '.join(map(repr, self.classes))}" if self._trained else "not trained"
        return f"LatentMixture, {state}\n  chain: {self.chain!r}\n  latent: {self.latent!r}"

    def _class_log_probs(self, x: Any) -> np.ndarray:
        model = self._require_trained()
        return model.class_log_probs(check_vectors(x, model.dimension, "Argument 'x'"))

    def _require_trained(self) -> MixtureModel:
        if self._trained is None:
            raise InputError(
                "LatentMixture",
                expected="a trained model",
                got="one that was never trained",
                do="call fit(x, labels) first, or LatentMixture.load(folder)",
            )
        return self._trained
