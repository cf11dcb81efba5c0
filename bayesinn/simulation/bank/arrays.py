"""Arrays of a simulation bank: created, lengthened, checked, compressed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def check_array(name: str, array: Any, rows: int, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless an array has chunks of ``rows`` rows of a shape, of numbers."""
    if array.chunks[:1] != (rows,) or array.shape[1:] != shape or array.dtype.kind not in "fiub":
        found = (
            f"array {name} has rows {array.shape[1:]} of {array.dtype}, {array.chunks[:1]} in "
            "a chunk"
        )
        raise ValueError(f"{found}; zarr.json declares rows {shape}, {rows} in a chunk")


def require_array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    axes: Sequence[str],
    attributes: Mapping[str, Any],
    compressors: Sequence[Any] | None = None,
) -> Any:
    """Return an array with this number of rows or more; another program may create it too."""
    from zarr.errors import ContainsArrayError

    if name not in group:
        # What is unfinished reads as NaN where there is one.
        fill = np.nan if dtype.kind == "f" else 0
        named = {
            "dimension_names": axes,
            "attributes": dict(attributes),
            "compressors": compressors,
        }
        with contextlib.suppress(ContainsArrayError):
            group.create_array(
                name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, **named
            )
    array = group[name]
    if array.shape[0] < shape[0]:
        array.resize(shape)
    return array


def with_room(array: Any, least: int, rows: int, write_empty: bool) -> Any:
    """Return an array with room for ``least`` rows, up to its last chunk's end.

    With ``write_empty``, empty chunks are written like others. The store may say less for a while:
    programs that create an array at the same time undo each other.
    """
    import zarr

    inner = array.async_array
    shape = (-(-max(array.shape[0], least) // rows) * rows, *array.shape[1:])
    config = dataclasses.replace(inner.config, write_empty_chunks=write_empty)
    longer = zarr.AsyncArray(
        metadata=inner.metadata.update_shape(shape), store_path=inner.store_path, config=config
    )
    return zarr.Array(longer)


def choose_compressors() -> tuple[Any, ...]:
    """Return the codecs of variables: a compressor, then a checksum of its bytes."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    # Measured in benchmarks/bank.py. Blosc reads beyond the end of damaged data: these never reach
    # it.
    return BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()
