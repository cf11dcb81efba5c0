"""Colours between sRGB and CIE Lab (D65): lightness L, from green to red a, from blue to yellow b."""

from __future__ import annotations

import numpy as np

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)
_EDGE = 6.0 / 29.0


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """Return L, a and b (..., 3) of colours (..., 3) between 0 and 1."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    share = linear @ _TO_XYZ.T / _WHITE
    x, y, z = np.moveaxis(
        np.where(share > _EDGE**3, np.cbrt(share), share / (3.0 * _EDGE**2) + 4.0 / 29.0), -1, 0
    )
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) of L, a and b; what screens can't show is cut off at 0 and 1."""
    middle = (lab[..., :1] + 16.0) / 116.0
    parts = middle + lab[..., 1:2] / 500.0, middle, middle - lab[..., 2:] / 200.0
    share = np.concatenate(parts, axis=-1)
    xyz = _WHITE * np.where(share > _EDGE, share**3, 3.0 * _EDGE**2 * (share - 4.0 / 29.0))
    linear = np.clip(xyz @ np.linalg.inv(_TO_XYZ).T, 0.0, 1.0)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1.0 / 2.4) - 0.055, 12.92 * linear)
