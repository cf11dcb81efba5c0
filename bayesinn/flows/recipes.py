"""Complete flows in one call: blocks of ActNorm, mixing layer, and the bijection in the name."""

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
    Householder,
    LULinear,
    MultiScale,
    Orthogonal,
    Permutation,
    Reshape,
    Residual,
    Spline,
    Subnet,
    Transform,
)
from bayesinn.bijections.bijection import FEATURES
from bayesinn.core.configuration import clone
from bayesinn.core.errors import (
    MOST_REPEATED,
    InputError,
    check_choice,
    check_flag,
    check_integer,
    check_number,
)
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import Latent

#: A name in :data:`MIXINGS`, bijections of the user, or none.
Mixing = str | Bijection | Sequence[str | Bijection] | None

MIXINGS: dict[str, Callable[[], Bijection]] = {
    "orthogonal": Orthogonal,
    "permutation": Permutation,
    "householder": Householder,
    "lu": LULinear,
}

_Maker = Callable[[], Bijection]


def coupling(
    blocks: int = 6,
    hidden: Sequence[int] = (128, 128),
    transform: Transform | None = None,
    mixing: Mixing = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    reversible: bool = False,
    subnet: Subnet | None = None,
) -> InvertibleFlow:
    """Make a flow of coupling blocks: the conditional invertible network of BayesFlow.

    Each block is ActNorm, a mixing layer, and a :class:`Coupling` of both halves. Weights are made
    for the shapes of the first data.

    Parameters
    ----------
    blocks : int, number of blocks
    hidden : sequence of int, units of the hidden layers in each of the two networks of a block
    transform : Transform, optional
        Map of each element. By default ``Affine()`` for two elements or more; a single element gets
        ``Composed([Affine(), Spline()])``, as affine maps alone would give a Gaussian. Use the
        latter also for several modes, thin curves or sharp edges: its affine part moves the
        spline's knots to where the posterior is, which is better than ``Spline()`` alone.
    mixing : {"orthogonal", "permutation", "householder", "lu"}, or Bijection, or several of them
        What comes before each coupling. Your own :class:`Bijection` is copied for each block:
        ``mixing=["orthogonal", MyBijection()]``.

        - "orthogonal": a fixed random rotation
        - "permutation": a fixed random permutation, best for hundreds of parameters
        - "householder", "lu": a learned map
    actnorm : bool, whether blocks begin with ActNorm
    latent : Latent, by default the standard normal
    activation : str, name of a Keras activation
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
    mixing: Mixing = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    direction: str = "density",
) -> InvertibleFlow:
    """Make a flow of :class:`Autoregressive` blocks: each element is transformed given all before.

    It is more flexible than as many couplings, and as fast to train. The other direction takes one
    pass for each element.

    Parameters
    ----------
    blocks, transform, mixing, actnorm, latent, activation, dropout : as for :func:`coupling`
    hidden : sequence of int
        Units of the hidden layers in each masked network, at least as many as elements.
    direction : {"density", "sampling"}
        The direction that takes one pass.

        - "density": masked autoregressive flow, to train on simulations
        - "sampling": inverse autoregressive flow, for fast draws; training may be slow

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
    mixing: Mixing = "orthogonal",
    actnorm: bool = True,
    latent: Latent | None = None,
    activation: str = "silu",
    dropout: float = 0.0,
    levels: int | None = None,
    reversible: bool = False,
) -> InvertibleFlow:
    """Make a flow of :class:`Hierarchical` blocks: couplings inside halves of couplings.

    The halves are split down to single elements. Within one block, every element depends on nearly
    every other, and both directions take one pass.

    Parameters
    ----------
    blocks, transform, mixing, actnorm, latent, activation, dropout, reversible
        As for :func:`coupling`.
    hidden : sequence of int
        Units of hidden layers at the outermost split; each inner level has half as many, at least
        16.
    levels : int, number of nested splits, by default down to single elements

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

    Densities are smooth, and no mixing layer is needed. The inverse is computed by iteration:
    sampling is slower than with couplings.

    Parameters
    ----------
    blocks : int, number of blocks; more than of couplings, as each is less flexible
    hidden : sequence of int, units of the hidden layers in each block
    lipschitz : float
        Largest factor by which g stretches distances, below 1. Nearer to 1, it is more flexible,
        and slower to invert.
    actnorm : bool, whether blocks begin with ActNorm, the only layer that can stretch by much
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
    mixing: Mixing = "orthogonal",
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

    Each level begins with :class:`Haar`, which halves the resolution. Coupling blocks with
    convolutional networks follow, and a part of the channels is finished; see :class:`MultiScale`.

    Parameters
    ----------
    levels : int, number of levels; height and width must be divisible by ``2 ** levels``
    blocks : int, number of coupling blocks in each level
    filters : sequence of int, channels of the hidden layers in each of the two networks of a block
    transform, mixing, actnorm, latent, activation, dropout, reversible
        As for :func:`coupling`; mixing and ActNorm act on channels. Without mixing (None), averages
        stay the first channels, and ``finished=0.75`` hands them on.
    finished : float
        Share of the channels that each level finishes; the last level finishes some only if
        ``dense`` blocks follow. Couplings split channels there, or one channel before: a level
        rounds the number that it finishes to the nearest, a coupling rounds its second half up.
    shape : sequence of int, optional
        The (height, width, channels) of events that arrive as vectors, such as parameters of a
        posterior.
    reads : str, or sequence of str
        Entry of the condition that the networks of all levels see, or one entry for each level:
        maps of half the height and width of events for the first, of a quarter for the second, such
        as those of :class:`~bayesinn.summaries.ConvImage`.
    dense : int
        Number of coupling blocks of vectors after the last level, for all channels that go on. They
        read the features, and have as many units as there are filters. Their default transform is
        an affine map and a spline, which separates modes.
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
    check_number("Argument 'finished' of a flow", finished, least=0, below=1)
    entries = levels * [reads] if isinstance(reads, str) else list(reads)
    if len(entries) != levels:
        raise InputError(
            "Argument 'reads' of a flow",
            expected=f"one name, or {levels}, one for each level",
            got=repr(reads),
            do="write for example levels=2, reads=('maps1', 'maps2')",
        )
    networks = subnet or Convolutional(filters, activation=activation, dropout=dropout)
    block = partial(
        Coupling, transform, subnet=networks, split=(1.0 - finished) if finished > 0 else 0.5
    )
    links = [
        [Haar(), *_blocks(partial(block, reads=name), blocks, mixing, actnorm)] for name in entries
    ]
    if dense:
        own_transform = transform or Composed([Affine(), Spline()])
        vector = partial(Coupling, own_transform, filters, activation, dropout)
        # Bijections of the user are of images.
        of_vectors = mixing if isinstance(mixing, str) else "orthogonal"
        links.append([Reshape(), *_blocks(vector, dense, of_vectors, actnorm)])
    scales = MultiScale([Chain(level, reversible) for level in links], finished)
    return InvertibleFlow(scales if shape is None else Chain([Reshape(shape), scales]), latent)


def _stack(
    block: _Maker,
    blocks: int,
    mixing: Mixing,
    actnorm: bool,
    latent: Latent | None,
    reversible: bool = False,
) -> InvertibleFlow:
    chain = Chain(_blocks(block, blocks, mixing, actnorm), reversible)
    return InvertibleFlow(chain, latent)


def _blocks(block: _Maker, blocks: int, mixing: Mixing, actnorm: bool) -> list[Bijection]:
    count = check_integer("Argument 'blocks' of a flow", blocks, do="start with blocks=6")
    if count > MOST_REPEATED:
        check_integer("Argument 'blocks' of a flow", count, most=MOST_REPEATED)
    parts: list[_Maker] = [ActNorm] if check_flag("Argument 'actnorm' of a flow", actnorm) else []
    for layer in (
        mixing if isinstance(mixing, Sequence) and not isinstance(mixing, str) else [mixing]
    ):
        if isinstance(layer, Bijection):
            parts.append(partial(clone, layer))
        elif layer is not None:
            do = "choose one of them, or pass a Bijection, such as bi.bijections.Orthogonal()"
            check_choice("Argument 'mixing' of a flow", layer, MIXINGS, do)
            parts.append(MIXINGS[layer])
    return [part() for _ in range(blocks) for part in (*parts, block)]
