"""Files that change at one instant: written in a folder of their own beside, then renamed.

That folder is new, has a name that nobody can foresee, and is locked while its process lives. So no
link that lies in wait is followed, no two processes share what is unfinished, and what a killed
process left is known and removed.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from bayesinn.core.manifest import reraise_as

_UNFINISHED = re.compile(r"\.bayesinn-[0-9a-f]{32}\.unfinished")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def replace_file(file: Path, data: bytes) -> None:
    """Write a file such that the old or the new content is always there, the new for good."""
    with _private_folder(file.parent) as folder:
        unfinished = folder / file.name
        with open(unfinished, "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(file)
    sync(file.parent)


@contextlib.contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Give a path to write to; its content replaces a file when the ``with`` block ends well."""
    do = "make room or choose another folder; what was there before is still complete"
    with reraise_as(
        f"File {str(file)!r}", "room and permission to write it", do, (OSError, RuntimeError)
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        with _private_folder(file.parent) as folder:
            unfinished = folder / file.name
            yield unfinished
            with open(unfinished, "rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(file)
        sync(file.parent)


@contextlib.contextmanager
def opened_folder(folder: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Give the descriptor of a folder."""
    descriptor = os.open(folder, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync(folder: Path) -> None:
    """Make renames in a folder durable, where its file system can."""
    with opened_folder(folder) as descriptor:
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise


@contextlib.contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for one file inside another folder, and remove it with what is left in it."""
    remove_abandoned(parent)
    with contextlib.ExitStack() as stack:
        while True:
            folder = parent / f".bayesinn-{secrets.token_hex(16)}.unfinished"
            # Fails where there is anything of this name, be it a link that leads nowhere.
            folder.mkdir(mode=0o700)
            stack.callback(_remove, folder)
            # Before it is locked, another process may take it for abandoned.
            if _lock(folder, stack):
                break
        yield folder


def _lock(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a folder until the stack is closed; return whether it is still there."""
    try:
        descriptor = stack.enter_context(opened_folder(folder, _FOLDER))
        # Some network disks have no locks.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return os.path.samestat(os.fstat(descriptor), os.lstat(folder))
    except FileNotFoundError:
        return False


def remove_abandoned(parent: Path) -> None:
    """Remove what killed processes have left in a folder: whatever lives is locked."""
    # What fails here is done by the next one.
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with (
                    contextlib.suppress(OSError),
                    opened_folder(Path(entry.path), _FOLDER) as descriptor,
                ):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(Path(entry.path))


def _remove(folder: Path) -> None:
    """Remove a folder of ours and its regular files; anything else, such as a link, stays."""
    with contextlib.suppress(OSError):
        with opened_folder(folder, _FOLDER) as descriptor:
            for name in os.listdir(descriptor):
                if stat.S_ISREG(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=descriptor)
        folder.rmdir()
