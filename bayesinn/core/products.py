"""Layers that are products with weights, which mixed precision computes in bfloat16."""

from keras import layers

# Not recurrent layers: a state that is a sum over hundreds of steps needs more than 8 bits.
_kinds: list[type] = [
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
]


def product[Kind: type[layers.Layer]](kind: Kind) -> Kind:
    """Decorate a layer with an ``activation`` whose products may be computed in bfloat16."""
    _kinds.append(kind)
    return kind


def is_product(layer: layers.Layer) -> bool:
    """Return whether the products of a layer may be computed in bfloat16."""
    return isinstance(layer, tuple(_kinds))
