"""Arrays by name, from NPZ and JSON files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.core.memory import check_memory
from bayesinn.core.validation import distinct


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of a file by name; a ValueError if there are none."""
    file = np.load(path, allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise ValueError(
            "a single array without a name, as np.save writes it; np.savez(path, NAME=array) "
            "names it"
        )
    with file:
        size = sum(entry.file_size for entry in file.zip.infolist())
        got = f"{len(file.files)} arrays"
        check_memory(f"File {str(path)!r}", size, got=got, do="write fewer rows into it")
        arrays = dict(file)
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"entry {name!r} is no array")
    return arrays


def read_json(path: Path) -> dict[str, Any]:
    """Return the entries of a JSON object; a ValueError for any other JSON."""
    data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=distinct)
    if not isinstance(data, dict):
        raise ValueError(
            f'a {type(data).__name__} without names; an object names it: {{"NAME": [1, 2, 3]}}'
        )
    return data
