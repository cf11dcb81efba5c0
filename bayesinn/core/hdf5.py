"""Arrays in HDF5: checked against what the reader expects before their data are read."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

#: Of arrays that may be of single or of double precision.
FLOATS = (np.float32, np.float64)
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}


def packed(
    arrays: Mapping[str, Any],
    compressed: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> bytes:
    """Return an HDF5 file with named arrays and attributes.

    The arrays of the group ``compressed`` are compressed.
    """
    # In memory: on a full disk, HDF5 fails in ways that can't be cleaned up.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, value in arrays.items():
            value = np.asarray(value)
            # Shuffling brings exponents together, which compress well. HDF5 can't compress scalars.
            pack = value.ndim > 0 and name.split("/")[0] == compressed
            file.create_dataset(
                name, data=value, compression="gzip" if pack else None, shuffle=pack
            )
        file.attrs.update(attributes or {})
    return memory.getvalue()


def read_array(
    file: h5py.File, name: str, shape: Sequence[int | None], dtype: Any, finite: bool = True
) -> np.ndarray:
    """Read an array of a given type and shape, with None for lengths that are not known.

    Of several types in a tuple, the array may have any. A ValueError says if its type, shape or
    place is another, or, with ``finite``, an element is not finite.
    """
    item = file
    dtypes = [np.dtype(one) for one in (dtype if isinstance(dtype, tuple) else (dtype,))]
    for part in name.split("/"):
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{name} is {'missing' if link is None else 'a link to somewhere else'}"
            )
        item = item[part]
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        raise ValueError(f"{name} is no array in this very file")
    same = len(item.shape) == len(shape) and all(
        own in (None, n) for own, n in zip(shape, item.shape, strict=True)
    )
    if not same or item.dtype not in dtypes:
        raise ValueError(
            f"{name} has shape {item.shape} and type {item.dtype}, expected {tuple(shape)} and "
            f"{' or '.join(map(str, dtypes))}"
        )
    properties = item.id.get_create_plist()
    filters = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
    # The file bounds what is not compressed, the expected shape what is; a chunk is no larger than
    # the array.
    bounded = item.nbytes <= file.id.get_filesize() if item.chunks is None else None not in shape
    if (
        not bounded
        or filters - _FILTERS
        or any(chunk > size for chunk, size in zip(item.chunks or (), item.shape, strict=False))
    ):
        raise ValueError(
            f"{name} claims more data than the file has, or is packed in an unknown way"
        )
    value = item[()]
    if finite and item.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{name} has elements that are not finite")
    return value
