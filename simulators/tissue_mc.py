"""Monte Carlo light transport in layered tissue: reflectance, transmittance and standard errors.

A pencil beam falls at a right angle on a stack of plane layers of infinite width. Each photon
packet moves by the rules of MCML: free paths are exponential with the scattering coefficient mu_s;
a new direction follows from the Henyey-Greenstein phase function; a boundary reflects with
Fresnel's probability, or refracts. Only totals over all exit points and angles are scored, so that
depth and cosine are the whole state of a packet: the layers look the same from every azimuth.

Absorption is not a random event. A packet that has travelled l_k in layer k carries exp(-sum_k
mu_a,k l_k), which has the same mean as MCML's factor mu_s / (mu_a + mu_s) for each collision. Paths
then don't depend on absorption, and the same ones serve any number of absorption coefficients
("white Monte Carlo"): give ``mu_a`` leading axes that the other properties lack. A change of mu_s
would need weights of its own for each collision, whose variance grows with their number, some
hundreds in tissue; wavelengths of different scattering are therefore simulated apart.

Packets that carry less than 1e-4 play roulette: one in ten goes on with ten times its weight.

Program: lanes take packets from one queue over all systems (tissues x wavelengths), so that no lane
waits while packets are left, and systems of long and short paths share the lanes. Each lane has its
own xoshiro128+ generator, started by TensorFlow's Philox from the seed: XLA's Philox in each step
takes several times as long as the step itself on a CPU.

Sources: L. Wang, S. L. Jacques, L. Zheng (1995), MCML, Computer Methods and Programs in Biomedicine
47:131; E. Alerstam, S. Andersson-Engels, T. Svensson (2008), White Monte Carlo, J. Biomed. Opt.
13:041304; D. Blackman, S. Vigna (2021), Scrambled linear pseudorandom number generators, ACM Trans.
Math. Softw. 47:36.

    >>> light = monte_carlo(
    ...     mu_a=[10.0], mu_s=[90.0], g=[0.75], n=[1.0], thickness=[0.02], photons=20_000, seed=1
    ... )
    >>> bool(abs(light.diffuse - 0.09739) < 4 * light.diffuse_error)  # van de Hulst (1980)
    True
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import count_threads
from bayesinn.core.errors import InputError
from bayesinn.core.progress import Progress

LANES = 4096
"""Packets that move at the same time."""
BATCH = 2**18
"""Packets between two updates of the progress display."""
# Between two looks at which packets have ended.
_STEPS = 16
_SMALL_WEIGHT = 1e-4
_SURVIVAL = 0.1


class Light(NamedTuple):
    """Fractions of the incident beam by where the light goes, with standard errors."""

    specular: tf.Tensor
    diffuse: tf.Tensor
    transmitted: tf.Tensor
    diffuse_error: tf.Tensor
    transmitted_error: tf.Tensor

    @property
    def absorbed(self) -> tf.Tensor:
        """What neither side gets back."""
        return 1.0 - self.specular - self.diffuse - self.transmitted


class _Lanes(NamedTuple):
    """State of the lanes, each tensor (lanes,): packets on their way, ended packets, idle lanes."""

    z: tf.Tensor
    cosine: tf.Tensor
    layer: tf.Tensor  # 1 is the topmost; 0 and layers + 1 are the sides
    paths: list[tf.Tensor]  # one for each layer
    gain: tf.Tensor  # by roulette; 0 in an idle lane
    system: tf.Tensor
    stack: _Stack
    generator: list[tf.Tensor]
    chance: _Chance


class _Stack(NamedTuple):
    """Properties of layers, from the top: as each lane's packet meets, or one row a system."""

    free_path: list[tf.Tensor]
    g: list[tf.Tensor]
    edges: list[tf.Tensor]  # one more than layers
    n: list[tf.Tensor]  # both sides included


class _Chance(NamedTuple):
    """Random numbers of the next step, drawn a step ahead: XLA computes each once.

    Otherwise, it would compute each number once for each use.
    """

    optical_depth: tf.Tensor
    uniform: tf.Tensor
    azimuth: tf.Tensor  # its cosine, whose distribution half a turn gives


def monte_carlo(
    mu_a: Any,
    mu_s: Any,
    g: Any,
    n: Any,
    thickness: Any,
    *,
    photons: int,
    seed: int | tf.Tensor,
    n_above: float = 1.0,
    n_below: float = 1.0,
    lanes: int = LANES,
    workers: int | None = None,
    shown: bool = True,
) -> Light:
    """Simulate photon packets in stacks of layers; results have the properties' batch shape.

    This is their common batch shape.

    Coefficients are in 1/cm, thicknesses in cm, all of shape (..., layers) from the illuminated
    side on, and are broadcast against each other. The last layer may be infinitely thick. Each
    system gets ``photons`` packets, on which the standard errors rest. Axes that ``mu_a`` alone has
    share their packets, and so their noise.

    ``seed`` is an integer or a stateless seed (2,). Batches of packets run on ``workers`` threads
    (by default, as many as TensorFlow uses for an operation), which changes no result. In a
    ``tf.function``, all is one compiled loop.
    """
    properties = [
        tf.convert_to_tensor(value, tf.float32) for value in (mu_a, mu_s, g, n, thickness)
    ]
    if tf.executing_eagerly():
        _check(photons, *(value.numpy() for value in properties))
    mu_a, (mu_s, g, n, thickness), order, shape = _split_axes(*properties)
    above = tf.fill(tf.shape(n[:, :1]), n_above)
    below = tf.fill(tf.shape(n[:, :1]), n_below)
    n = tf.concat([above, n, below], axis=1)
    seed = seeds.tensor_seed(seed, "simulations") if isinstance(seed, int) else seed

    systems = mu_a.shape[0]
    count = 1
    if tf.executing_eagerly():
        count = min(math.ceil(systems * photons / BATCH), photons)
    ends = [photons * batch // count for batch in range(count + 1)]

    def run(batch: int) -> tf.Tensor:
        share = tf.constant(ends[batch + 1] - ends[batch])
        own_seed = seeds.fold_in(seed, batch)
        sums, _ = simulate(mu_a, mu_s, g, n, thickness, share, own_seed, lanes=lanes)
        return sums

    if count == 1:
        sums = run(0)
    else:
        threads = workers or count_threads()
        sums = tf.zeros((), tf.float64)
        with (
            Progress(
                "Monte Carlo", systems * photons, "photons", shown=shown, delay=5.0
            ) as progress,
            ThreadPoolExecutor(threads) as pool,
        ):
            for batch, found in enumerate(pool.map(run, range(count))):
                sums += found
                progress.update(systems * ends[batch + 1])
    light = _light(sums, n, photons)
    return Light(*(tf.transpose(tf.reshape(value, shape), order) for value in light))


@tf.function(jit_compile=True, autograph=False)
def simulate(
    mu_a: tf.Tensor, mu_s: tf.Tensor, g: tf.Tensor, n: tf.Tensor, thickness: tf.Tensor,
    photons: tf.Tensor, seed: tf.Tensor, *, lanes: int,
) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
    """Return sums of weights and of squares (systems, absorptions, side, 2), and steps by lane.

    The squares are of weights; the latter is the number of steps that each lane took.

    ``mu_a`` is (systems, absorptions, layers), ``n`` is (systems, layers + 2), the rest (systems,
    layers).
    """
    systems = tf.shape(mu_a)[0]
    absorptions, layers = mu_a.shape[1:]
    # A large free path rather than infinity, which times a length of zero would be NaN.
    edges = tf.pad(tf.cumsum(thickness, axis=1), [[0, 0], [1, 0]])
    columns = (1.0 / tf.maximum(mu_s, 1e-30), g, edges, n)
    stacks = _Stack(*(tf.unstack(tf.transpose(value), axis=0) for value in columns))
    # [absorption][layer]: (systems,)
    absorption = [tf.unstack(value, axis=-1) for value in tf.unstack(mu_a, axis=1)]
    # More than 32 bits hold, where there are many tissues.
    photons = tf.cast(photons, tf.int64)
    total = tf.cast(systems, tf.int64) * photons

    def advance(
        launched: tf.Tensor, rounds: tf.Tensor, sums: tf.Tensor, state: _Lanes
    ) -> tuple[Any, ...]:
        weights = [
            state.gain
            * tf.exp(
                -sum(
                    _take(mu, state.system) * path
                    for mu, path in zip(each, state.paths, strict=True)
                )
            )
            for each in absorption
        ]
        ended = (state.layer < 1) | (state.layer > layers)
        below = tf.cast(state.layer > layers, tf.int32)
        for number, weight in enumerate(weights):
            place = 2 * (state.system * absorptions + number) + below
            score = tf.cast(tf.where(ended, weight, 0.0), tf.float64)
            sums = [
                tf.tensor_scatter_nd_add(each, place[:, None], value)
                for each, value in zip(sums, (score, score * score), strict=True)
            ]
        state = _roulette(state, tf.reduce_max(tf.stack(weights), axis=0) < _SMALL_WEIGHT)
        launched, state = _launch(
            state, ended | (state.gain == 0.0), launched, total, photons, stacks
        )
        state = tf.while_loop(
            lambda step, _: step < _STEPS, lambda step, each: (step + 1, _step(each)), (0, state)
        )[1]
        return launched, rounds + 1, sums, state

    def unfinished(
        launched: tf.Tensor, rounds: tf.Tensor, sums: tf.Tensor, state: _Lanes
    ) -> tf.Tensor:
        return (launched < total) | tf.reduce_any(state.gain > 0.0)

    zero = [tf.zeros(2 * systems * absorptions, tf.float64)] * 2
    start = (tf.zeros((), tf.int64), tf.zeros((), tf.int32), zero, _idle(stacks, lanes, seed))
    _, rounds, sums, _ = tf.while_loop(unfinished, advance, start)
    return tf.reshape(tf.stack(sums, axis=-1), (systems, absorptions, 2, 2)), rounds * _STEPS


def _step(state: _Lanes) -> _Lanes:
    """Move each packet to its next collision and scatter it, or to a boundary and refract it.

    At the boundary, it may also be reflected.
    """
    z = state.z
    cosine = state.cosine
    layer = state.layer
    stack = state.stack
    chance = state.chance
    down = cosine > 0.0
    edge = tf.where(down, _pick(stack.edges[1:], layer), _pick(stack.edges[:-1], layer))
    to_edge = tf.abs(edge - z) / tf.maximum(tf.abs(cosine), 1e-20)
    # Drawn anew after a boundary: what is left of an exponential length has the same distribution.
    to_collision = chance.optical_depth * _pick(stack.free_path, layer)
    at_edge = to_edge <= to_collision
    length = tf.minimum(to_edge, to_collision)
    paths = [
        path + tf.where(layer == number, length, 0.0) for number, path in enumerate(state.paths, 1)
    ]

    inside = _pick(stack.n[1:-1], layer)
    outside = tf.where(down, _pick(stack.n[2:], layer), _pick(stack.n[:-2], layer))
    reflected, refracted = _fresnel(tf.abs(cosine), inside, outside, chance.uniform)
    leaving = tf.where(reflected, -cosine, tf.where(down, refracted, -refracted))
    # One uniform number serves both: a packet either scatters or meets a boundary.
    scattered = _scatter(cosine, _pick(stack.g, layer), chance)
    crossed = at_edge & ~reflected & (layer >= 1) & (layer <= len(state.paths))
    generator, following = _draw(state.generator)
    return state._replace(
        z=tf.where(at_edge, edge, z + cosine * length),
        cosine=tf.where(at_edge, leaving, scattered),
        layer=tf.where(crossed, layer + tf.where(down, 1, -1), layer),
        paths=paths,
        generator=generator,
        chance=following,
    )


def _fresnel(
    cosine: tf.Tensor, inside: tf.Tensor, outside: tf.Tensor, uniform: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return whether unpolarised light is reflected, and the cosine of refraction otherwise."""
    squared = (inside / outside) ** 2
    # In this form exact for equal indices; zero beyond the critical angle, where all is reflected.
    refracted = tf.sqrt(tf.maximum(1.0 - squared + squared * cosine * cosine, 0.0))
    a = inside * cosine
    b = outside * refracted
    c = inside * refracted
    d = outside * cosine
    s = (a - b) * (c + d)
    p = (c - d) * (a + b)
    whole = (a + b) * (c + d)
    return 2.0 * uniform * whole * whole <= s * s + p * p, refracted


def _scatter(cosine: tf.Tensor, g: tf.Tensor, chance: _Chance) -> tf.Tensor:
    """Return the cosine to the axis after a deflection by the law of Henyey and Greenstein."""
    t = 2.0 * chance.uniform - 1.0
    # The usual formula, with its division by g carried out, so that g = 0 is no special case.
    deflection = (2.0 * t + g * (3.0 + t * t) + g * g * (2.0 * t - g * (1.0 - t * t))) / (
        2.0 * (1.0 + g * t) ** 2
    )
    deflection = tf.clip_by_value(deflection, -1.0, 1.0)
    sines = tf.sqrt((1.0 - deflection * deflection) * (1.0 - cosine * cosine))
    return tf.clip_by_value(cosine * deflection + sines * chance.azimuth, -1.0, 1.0)


def _roulette(state: _Lanes, light: tf.Tensor) -> _Lanes:
    """Let packets of small weight survive at random, heavier by what the others lose."""
    generator, uniform = _uniform(state.generator)
    gain = tf.where(uniform < _SURVIVAL, state.gain / _SURVIVAL, 0.0)
    return state._replace(gain=tf.where(light, gain, state.gain), generator=generator)


def _launch(
    state: _Lanes,
    free: tf.Tensor,
    launched: tf.Tensor,
    total: tf.Tensor,
    photons: tf.Tensor,
    stacks: _Stack,
) -> tuple[tf.Tensor, _Lanes]:
    """Start the next packets of the queue in free lanes; a lane is idle once the queue is empty."""
    numbers = launched + tf.cast(tf.cumsum(tf.cast(free, tf.int32)), tf.int64)
    new = free & (numbers <= total)
    system = tf.where(new, tf.cast((numbers - 1) // photons, tf.int32), state.system)
    return tf.minimum(numbers[-1], total), state._replace(
        z=tf.where(free, 0.0, state.z),
        cosine=tf.where(free, 1.0, state.cosine),
        layer=tf.where(free, tf.where(new, 1, 0), state.layer),
        paths=[tf.where(free, 0.0, path) for path in state.paths],
        gain=tf.where(free, tf.cast(new, tf.float32), state.gain),
        system=system,
        stack=tf.nest.map_structure(lambda row: _take(row, system), stacks),
    )


def _idle(stacks: _Stack, lanes: int, seed: tf.Tensor) -> _Lanes:
    """Return lanes without packets, with generators of their own."""
    zero = tf.zeros(lanes)
    whole = tf.zeros(lanes, tf.int32)
    words = tf.random.stateless_uniform((4, lanes), seed, None, None, tf.int32, alg="philox")
    generator, chance = _draw(tf.unstack(tf.bitcast(words, tf.uint32)))
    stack = tf.nest.map_structure(lambda row: _take(row, whole), stacks)
    paths = [zero] * len(stacks.g)
    return _Lanes(zero, zero + 1.0, whole, paths, zero, whole, stack, generator, chance)


def _draw(generator: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], _Chance]:
    generator, first = _uniform(generator)
    generator, second = _uniform(generator)
    generator, third = _uniform(generator)
    return generator, _Chance(-tf.math.log(first), second, _sine(math.pi * (third - 0.5)))


def _sine(x: tf.Tensor) -> tf.Tensor:
    """Return the sine between -pi / 2 and pi / 2 by its series.

    XLA's takes as long as the rest of a step on a CPU.
    """
    square = x * x
    result = 1.0
    for power in (10, 8, 6, 4, 2):
        result = 1.0 - square / (power * (power + 1)) * result
    return x * result


def _uniform(generator: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Return the generator's next state, and numbers (0, 1) from xoshiro128+'s 23 upper bits."""
    left = tf.bitwise.left_shift
    right = tf.bitwise.right_shift
    xor = tf.bitwise.bitwise_xor
    a, b, c, d = generator
    bits = tf.cast(tf.bitcast(right(a + d, _word(9)), tf.int32), tf.float32)
    shifted = left(b, _word(9))
    c = xor(c, a)
    d = xor(d, b)
    b = xor(b, c)
    a = xor(a, d)
    c = xor(c, shifted)
    return [a, b, c, tf.bitwise.bitwise_or(left(d, _word(11)), right(d, _word(21)))], (
        bits + 0.5
    ) * 2.0**-23


def _word(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint32)


def _pick(rows: Sequence[tf.Tensor], layer: tf.Tensor) -> tf.Tensor:
    """Return the row of each lane's layer; selections, as a gather is not vectorised on a CPU."""
    found = rows[-1]
    for number in range(len(rows) - 1, 0, -1):
        found = tf.where(layer <= number, rows[number - 1], found)
    return found


def _take(row: tf.Tensor, system: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(row, system.shape) if row.shape[0] == 1 else tf.gather(row, system)


def _light(sums: tf.Tensor, n: tf.Tensor, photons: int) -> Light:
    """Return fractions (systems, absorptions): the beam enters without the surface's reflection."""
    specular = tf.cast(((n[:, 0] - n[:, 1]) / (n[:, 0] + n[:, 1])) ** 2, tf.float64)[:, None]
    mean, square = tf.unstack(sums / photons, axis=-1)
    error = tf.sqrt(tf.maximum(square - mean**2, 0.0) / photons)
    (diffuse, transmitted), (diffuse_error, transmitted_error) = (
        tf.unstack((1.0 - specular[..., None]) * value, axis=-1) for value in (mean, error)
    )
    values = (
        specular + tf.zeros_like(diffuse),
        diffuse,
        transmitted,
        diffuse_error,
        transmitted_error,
    )
    return Light(*(tf.cast(value, tf.float32) for value in values))


def _split_axes(
    mu_a: tf.Tensor, *others: tf.Tensor
) -> tuple[tf.Tensor, list[tf.Tensor], list[int], tf.Tensor]:
    """Part batch axes into those of systems and of ``mu_a`` alone, whose entries share packets.

    Return mu_a (systems, absorptions, layers), the others (systems, layers), and how results
    (systems, absorptions) get the common batch shape: the order of axes in which they are
    transposed, once they are reshaped to the last list.
    """
    values = [mu_a, *others]
    rank = max(value.shape.rank for value in values)
    values = [value[(None,) * (rank - value.shape.rank)] for value in values]
    whole = functools.reduce(tf.broadcast_dynamic_shape, [tf.shape(value) for value in values])
    layers = max(value.shape[-1] for value in values)
    alone = []
    for axis in range(rank - 1):
        shared = all(value.shape[axis] == 1 for value in values[1:])
        if shared and values[0].shape[axis] != 1:
            alone.append(axis)
    order = [*(axis for axis in range(rank - 1) if axis not in alone), *alone]
    mu_a = tf.transpose(tf.broadcast_to(values[0], whole), [*order, rank - 1])
    mu_a = tf.reshape(mu_a, (-1, math.prod(values[0].shape[axis] for axis in alone), layers))
    own = tf.stack([1 if axis in alone else whole[axis] for axis in range(rank)])
    rest = [tf.reshape(tf.broadcast_to(value, own), (-1, layers)) for value in values[1:]]
    return (
        mu_a,
        rest,
        [order.index(axis) for axis in range(rank - 1)],
        tf.gather(whole, tf.constant(order, tf.int32)),
    )


def _check(
    photons: int,
    mu_a: np.ndarray,
    mu_s: np.ndarray,
    g: np.ndarray,
    n: np.ndarray,
    thickness: np.ndarray,
) -> None:
    infinite = np.isinf(thickness[..., -1])
    ends_packets = (mu_a[..., -1] > 0) & (mu_s[..., -1] > 0)
    finite = np.all(np.isfinite(thickness[..., :-1]))
    coefficients = "finite coefficients of 0 or more"
    thick = "positive thicknesses, finite but for the last layer's"
    ending = "absorption and scattering in an infinite layer, without which packets never end"
    rules = {
        "photons": (photons >= 1, "one packet or more", photons),
        "mu_a": (np.all(np.isfinite(mu_a) & (mu_a >= 0)), coefficients, mu_a),
        "mu_s": (np.all(np.isfinite(mu_s) & (mu_s >= 0)), coefficients, mu_s),
        "g": (np.all(np.abs(g) < 1), "anisotropies between -1 and 1", g),
        "n": (np.all(np.isfinite(n) & (n > 0)), "positive refractive indices", n),
        "thickness": (np.all(thickness > 0) and finite, thick, thickness),
        "thickness of the last layer": (np.all(~infinite | ends_packets), ending, thickness),
    }
    for name, (fine, expected, got) in rules.items():
        if not fine:
            raise InputError(
                f"Argument {name!r} of monte_carlo",
                expected=expected,
                got=str(got),
                do="correct it",
            )
