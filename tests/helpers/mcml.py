"""MCML in plain NumPy, as its authors describe it: the yardstick of ``simulators/tissue_mc.py``.

Directions have three components, and each collision absorbs the share mu_a / (mu_a + mu_s) of a
packet. Twice the same method: photon by photon, and with arrays of all packets that live. Layers
are (n, mu_a, mu_s, g, thickness), from the top, with air above and below.

Source: L. Wang, S. L. Jacques (1992), Monte Carlo modeling of light transport in multi-layered
tissues in standard C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Layer = tuple[float, float, float, float, float]
SMALL = 1e-4
SURVIVAL = 0.1


class Scores(NamedTuple):
    """Fractions of incident light, the absorbed by layer; a packet's collisions, boundary hits."""

    diffuse: float
    transmitted: float
    absorbed: np.ndarray
    steps: float


def specular(layers: Sequence[Layer]) -> float:
    return ((1.0 - layers[0][0]) / (1.0 + layers[0][0])) ** 2


def by_photon(layers: Sequence[Layer], photons: int, seed: int) -> Scores:
    """Follow one packet after another."""
    uniform = np.random.default_rng(seed).random
    edges = [0.0, *np.cumsum([layer[4] for layer in layers]).tolist()]
    indices = [1.0, *(layer[0] for layer in layers), 1.0]
    sides = [0.0, 0.0]
    absorbed = np.zeros(len(layers))
    steps = 0
    for _ in range(photons):
        z = 0.0
        ux = 0.0
        uy = 0.0
        uz = 1.0
        layer = 0
        left = 0.0
        weight = 1.0 - specular(layers)
        while weight > 0.0:
            steps += 1
            _, mu_a, mu_s, g, _ = layers[layer]
            left = left or -math.log(1.0 - uniform())
            step = left / (mu_a + mu_s)
            down = uz > 0.0
            edge = edges[layer + down]
            distance = (edge - z) / uz if uz else math.inf
            if step >= distance:
                z = edge
                left = left - distance * (mu_a + mu_s)
                following = layer + (1 if down else -1)
                inside = indices[layer + 1]
                outside = indices[following + 1]
                reflectance, cosine = fresnel(inside, outside, abs(uz))
                if uniform() < reflectance:
                    uz = -uz
                elif 0 <= following < len(layers):
                    layer = following
                    uz = cosine if uz > 0.0 else -cosine
                    ux = ux * inside / outside
                    uy = uy * inside / outside
                else:
                    sides[down] += weight
                    weight = 0.0
                continue
            z = z + step * uz
            left = 0.0
            absorbed[layer] += weight * mu_a / (mu_a + mu_s)
            weight *= mu_s / (mu_a + mu_s)
            ux, uy, uz = deflect(ux, uy, uz, g, uniform(), 2.0 * math.pi * uniform())
            if weight < SMALL:
                weight = weight / SURVIVAL if uniform() < SURVIVAL else 0.0
    return Scores(sides[0] / photons, sides[1] / photons, absorbed / photons, steps / photons)


def fresnel(inside: float, outside: float, cosine: float) -> tuple[float, float]:
    """Return the reflectance of unpolarised light, and the cosine of the refracted ray."""
    if inside == outside:
        return 0.0, cosine
    sine = inside / outside * math.sqrt(1.0 - cosine * cosine)
    if sine >= 1.0:
        return 1.0, 0.0
    refracted = math.sqrt(1.0 - sine * sine)
    s = (inside * cosine - outside * refracted) / (inside * cosine + outside * refracted)
    p = (inside * refracted - outside * cosine) / (inside * refracted + outside * cosine)
    return (s * s + p * p) / 2.0, refracted


def deflect(
    ux: float, uy: float, uz: float, g: float, uniform: float, azimuth: float
) -> tuple[float, float, float]:
    """Return the direction after a scattering by the law of Henyey and Greenstein."""
    if g == 0.0:
        cosine = 2.0 * uniform - 1.0
    else:
        cosine = (1.0 + g * g - ((1.0 - g * g) / (1.0 - g + 2.0 * g * uniform)) ** 2) / (2.0 * g)
    cosine = min(max(cosine, -1.0), 1.0)
    sine = math.sqrt(1.0 - cosine * cosine)
    a = math.cos(azimuth)
    b = math.sin(azimuth)
    if abs(uz) > 1.0 - 1e-12:
        return sine * a, sine * b, cosine if uz > 0.0 else -cosine
    root = math.sqrt(1.0 - uz * uz)
    return (
        sine * (ux * uz * a - uy * b) / root + ux * cosine,
        sine * (uy * uz * a + ux * b) / root + uy * cosine,
        -sine * a * root + uz * cosine,
    )


def by_arrays(layers: Sequence[Layer], photons: int, seed: int) -> Scores:
    """Follow all packets at once; those that have ended are taken out of the arrays."""
    generator = np.random.default_rng(seed)
    n, mu_a, mu_s, g, thickness = np.array(layers).T
    mu_t = mu_a + mu_s
    edges = np.concatenate([[0.0], np.cumsum(thickness)])
    indices = np.array([1.0, *n, 1.0])
    z = np.zeros(photons)
    left = np.zeros(photons)
    layer = np.zeros(photons, int)
    u = np.tile([[0.0], [0.0], [1.0]], photons)
    weight = np.full(photons, 1.0 - specular(layers))
    sides = np.zeros(2)
    absorbed = np.zeros(len(layers))
    steps = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        while z.size:
            steps += z.size
            left = np.where(left == 0.0, -np.log(1.0 - generator.random(z.size)), left)
            step = left / mu_t[layer]
            down = u[2] > 0.0
            edge = edges[layer + down]
            distance = np.where(u[2] == 0.0, np.inf, (edge - z) / u[2])
            hit = step >= distance
            z = np.where(hit, edge, z + step * u[2])
            left = np.where(hit, left - distance * mu_t[layer], 0.0)

            boundary = np.flatnonzero(hit)
            collision = np.flatnonzero(~hit)
            here = layer[boundary]
            following = layer[boundary] + np.where(down[boundary], 1, -1)
            ratio = indices[here + 1] / indices[following + 1]
            cosine = np.abs(u[2, boundary])
            refracted = np.sqrt(np.maximum(1.0 - ratio**2 * (1.0 - cosine**2), 0.0))
            s = (ratio * cosine - refracted) / (ratio * cosine + refracted)
            p = (ratio * refracted - cosine) / (ratio * refracted + cosine)
            reflectance = np.where(refracted == 0.0, 1.0, (s * s + p * p) / 2.0)
            crossing = generator.random(boundary.size) >= reflectance
            u[2, boundary[~crossing]] *= -1.0
            crossed = boundary[crossing]
            u[:2, crossed] *= ratio[crossing]
            u[2, crossed] = np.copysign(refracted[crossing], u[2, crossed])
            layer[crossed] = following[crossing]
            for side, number in enumerate((-1, len(layers))):
                out = crossed[layer[crossed] == number]
                sides[side] += weight[out].sum()
                weight[out] = 0.0

            here = layer[collision]
            loss = weight[collision] * mu_a[here] / mu_t[here]
            absorbed += np.bincount(here, loss, len(layers))
            weight[collision] -= loss
            u[:, collision] = deflect_arrays(u[:, collision], g[here], generator)
            small = np.flatnonzero((weight < SMALL) & (weight > 0.0) & ~hit)
            weight[small] *= (generator.random(small.size) < SURVIVAL) / SURVIVAL
            alive = weight > 0.0
            z = z[alive]
            left = left[alive]
            layer = layer[alive]
            weight = weight[alive]
            u = u[:, alive]
    return Scores(*(sides / photons), absorbed / photons, steps / photons)


def deflect_arrays(u: np.ndarray, g: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    uniform = generator.random(g.size)
    azimuth = 2.0 * np.pi * generator.random(g.size)
    cosine = (1.0 + g * g - ((1.0 - g * g) / (1.0 - g + 2.0 * g * uniform)) ** 2) / (2.0 * g)
    cosine = np.clip(np.where(g == 0.0, 2.0 * uniform - 1.0, cosine), -1.0, 1.0)
    sine = np.sqrt(1.0 - cosine**2)
    a = np.cos(azimuth)
    b = np.sin(azimuth)
    x, y, z = u
    root = np.sqrt(1.0 - z * z)
    turned = np.stack(
        [
            sine * (x * z * a - y * b) / root + x * cosine,
            sine * (y * z * a + x * b) / root + y * cosine,
            -sine * a * root + z * cosine,
        ]
    )
    upright = np.stack([sine * a, sine * b, np.sign(z) * cosine])
    return np.where(np.abs(z) > 1.0 - 1e-12, upright, turned)
