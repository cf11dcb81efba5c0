"""Manifests: JSON that describes a saved model, checked entry by entry."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bayesinn._version import __version__
from bayesinn.core.errors import BayesinnError, SavedPosteriorError

FORMAT = 2
_LARGEST = 64 * 2**20
#: What to do with a folder that is incomplete or damaged.
ANEW = "copy the whole folder again, or save the model again"
_WORDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


class _Missing:
    def __repr__(self) -> str:
        return "nothing: the entry is missing"


@contextlib.contextmanager
def reraise_as(
    subject: str,
    expected: str,
    do: str = ANEW,
    kinds: type[Exception] | tuple[type[Exception], ...] = Exception,
    error: type[BayesinnError] = SavedPosteriorError,
) -> Iterator[None]:
    """Turn what goes wrong inside into an ``error`` of this library."""
    try:
        yield
    except error:
        raise
    except kinds as cause:
        raise error(
            subject, expected=expected, got=f"{type(cause).__name__}: {cause}", do=do
        ) from cause


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest in a folder, of any format and kind; SavedPosteriorError if none.

    The error says why there is none.
    """
    file = folder / "manifest.json"
    if not file.is_file():
        do = "give the folder that posterior.save(...) or `bayesinn train` wrote"
        if (folder / "posterior" / "manifest.json").is_file():
            do = f"this is a run folder: give {str(folder / 'posterior')!r}"
        raise SavedPosteriorError(
            f"Folder {str(folder)!r}",
            expected="a saved model, with manifest.json and weights.h5",
            got="no manifest.json" if folder.is_dir() else "no such folder",
            do=do,
        )
    with reraise_as(f"Manifest {str(file)!r}", "the JSON text that save(...) wrote"):
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"{file.stat().st_size:,} bytes, more than any manifest has")
        manifest = json.loads(file.read_text("utf-8"))
        if not isinstance(manifest, dict) or not {"format", "bayesinn"} <= set(manifest):
            raise ValueError("JSON without the entries 'format' and 'bayesinn'")
    return manifest


def check_head(subject: str, manifest: dict[str, Any], kinds: Sequence[str]) -> None:
    """Raise unless a manifest is of one of these kinds of model, in the format that is read."""
    version = manifest["format"]
    writer = manifest["bayesinn"]
    if type(version) is not int or version != FORMAT:
        raise SavedPosteriorError(
            subject,
            expected=f"format {FORMAT}, which bayesinn {__version__} reads",
            got=f"format {version!r}, written by bayesinn {writer}",
            do=f"install the bayesinn that wrote it: pip install 'bayesinn=={writer}'",
        )
    found = manifest.get("kind")
    if found not in kinds:
        raise SavedPosteriorError(
            subject,
            expected=f"a saved {' or '.join(kinds)}",
            got=f"a saved {found}",
            do="load it with bayesinn.load(folder), or with the library that wrote it",
        )


def check_entry(
    subject: str,
    name: str,
    value: Any,
    schema: Any,
    do: str = ANEW,
    error: type[BayesinnError] = SavedPosteriorError,
) -> None:
    """Raise unless a JSON value, the entry ``name`` or the whole, has the types of a schema.

    A schema is a type, a tuple of types, a list of one schema, or a dict of required entries or
    ``{str: schema}``.
    """
    kind = schema if isinstance(schema, type) else type(schema)
    kinds = schema if isinstance(schema, tuple) else (kind,)
    accepted = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise error(
            f"{subject}, entry {name!r}",
            expected=" or ".join(_WORDS[kind] for kind in kinds),
            got=repr(value)[:200],
            do=do,
        )
    if isinstance(schema, list):
        for position, item in enumerate(value):
            check_entry(subject, f"{name}[{position}]", item, schema[0], do, error)
    if isinstance(schema, dict):
        for key in value if str in schema else schema:
            check_entry(
                subject,
                f"{name}.{key}" if name else key,
                value.get(key, _Missing()),
                schema.get(str, schema.get(key)),
                do,
                error,
            )
