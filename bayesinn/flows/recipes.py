"""Complete flows in one call: blocks of ActNorm, mixing layer, and the bijection in the name.

The flow is named after its bijection.
"""

from collections.abc import Callable, Sequence
from functools import partial

from bayesinn.bijections import (
    ActNorm,
    Affine,
    Autoregressive,
    Bijection,
    Chain,
    Composed,
    Convolutional,
    Coupling,
    Haar,
    Hierarchical,
    MultiScale,
    Reshape,
    Residual,
    Spline,
    Subnet,
    Transform,
)
from bayesinn.bijections.condition import FEATURES
from bayesinn.bijections.mixing import MIXINGS
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_choice, check_integer
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents.latent import Latent

_Maker = Callable[[], Bijection]


def coupling(
    blocks: int = 6,
    hidden: Sequence[int] = (128, 128),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    reversible: bool = False,
    subnet: Subnet | None = None,
) -> InvertibleFlow:
    """Make a flow of coupling blocks: the conditional invertible network of BayesFlow.

    Each block is ActNorm, a mixing layer, and a :class:`Coupling` of both halves. The first data
    make the weights.

    Parameters
    ----------
    blocks : int
    hidden : sequence of int, units of the hidden layers in each of the two networks of a block
    transform : Transform, optional
        Map of each element: ``Affine()``, or for posteriors with several modes, thin curves or
        sharp edges ``Composed([Affine(), Spline()])``. The affine part moves the spline's knots to
        where the posterior is, and does better than ``Spline()`` alone. Left out, it is affine for
        two elements or more; a single element gets both, as affine maps alone could only give a
        Gaussian.
    mixing : {"orthogonal", "permutation", "householder", "lu"}
        A fixed random rotation, a fixed random permutation (best for hundreds of parameters), or a
        map that is learned.
    actnorm : bool, whether blocks begin with ActNorm
    latent : Latent, by default the standard normal
    activation : str, any that Keras knows
    dropout : float, share of hidden units dropped in training
    reversible : bool, whether to train without storing activations; see :class:`Chain`
    subnet : Subnet, networks in place of ``hidden``, ``activation`` and ``dropout``

    References
    ----------
    Radev, Mertens, Voss, Ardizzone and Köthe (2020), BayesFlow, arXiv:2003.06281.

    Examples
    --------
    >>> coupling(blocks=2, hidden=(64, 64))
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Orthogonal(), Coupling(hidden=(64, 64))]))
    """
    block = partial(Coupling, transform, hidden, activation, dropout, subnet=subnet)
    return _stack(block, blocks, mixing, actnorm, latent, reversible)


def autoregressive(
    blocks: int = 5,
    hidden: Sequence[int] = (128, 128),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    direction: str = "density",
) -> InvertibleFlow:
    """Make a flow of :class:`Autoregressive` blocks: transform each element given all before it.

    More flexible than as many couplings, and as fast to train; the other direction takes one pass
    for each element.

    Parameters
    ----------
    blocks, transform, mixing, actnorm, latent, activation, dropout : as for :func:`coupling`
    hidden : sequence of int
        Units of the hidden layers in each masked network, at least as many as elements.
    direction : {"density", "sampling"}
        The direction that takes one pass: ``"density"`` (masked autoregressive flow) to train on
        simulations, ``"sampling"`` (inverse autoregressive flow) where draws must be fast and
        training may be slow.

    Examples
    --------
    >>> autoregressive(blocks=2, hidden=(64, 64), mixing="permutation")
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Permutation(), Autoregressive(hidden=(64, 64))]))
    """
    block = partial(Autoregressive, transform, hidden, activation, dropout, direction)
    return _stack(block, blocks, mixing, actnorm, latent)


def hint(
    blocks: int = 4,
    hidden: Sequence[int] = (64, 64),
    transform: Transform | None = None,
    mixing: str = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    levels: int | None = None,
    reversible: bool = False,
) -> InvertibleFlow:
    """Make a flow of :class:`Hierarchical` blocks: couplings inside halves of couplings.

    This goes down to single elements.

    Every element depends on nearly every other within one block, and both directions take one pass.

    Parameters
    ----------
    blocks, transform, mixing, actnorm, latent, activation, dropout, reversible
        As for :func:`coupling`.
    hidden : sequence of int
        Units of hidden layers at the outermost split; each level in has half of them, at least 16.
    levels : int, splits inside one another, by default down to single elements

    Examples
    --------
    >>> hint(blocks=2)
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Orthogonal(), Hierarchical(hidden=(64, 64))]))
    """
    block = partial(Hierarchical, transform, hidden, activation, dropout, levels)
    return _stack(block, blocks, mixing, actnorm, latent, reversible)


def residual(
    blocks: int = 10,
    hidden: Sequence[int] = (64, 64),
    lipschitz: float = 0.9,
    actnorm: bool = True,
    latent: Latent | None = None,
    log_det: str = "exact",
) -> InvertibleFlow:
    """Make a flow of :class:`Residual` blocks: z = x + g(x), where g is a contraction.

    Nothing has to be mixed, and densities are smooth. The inverse is iterated: sampling is slower
    than with couplings.

    Parameters
    ----------
    blocks : int, more than of couplings, as each can do little
    hidden : sequence of int, units of the hidden layers in each block
    lipschitz : float
        How much g can stretch a distance, below 1; nearer to 1 is more flexible, and slower to
        invert.
    actnorm : bool, whether blocks begin with ActNorm, the only place that can stretch by much
    latent : Latent, by default the standard normal
    log_det : {"exact", "truncated", "unbiased"}
        Log-determinants in training; see :class:`Residual`.

    Examples
    --------
    >>> residual(blocks=2)
    InvertibleFlow(chain=Chain(2 * [ActNorm(), Residual()]))
    """
    block = partial(Residual, hidden, lipschitz, log_det=log_det)
    return _stack(block, blocks, None, actnorm, latent)


def image(
    levels: int = 2,
    blocks: int = 4,
    filters: Sequence[int] = (64, 64),
    transform: Transform | None = None,
    mixing: str | None = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "relu",
    dropout: float = 0.0,
    reversible: bool = False,
    finished: float = 0.5,
    shape: Sequence[int] | None = None,
    reads: str | Sequence[str] = FEATURES,
    dense: int = 0,
    subnet: Subnet | None = None,
) -> InvertibleFlow:
    """Make a flow of images (height, width, channels): RealNVP and Glow, with wavelets.

    Each level begins with :class:`Haar`, which halves the resolution, goes on with coupling blocks
    whose networks are convolutions, and finishes a part of the channels; see :class:`MultiScale`.

    Parameters
    ----------
    levels : int; height and width must be divisible by two as often
    blocks : int, coupling blocks in each level
    filters : sequence of int, channels of the hidden layers in each of the two networks of a block
    transform, mixing, actnorm, latent, activation, dropout, reversible
        As for :func:`coupling`; mixing and ActNorm act on channels. Without mixing (None) averages
        stay first, and ``finished=0.75`` hands them on.
    finished : float
        Share of the channels that each level finishes, the last one only before ``dense`` blocks.
        Couplings split channels there.
    shape : sequence of int, optional
        The (height, width, channels) of events that arrive as vectors, as the parameters of a
        posterior do.
    reads : str, or sequence of str
        Entry of the condition that the networks of all levels see, or one for each level: maps of
        half the height and width of events for the first, of a quarter for the second, such as
        :class:`~bayesinn.summaries.ConvImage` gives.
    dense : int
        Coupling blocks of vectors after the last level, of all that goes on; they read the
        features, and have as many units as there are filters. Their transform, if left out, is an
        affine map and a spline, which tells modes apart.
    subnet : Subnet, networks of the levels in place of ``filters``, ``activation``, ``dropout``

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803.
    Kingma and Dhariwal (2018), Glow, arXiv:1807.03039.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = image(levels=2, blocks=1, filters=(16, 16))
    >>> flow.log_prob(tf.ones((5, 8, 8, 1)), condition=tf.ones((5, 10))).shape
    TensorShape([5])
    >>> flow.sample(3, condition=tf.ones((5, 10)), seed=(1, 2)).shape
    TensorShape([5, 3, 8, 8, 1])
    """
    check_integer("Argument 'levels' of a flow", levels, do="start with levels=2")
    entries = levels * [reads] if isinstance(reads, str) else list(reads)
    if len(entries) != levels:
        raise InputError(
            "Argument 'reads' of a flow",
            expected=f"one name, or {levels}, one for each level",
            got=repr(reads),
            do="write for example levels=2, reads=('maps1', 'maps2')",
        )
    own = subnet or Convolutional(filters, activation=activation, dropout=dropout)
    block = partial(
        Coupling, transform, subnet=own, split=(1.0 - finished) if finished > 0 else 0.5
    )
    links = [
        [Haar(), *_blocks(partial(block, reads=name), blocks, mixing, actnorm)] for name in entries
    ]
    if dense:
        own_transform = transform or Composed([Affine(), Spline()])
        vector = partial(Coupling, own_transform, filters, activation, dropout)
        links.append([Reshape(), *_blocks(vector, dense, mixing or "orthogonal", actnorm)])
    scales = MultiScale([Chain(level, reversible) for level in links], finished)
    return InvertibleFlow(scales if shape is None else Chain([Reshape(shape), scales]), latent)


def _stack(
    block: _Maker,
    blocks: int,
    mixing: str | None,
    actnorm: bool,
    latent: Latent | None,
    reversible: bool = False,
) -> InvertibleFlow:
    chain = Chain(_blocks(block, blocks, mixing, actnorm), reversible)
    return InvertibleFlow(chain, latent)


def _blocks(block: _Maker, blocks: int, mixing: str | None, actnorm: bool) -> list[Bijection]:
    check_integer("Argument 'blocks' of a flow", blocks, do="start with blocks=6")
    parts: list[_Maker] = [ActNorm] if actnorm else []
    if mixing is not None:
        check_choice("Argument 'mixing' of a flow", mixing, MIXINGS)
        parts.append(MIXINGS[mixing])
    return [part() for _ in range(blocks) for part in (*parts, block)]
