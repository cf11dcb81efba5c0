"""Models in folders: ``manifest.json``, which people can read, and ``weights.h5`` or members.

Nothing is pickled, and no code is saved.

A folder changes at one instant. New weights are written under a name that contains their
fingerprint, then ``manifest.json``, which holds that fingerprint, is replaced, and at last the
weights are renamed to ``weights.h5``. Whenever a save is interrupted, the old model or the new one
is there and complete. The members of a model that is made of others are saved in a new subfolder,
which the manifest names.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import io
import json
import math
import os
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bayesinn._version import __version__
from bayesinn.core.errors import BayesinnError, SavedPosteriorError, check_memory, check_path

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]
# Commands that read no weights import neither.
if TYPE_CHECKING:
    import h5py
    import numpy as np

FORMAT = 3
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


# Files that change at one instant: written beside under another name, then renamed.

_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.unfinished.*")
#: Seconds without a change after which an unfinished file is one of a process that was killed.
_ABANDONED = 3_600.0


def replace_file(file: Path, data: bytes) -> None:
    """Write a file such that the old or the new content is always there, the new for good."""
    with _replacement(file) as unfinished:
        unfinished.write_bytes(data)


@contextlib.contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Give a path to write to; its content replaces a file when the ``with`` block ends well."""
    do = "make room or choose another folder; what was there before is still complete"
    with reraise_as(
        f"File {str(file)!r}", "room and permission to write it", do, (OSError, RuntimeError)
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        with _replacement(file) as unfinished:
            yield unfinished


@contextlib.contextmanager
def _replacement(file: Path) -> Iterator[Path]:
    """Give a path beside a file, whose content replaces the file when the block ends well."""
    _remove_abandoned(file.parent)
    # Of a name of its own: several processes may write one file at once.
    unfinished = file.with_name(f".{secrets.token_hex(8)}.unfinished{file.suffix}")
    try:
        yield unfinished
        with open(unfinished, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
    sync(file.parent)


def sync(folder: Path) -> None:
    """Make renames in a folder durable, where its file system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files that killed processes have left in a folder."""
    # What fails here is done by the next one.
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if (
                _UNFINISHED.fullmatch(file.name)
                and file.lstat().st_mtime < time.time() - _ABANDONED
            ):
                file.unlink()


@contextlib.contextmanager
def _lock(folder: Path, wait: bool) -> Iterator[None]:
    """Keep other processes and threads that lock a folder out of it.

    A BlockingIOError is raised if another has it already, and this one is not to ``wait``.
    """
    # Locked is the folder itself, which leaves no file there. Windows can't; some network disks
    # have no locks at all.
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock_folder(folder: Path | None, subject: str) -> Iterator[None]:
    """Make a folder, if there is to be one, and lock it during a ``with`` block.

    The lock keeps other processes and threads out.
    """
    with contextlib.ExitStack() as stack:
        if folder is not None:
            do = "make room, or choose another folder"
            with reraise_as(
                f"{subject} {str(folder)!r}", "room and permission to write there", do, (OSError,)
            ):
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(_lock(folder, wait=False))
                except BlockingIOError:
                    raise SavedPosteriorError(
                        f"{subject} {str(folder)!r}",
                        expected="one process that writes there at a time",
                        got="another that does now",
                        do="wait until it has ended, or choose another folder",
                    ) from None
        yield


#: Of arrays that may be of single or of double precision.
FLOATS = ("float32", "float64")


def packed(
    arrays: Mapping[str, Any],
    compressed: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> bytes:
    """Return an HDF5 file with named arrays and attributes.

    The arrays of the group ``compressed`` are compressed.
    """
    import h5py
    import numpy as np

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
    import h5py
    import numpy as np

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
    # The file bounds what is not compressed, the expected shape what is; a chunk is no larger than
    # the array.
    bounded = item.nbytes <= file.id.get_filesize() if item.chunks is None else None not in shape
    if not bounded or any(
        chunk > size for chunk, size in zip(item.chunks or (), item.shape, strict=False)
    ):
        raise ValueError(f"{name} claims more data than the file has")
    value = item[()]
    if finite and item.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{name} has elements that are not finite")
    return value


_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy")
_STAGED = re.compile(r"weights\.([0-9a-f]{16})\.h5")
_MEMBERS = re.compile("members-[0-9a-f]{16}")
_FINAL = re.compile(r"manifest\.json|weights\.h5")
_KERAS_NUMBER = re.compile(r"_\d+$")
#: What the manifest of a model made of others says: the subfolder they are in, and their number.
MEMBERS = {"place": str, "members": int}


class SavedModel(NamedTuple):
    """A folder's manifest and its weights, the latter not read yet."""

    folder: Path
    entries: dict[str, Any]
    file: h5py.File

    def reraise_as(self, entry: str, expected: str) -> AbstractContextManager[None]:
        """Blame an entry of the manifest for whatever goes wrong inside."""
        return reraise_as(
            f"Manifest {str(self.folder / 'manifest.json')!r}, entry {entry!r}", expected
        )

    def explained_weights(self) -> AbstractContextManager[None]:
        """Blame the arrays for whatever goes wrong inside."""
        return _explained_weights(self.folder)

    @property
    def weight_count(self) -> int:
        """How many numbers the saved weights of the network are."""
        with _explained_weights(self.folder):
            count = sum(math.prod(array.shape) for array in self.file["network"].values())
        check_memory(
            f"Weights {str(self.folder / 'weights.h5')!r}",
            2 * 4 * count,
            got=f"{count:,} numbers",
            do="load it on a machine with more, or copy the whole folder again",
            error=SavedPosteriorError,
        )
        return count

    def array(
        self, name: str, shape: Sequence[int | None], dtype: Any = "float32", finite: bool = True
    ) -> np.ndarray:
        """Return an array that was saved; see :func:`bayesinn.core.files.read_array`."""
        with _explained_weights(self.folder):
            return read_array(self.file, name, shape, dtype, finite)

    def assign(self, network: Any) -> None:
        """Give a built network its weights; each must have the network's shape and type."""
        weights = named_weights(network)
        for name, variable in weights.items():
            variable.assign(self.array(name, tuple(variable.shape), variable.dtype))
        with _explained_weights(self.folder):
            if len(self.file["network"]) != len(weights):
                raise ValueError(
                    f"{len(self.file['network'])} arrays of weights, expected {len(weights)}"
                )


def write_model(
    folder: str | Path,
    kind: str,
    entries: Mapping[str, Any],
    arrays: Mapping[str, Any],
    network: Any,
) -> Path:
    """Write a model into a folder, in place of an older one, and return the folder.

    The class's name ``kind`` and the JSON values ``entries`` go to the manifest; "/" in names of
    arrays makes groups. A SavedPosteriorError says if the folder can't be written or has such files
    of something else, or if an array is not finite, as it could not be read again; an older model
    stays.
    """
    import numpy as np

    values = {
        name: np.asarray(value) for name, value in {**named_weights(network), **arrays}.items()
    }
    for name, value in values.items():
        if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
            raise SavedPosteriorError(
                f"Array {name!r} of the model to save",
                expected="finite numbers",
                got=f"{np.sum(~np.isfinite(value)):,} of {value.size:,} that are not",
                do="train it again, with a smaller learning rate or without such data",
            )
    with _saving(folder) as place:
        data = packed(values, compressed="network")
        fingerprint = hashlib.sha256(data).hexdigest()
        replace_file(place / _staged(fingerprint), data)
        _write_manifest(place, kind, {"fingerprint": fingerprint, **entries})
    return place


def write_members(
    folder: str | Path,
    kind: str,
    entries: Mapping[str, Any],
    members: Sequence[Callable[[Path], Any]],
) -> Path:
    """Write a model that is made of others, as :func:`write_model` does, and return the folder.

    Each of the functions ``members`` writes one of the others into the folder that it gets.
    """
    with _saving(folder) as place:
        own = f"members-{secrets.token_hex(8)}"
        for number, save in enumerate(members, 1):
            save(place / own / str(number))
        sync(place / own)
        _write_manifest(place, kind, {"place": own, "members": len(members), **entries})
    return place


def prepare_place(folder: str | Path) -> None:
    """Make a folder to save a model in later; refuse one that can't be made, or isn't for that."""
    with _saving(folder):
        pass


def member_folders(folder: Path, entries: Mapping[str, Any]) -> list[Path]:
    """Return the folders of the members that a manifest names, inside its own folder."""
    own = entries["place"]
    subject = f"Manifest {str(folder / 'manifest.json')!r}"
    with reraise_as(f"{subject}, entry 'place'", "a subfolder"):
        if not _MEMBERS.fullmatch(own):
            raise ValueError(f"{own!r}, in place of members- and 16 hexadecimal digits")
    there = sum(1 for _ in (folder / own).iterdir()) if (folder / own).is_dir() else 0
    # Before a list of them is made, which may be as long as the manifest says.
    if not 1 <= entries["members"] <= there:
        raise SavedPosteriorError(
            f"{subject}, entry 'members'",
            expected=f"the number of folders in {own}, {there}",
            got=f"{entries['members']}",
            do=ANEW,
        )
    return [folder / own / str(number) for number in range(1, entries["members"] + 1)]


def read_model(
    folder: str | Path,
    kind: str | Sequence[str],
    schema: Mapping[str, Any],
) -> SavedModel:
    """Read the model of a ``kind``, or of one of several kinds.

    Its arrays are read later, by :meth:`SavedModel.array`, as their shapes must be known. For
    ``schema`` see :func:`bayesinn.core.files.check_entry`. A SavedPosteriorError says if there
    is no such model, or it is damaged, or of a format that is not known here.
    """
    import h5py

    folder = check_path("Argument 'folder'", folder, "posterior")
    subject = f"Manifest {str(folder / 'manifest.json')!r}"
    with _explained_weights(folder):
        # Another process may replace the model between reading one file and the other.
        for _ in range(3):
            manifest = read_manifest(folder)
            check_head(subject, manifest, [kind] if isinstance(kind, str) else kind)
            if (data := _read_weights(folder, manifest)) is not None:
                break
        else:
            exists = (folder / "weights.h5").is_file()
            raise ValueError(
                "other bytes than were saved with manifest.json" if exists else "no weights.h5"
            )
        file = h5py.File(io.BytesIO(data), "r")
    check_entry(subject, "", manifest, schema)
    return SavedModel(folder, manifest, file)


@contextlib.contextmanager
def _saving(folder: str | Path) -> Iterator[Path]:
    """Give a folder to save a model in, while other processes that save there wait."""
    path = check_path("Argument 'folder'", folder, "posterior")
    do = "make room or choose another folder; a model that was saved there before is still complete"
    with reraise_as(
        f"Folder {str(path)!r}", "room and permission to save there", do, (OSError, RuntimeError)
    ):
        path.mkdir(parents=True, exist_ok=True)
        with _lock(path, wait=True):
            _check_own(path)
            try:
                yield path
            finally:
                # What fails here is done by the next save; the manifest's weights are found under
                # both names.
                with contextlib.suppress(SavedPosteriorError, ValueError, OSError):
                    _tidy(path)


def _write_manifest(folder: Path, kind: str, entries: Mapping[str, Any]) -> None:
    packages = {package: importlib.metadata.version(package) for package in _PACKAGES}
    head = {"format": FORMAT, "bayesinn": __version__, "kind": kind, "packages": packages}
    replace_file(folder / "manifest.json", json.dumps({**head, **entries}, indent=2).encode())


def named_weights(network: Any) -> dict[str, Any]:
    """Return the variables of a network by name: their layer's, their own, and a number.

    An example is ``network/dense.kernel_2``. Keras numbers the layers of the whole process, so that
    its numbers are left out.
    """
    named: dict[str, Any] = {}
    counts: Counter[str] = Counter()
    for variable in network.variables:
        parts = [_KERAS_NUMBER.sub("", part) for part in variable.path.split("/")[-2:]]
        name = ".".join(parts)
        counts[name] += 1
        named[f"network/{name}_{counts[name]}"] = variable
    return named


def _staged(fingerprint: Any) -> str:
    """Return the name that new weights have until the manifest is replaced."""
    if not re.fullmatch("[0-9a-f]{64}", str(fingerprint)):
        raise ValueError(f"{fingerprint!r} as the fingerprint, in place of 64 hexadecimal digits")
    return f"weights.{fingerprint[:16]}.h5"


def _explained_weights(folder: Path) -> AbstractContextManager[None]:
    return reraise_as(
        f"Weights {str(folder / 'weights.h5')!r}", "the weights that belong to manifest.json"
    )


def _read_weights(folder: Path, manifest: Mapping[str, Any]) -> bytes | None:
    """Return the weights with the manifest's fingerprint; None when they are not there."""
    fingerprint = manifest.get("fingerprint")
    for name in (_staged(fingerprint), "weights.h5"):
        with contextlib.suppress(FileNotFoundError):
            data = (folder / name).read_bytes() if (folder / name).is_file() else b""
            if data and fingerprint == hashlib.sha256(data).hexdigest():
                return data
    return None


def _check_own(folder: Path) -> None:
    """Refuse to replace files that belong to no saved model."""
    with contextlib.suppress(SavedPosteriorError):
        read_manifest(folder)
        return
    foreign = [name for name in ("manifest.json", "weights.h5") if os.path.lexists(folder / name)]
    if foreign:
        raise SavedPosteriorError(
            f"Folder {str(folder)!r}",
            expected="a new folder, or one with a saved model to replace",
            got=f"{' and '.join(foreign)} of something else",
            do="choose another folder, or move those files away",
        )


def _tidy(folder: Path) -> None:
    """Give the manifest's weights their final name, then remove what other saves have left."""
    manifest: dict[str, Any] = {}
    if os.path.lexists(folder / "manifest.json"):
        manifest = read_manifest(folder)
    if "fingerprint" in manifest:
        staged = folder / _staged(manifest["fingerprint"])
        if staged.is_file():
            os.replace(staged, folder / "weights.h5")
            sync(folder)
    elif "place" in manifest:
        (folder / "weights.h5").unlink(missing_ok=True)
    for file in folder.iterdir():
        if _STAGED.fullmatch(file.name):
            file.unlink()
        elif _MEMBERS.fullmatch(file.name) and file.name != manifest.get("place"):
            _remove_members(file)


def _remove_members(folder: Path) -> None:
    """Remove members that were saved; what somebody else has put among them stays."""
    if folder.is_symlink():
        return
    # What a folder contains comes before it.
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        with contextlib.suppress(OSError):
            if any(name.fullmatch(path.name) for name in (_FINAL, _STAGED, _UNFINISHED)):
                path.unlink()
            else:
                path.rmdir()
