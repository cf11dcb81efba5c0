"""Bijections that mix elements between the blocks of a flow, by the names that recipes take."""

from collections.abc import Callable

from bayesinn.bijections.bijection import Bijection

#: Mixing bijections by name; :func:`mixing` adds to them.
MIXINGS: dict[str, Callable[[], Bijection]] = {}


def mixing[Kind: type[Bijection]](name: str) -> Callable[[Kind], Kind]:
    """Decorate a bijection that ``coupling(mixing=name)`` and other recipes put between blocks."""

    def register(kind: Kind) -> Kind:
        MIXINGS[name] = kind
        return kind

    return register
