"""Models in folders: interrupted at any moment, on full disks, damaged, or made with ill intent."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.core.files import atomic_write, lock_folder, read_model, replace_file, write_model
from tests.conftest import ROOT

SCHEMA = {"settings": {"steps": int}, "history": {str: [(float, type(None))]}}
ENTRIES = {"settings": {"steps": 3}, "history": {"loss": [1.5, None, 2]}}
FILES = {"manifest.json", "weights.h5"}


class Weight:
    """What is used of a variable."""

    def __init__(self, path: str, value) -> None:
        self.path = path
        self.value = np.asarray(value)
        self.shape = self.value.shape
        self.dtype = self.value.dtype

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.value

    def assign(self, value) -> None:
        self.value = value


def network(number: float) -> SimpleNamespace:
    return SimpleNamespace(
        variables=[
            Weight("map/dense_7/kernel", np.full((40, 50), number, np.float32)),
            Weight("map/state_12", np.uint32(7)),
        ]
    )


def write(folder: Path, number: float) -> Path:
    return write_model(folder, "Toy", ENTRIES, {"data/mean": np.full(3, number)}, network(number))


def read(folder: Path) -> float:
    saved = read_model(folder, "Toy", SCHEMA)
    built = network(0.0)
    saved.assign(built)
    mean = saved.array("data/mean", (None,), "float64")
    values = np.unique(np.append(mean, built.variables[0].value))
    assert values.shape == (1,)
    return float(values[0])


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "model", 1.0)


def refusal(folder: Path) -> str:
    with pytest.raises(SavedPosteriorError) as error:
        read(folder)
    assert "do this:  " in str(error.value)
    return str(error.value)


def test_what_is_written_is_read(folder: Path) -> None:
    assert names(folder) == FILES
    saved = read_model(folder, "Toy", SCHEMA)
    assert {key: saved.entries[key] for key in ENTRIES} == ENTRIES
    assert saved.entries["fingerprint"] == sha256((folder / "weights.h5").read_bytes()).hexdigest()
    assert read(folder) == 1.0
    # Equal weights have equal bytes.
    before = (folder / "weights.h5").read_bytes()
    write(folder, 1.0)
    assert (folder / "weights.h5").read_bytes() == before
    write(folder, 2.0)
    assert read(folder) == 2.0
    assert names(folder) == FILES


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_what_could_not_be_read_again_is_not_written(folder: Path, value: float) -> None:
    with pytest.raises(
        SavedPosteriorError, match=r"(?s)finite numbers.*2,000 of 2,000 that are not"
    ):
        write(folder, value)
    assert read(folder) == 1.0


# Interrupted


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.core.test_storage import leave, names, read, write, FILES

folder = Path(sys.argv[1])
write(folder, 0.0)
seen, kills, line = [], 0, 0
while True:
    line += int(sys.argv[2])
    child = os.fork()
    if not child:
        left = line

        def trace(frame, event, argument):
            global left
            if not frame.f_code.co_filename.endswith("core/files.py"):
                return None
            left -= event == "line"
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        write(folder, float(line))
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    value = read(folder)
    if not os.WIFSIGNALED(status):
        assert value == line, (value, line)
        leave(folder)
        write(folder, float(line))
        assert names(folder) == FILES, names(folder)
        break
    kills += 1
    leave(folder)
    assert value in (line, *seen[-1:], 0.0), (value, line, seen)
    assert len(seen) < 1 or value in (seen[-1], line)
    seen.append(value)
print(kills, sum(new != old for new, old in zip(seen, [0.0, *seen])))
"""


def test_killed_at_any_line_the_old_model_or_the_new_one_is_there(tmp_path, fresh_python) -> None:
    kills, changes = map(int, fresh_python(KILLED, tmp_path / "model", 8).stdout.split())
    assert kills >= 20
    # Some of the kills come after the instant at which the folder changes.
    assert changes >= 2


def leave(folder: Path) -> None:
    """Let unfinished files be as old as those of a process that was killed two hours ago."""
    for file in folder.glob(".*.unfinished*"):
        os.utime(file, (time.time() - 7_200.0,) * 2)


def abandoned(folder: Path) -> Path:
    """What a killed process leaves in a folder, by the name that ours have."""
    left = folder / f".{'0' * 16}.unfinished.json"
    left.write_text("half")
    leave(folder)
    return left


def test_what_a_kill_left_is_removed_by_the_next_save(folder: Path) -> None:
    staged = b"written, but manifest.json was never replaced"
    (folder / f"weights.{sha256(staged).hexdigest()[:16]}.h5").write_bytes(staged)
    abandoned(folder)
    assert read(folder) == 1.0
    write(folder, 2.0)
    assert names(folder) == FILES


def test_what_a_kill_left_in_members_is_removed_by_the_next_save(folder: Path) -> None:
    member = folder / f"members-{'0' * 16}" / "1"
    member.mkdir(parents=True)
    abandoned(member)
    write(folder, 2.0)
    assert names(folder) == FILES


def test_what_no_save_has_left_is_not_removed(folder: Path, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    others = {
        "notes.txt", "manifest.json.unfinished", "weights.fedcba9876543210.h5.unfinished",
    }  # fmt: skip
    for name in others:
        (folder / name).write_text("mine")
    (folder / f"members-{'b' * 16}").symlink_to(tmp_path / "mine")
    write(folder, 2.0)
    assert names(folder) == {*FILES, *others, f"members-{'b' * 16}"}
    assert all((folder / name).read_text() == "mine" for name in others)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_what_a_living_process_writes_is_not_removed(tmp_path) -> None:
    with atomic_write(tmp_path / "report.html") as first:
        first.write_text("first")
        with atomic_write(tmp_path / "report.html") as second:
            assert first != second
            second.write_text("second")
        replace_file(tmp_path / "other", b"other")
        assert first.read_text() == "first"
    assert (tmp_path / "report.html").read_text() == "first"
    assert names(tmp_path) == {"report.html", "other"}


# Links


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_place_of_a_file_is_replaced_not_followed(tmp_path, exists: bool) -> None:
    victim = tmp_path / "victim"
    if exists:
        victim.write_text("mine")
    link = tmp_path / "state.h5"
    link.symlink_to(victim)
    replace_file(link, b"first")
    with atomic_write(link) as path:
        path.write_bytes(b"second")
    assert link.read_bytes() == b"second"
    assert not link.is_symlink()
    assert victim.exists() is exists
    assert not exists or victim.read_text() == "mine"


def test_permissions_are_those_of_any_new_file(tmp_path) -> None:
    (tmp_path / "plain").write_text("")
    replace_file(tmp_path / "state.h5", b"")
    with atomic_write(tmp_path / "report.html") as path:
        path.write_text("")
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "state.h5", "report.html")}
    assert len(modes) == 1


TOGETHER = """
import sys
from pathlib import Path
from bayesinn.core.files import atomic_write, replace_file

folder, letter = Path(sys.argv[1]), sys.argv[2]
for number in range(60):
    replace_file(folder / "state", letter.encode() * 50_000)
    with atomic_write(folder / "report") as path, open(path, "w") as file:
        for _ in range(10):
            file.write(letter * 5_000)
            file.flush()
    for name in ("state", "report"):
        text = (folder / name).read_text()
        assert text in ("a" * 50_000, "b" * 50_000, "c" * 50_000), (len(text), set(text))
"""


def test_processes_that_write_one_file_at_once_share_nothing(tmp_path) -> None:
    commands = [[sys.executable, "-c", TOGETHER, str(tmp_path), letter] for letter in "abc"]
    running = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    for process in running:
        _, error = process.communicate()
        assert process.returncode == 0, error
    assert names(tmp_path) == {"state", "report"}


def test_weights_that_were_not_renamed_yet_are_found(folder: Path) -> None:
    fingerprint = json.loads((folder / "manifest.json").read_text())["fingerprint"]
    staged = (folder / "weights.h5").rename(folder / f"weights.{fingerprint[:16]}.h5")
    (folder / "weights.h5").write_bytes(b"those of the model before")
    assert read(folder) == 1.0
    # Not even a save that fails loses them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(SavedPosteriorError):
            write(folder, 2.0)
    assert read(folder) == 1.0
    assert not staged.exists() or (folder / "weights.h5").exists()


# Disks


def full_disk(*arguments) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class Counted:
    """A full disk from the n-th call on, over all functions that are wrapped."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, function):
        def wrapped(*arguments, **options):
            self.left -= 1
            return function(*arguments, **options) if self.left >= 0 else full_disk()

        return wrapped


@pytest.mark.parametrize("calls", range(10))
def test_a_full_disk_leaves_the_old_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    counted = Counted(calls)

    def write_bytes(file: Path, data: bytes) -> None:
        with open(file, "wb") as target:
            target.write(data[:100])
            counted(target.write)(data[100:])

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    # Weights: write, sync, rename, sync the folder; the manifest likewise, of which the rename is
    # what counts.
    if calls < 8:
        with pytest.raises(
            SavedPosteriorError, match=r"(?s)room and permission.*No space left.*make room"
        ) as error:
            write(folder, 2.0)
        assert "still complete" in str(error.value)
    else:
        write(folder, 2.0)
    monkeypatch.undo()
    assert read(folder) == (1.0 if calls < 7 else 2.0)
    assert calls > 6 or names(folder) == FILES
    write(folder, 3.0)
    assert read(folder) == 3.0
    assert names(folder) == FILES


def test_a_full_disk_in_the_first_save_leaves_nothing(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(SavedPosteriorError, match="No space left"):
        write(tmp_path / "model", 1.0)
    assert names(tmp_path / "model") == set()


def test_errors_of_hdf5_are_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments) -> None:
        raise RuntimeError("Unable to synchronously flush file")

    monkeypatch.setattr("h5py.File", broken)
    with pytest.raises(
        SavedPosteriorError, match=r"(?s)Folder.*room and permission.*RuntimeError: Unable to"
    ):
        write(folder, 2.0)
    monkeypatch.undo()
    assert read(folder) == 1.0


def test_a_folder_that_is_a_file_is_explained(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(SavedPosteriorError, match="choose another folder"):
            write(place, 1.0)
    with pytest.raises(InputError, match="a path"):
        read_model(None, "Toy", SCHEMA)


def test_the_home_directory_is_known(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert write("~/model", 1.0) == tmp_path / "model"
    assert read("~/model") == 1.0
    assert names(tmp_path) == {"model"}


def test_a_folder_behind_a_link_is_written_there(folder: Path, tmp_path) -> None:
    (tmp_path / "link").symlink_to(folder)
    write(tmp_path / "link", 2.0)
    assert (tmp_path / "link").is_symlink()
    assert read(folder) == 2.0


@pytest.mark.parametrize("foreign", ["manifest.json", "weights.h5"])
def test_files_of_something_else_are_not_replaced(tmp_path, foreign: str) -> None:
    (tmp_path / foreign).write_text('{"name": "my web application"}')
    with pytest.raises(
        SavedPosteriorError, match=rf"(?s)got:      {foreign} of something else.*move those files"
    ):
        write(tmp_path, 1.0)
    assert (tmp_path / foreign).read_text() == '{"name": "my web application"}'
    assert names(tmp_path) == {foreign}


def test_files_behind_links_are_left_alone(folder: Path, tmp_path) -> None:
    for name in FILES:
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    before = (tmp_path / "weights.h5").read_bytes()
    write(folder, 2.0)
    assert read(folder) == 2.0
    assert (tmp_path / "weights.h5").read_bytes() == before


def test_several_threads_save_and_read(folder: Path) -> None:
    def save(number: float) -> None:
        for _ in range(5):
            write(folder, number)

    threads = [threading.Thread(target=save, args=(number,)) for number in (2.0, 3.0)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert read(folder) in (1.0, 2.0, 3.0)
    assert names(folder) == FILES


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.h5"
    replace_file(file, b"old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        replace_file(file, b"new")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == {"state.h5"}


KILLED_FILE = """
import os, signal, sys
from pathlib import Path
from bayesinn.core.files import atomic_write
from tests.core.test_storage import leave

file, line, kills, seen = Path(sys.argv[1]) / "report.html", 0, 0, set()
file.write_text("0" * 10_000)
while True:
    line += 1
    old, new = file.read_text(), str(line % 10) * 10_000
    child = os.fork()
    if not child:
        left = line

        def trace(frame, event, argument):
            global left
            if frame.f_code.co_filename.endswith(("core/files.py", "<string>", "contextlib.py")):
                left -= event == "line"
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return trace

        def write():
            with atomic_write(file) as path, open(path, "w") as target:
                for start in range(0, 10_000, 1_000):
                    target.write(new[start : start + 1_000])
                    target.flush()

        sys.settrace(trace)
        write()
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert file.read_text() in (old, new)
    if not os.WIFSIGNALED(status):
        break
    kills += 1
    leave(file.parent)
    seen.add(file.read_text() == new)
leave(file.parent)
with atomic_write(file) as path:
    path.write_text(new)
assert file.read_text() == new and len(list(file.parent.iterdir())) == 1
print(kills, len(seen))
"""


def test_killed_at_any_line_the_old_file_or_the_new_one_is_there(tmp_path, fresh_python) -> None:
    kills, outcomes = map(int, fresh_python(KILLED_FILE, tmp_path).stdout.split())
    assert kills >= 20
    # Some of the kills come after the instant at which the file changes.
    assert outcomes == 2


DISKS = """
import os, resource, signal, sys
from pathlib import Path
from bayesinn.core.errors import SavedPosteriorError
from bayesinn.core.files import atomic_write
from tests.core.test_storage import names, read, write, FILES

folder, file = Path(sys.argv[1]) / "model", Path(sys.argv[1]) / "report.html"
write(folder, 1.0)
file.write_text("old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
refused = 0
for size in range(0, 10_000, 200):
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        failures = 0
        try:
            write(folder, 2.0)
        except SavedPosteriorError:
            failures += 1
        try:
            with atomic_write(file) as path:
                path.write_text("new" * 1_000)
        except SavedPosteriorError:
            failures += 1
        os._exit(failures)
    _, status = os.waitpid(child, 0)
    failures = os.waitstatus_to_exitcode(status)
    assert 0 <= failures <= 2, failures
    refused += failures
    assert read(folder) == (1.0 if failures == 2 else read(folder)), size
    assert names(folder) == FILES and names(folder.parent) == {"model", "report.html"}, (size, names(folder))
    assert file.read_text() in ("old", "new" * 1_000)
assert read(folder) == 2.0 and file.read_text().startswith("new")
print(refused)
"""


def test_on_disks_of_any_size_the_old_files_or_the_new_ones_are_there(
    tmp_path, fresh_python
) -> None:
    assert int(fresh_python(DISKS, tmp_path).stdout) >= 20


HOLDS = """
import os, sys, time
from pathlib import Path
from bayesinn.core.files import lock_folder

with lock_folder(Path(sys.argv[1]), "Run folder"):
    print("holds", flush=True)
    time.sleep(100)
"""


def test_one_process_holds_a_folder_until_it_ends_in_whatever_way(tmp_path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "holds\n"
        with (
            pytest.raises(
                SavedPosteriorError, match=r"(?s)Run folder .*another that does now.*wait until"
            ),
            lock_folder(tmp_path / "run", "Run folder"),
        ):
            pass
        process.kill()
        process.wait()
        with lock_folder(tmp_path / "run", "Run folder"):
            pass
    assert not names(tmp_path / "run")


# Damage


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_to_the_weights_is_refused(folder: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    data = bytearray((folder / "weights.h5").read_bytes())
    for place in generator.integers(len(data), size=1 if seed % 2 else 30):
        data[place] ^= int(generator.integers(1, 256))
    (folder / "weights.h5").write_bytes(data)
    assert "weights that belong to manifest.json" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "JSONDecodeError"),
        (b"{", "JSONDecodeError"),
        (b"[]", "without the entries"),
        (b"\xff\x00", "UnicodeDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b'{"format": 1' + b"0" * 5_000 + b"}", "ValueError"),
        (
            b'{"format": 3, "bayesinn": "1.0", "a": "' + b" " * 2**26 + b'"}',
            "more than any manifest",
        ),
    ],
    ids=["empty", "half", "list", "bytes", "deep", "integer", "large"],
)
def test_what_is_no_manifest_is_explained(folder: Path, content: bytes, message: str) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert message in refusal(folder)
    with pytest.raises(SavedPosteriorError, match="something else"):
        write(folder, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "2"}, "got:      format '2'"),
        ({"format": True}, "got:      format True"),
        ({"format": 99, "bayesinn": "9.0"}, "pip install 'bayesinn==9.0'"),
        ({"kind": "Other"}, "load it with bayesinn.load(folder)"),
        ({"kind": None}, "a saved None"),
        ({"fingerprint": None}, "None as the fingerprint"),
        ({"fingerprint": "../../evil"}, "'../../evil' as the fingerprint"),
        ({"fingerprint": "0" * 64}, "other bytes than were saved"),
        ({"settings": None}, "entry 'settings'\n  expected: an object\n  got:      None"),
        ({"settings": {}}, "entry 'settings.steps'\n  expected: an integer\n  got:      nothing"),
        (
            {"settings": {"steps": "3"}},
            "entry 'settings.steps'\n  expected: an integer\n  got:      '3'",
        ),
        ({"settings": {"steps": True}}, "entry 'settings.steps'"),
        ({"settings": {"steps": 3.5}}, "entry 'settings.steps'"),
        ({"history": {"loss": 1.0}}, "entry 'history.loss'\n  expected: a list"),
        (
            {"history": {"loss": [1.0, "x"]}},
            "entry 'history.loss[1]'\n  expected: a number or null\n  got:      'x'",
        ),
    ],
    ids=str,
)
def test_entries_of_another_type_are_named(folder: Path, change: dict, message: str) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert message in refusal(folder)


def tampered(folder: Path, change) -> str:
    """The message after a change to the weights by someone who can count a fingerprint."""
    with h5py.File(folder / "weights.h5", "r+") as file:
        change(file)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["fingerprint"] = sha256((folder / "weights.h5").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return refusal(folder)


def replaced(**options):
    def change(file: h5py.File) -> None:
        del file["network/dense.kernel_1"]
        file.create_dataset("network/dense.kernel_1", **options)

    return change


def external_link(file: h5py.File) -> None:
    del file["network/dense.kernel_1"]
    file["network/dense.kernel_1"] = h5py.ExternalLink("/etc/passwd", "/network/dense.kernel_1")


def soft_link(file: h5py.File) -> None:
    file["other"] = file["network/dense.kernel_1"][()]
    del file["network/dense.kernel_1"]
    file["network/dense.kernel_1"] = h5py.SoftLink("/other")


def linked_group(file: h5py.File) -> None:
    file.move("data", "other")
    file["data"] = h5py.SoftLink("/other")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(40, 50), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(40, 50))
    del file["network/dense.kernel_1"]
    file.create_virtual_dataset("network/dense.kernel_1", layout)


def free_length(**options):
    def change(file: h5py.File) -> None:
        del file["data/mean"]
        file.create_dataset("data/mean", dtype="f8", **options)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replaced(data=np.ones((40, 51), np.float32)),
            "has shape (40, 51) and type float32, expected (40, 50)",
        ),
        (replaced(data=np.ones((40, 50))), "type float64"),
        (replaced(shape=(10**6, 10**5), dtype="f4"), "has shape (1000000, 100000)"),
        (
            replaced(shape=(10**6, 10**5), dtype="f4", chunks=(100, 100)),
            "has shape (1000000, 100000)",
        ),
        (
            replaced(shape=(40, 50), dtype="f4", chunks=(40, 10**7), maxshape=(None, None)),
            "claims more data",
        ),
        (replaced(data=np.full((40, 50), np.nan, np.float32)), "not finite"),
        (replaced(data=np.full((40, 50), np.inf, np.float32)), "not finite"),
        (replaced(data=["text"] * 3), "type object"),
        (
            replaced(shape=(40, 50), dtype="f4", external=[("/etc/passwd", 0, 8000)]),
            "no array in this very file",
        ),
        (external_link, "a link to somewhere else"),
        (soft_link, "a link to somewhere else"),
        (linked_group, "data/mean is a link to somewhere else"),
        (virtual, "no array in this very file"),
        (
            lambda file: file.create_dataset("network/map.state_2", data=1.0),
            "3 arrays of weights, expected 2",
        ),
        (lambda file: file.__delitem__("network/map.state_1"), "network/map.state_1 is missing"),
        (lambda file: file.__delitem__("data"), "data/mean is missing"),
        (
            lambda file: (
                file.__delitem__("network/map.state_1"),
                file.create_group("network/map.state_1"),
            ),
            "no array",
        ),
        (free_length(shape=(5 * 10**10,)), "claims more data"),
        (free_length(shape=(5 * 10**10,), chunks=(1000,)), "claims more data"),
        (free_length(data=np.zeros(10**6), compression="gzip"), "claims more data"),
        (free_length(shape=(3, 3)), "has shape (3, 3)"),
    ],
)
def test_weights_are_checked_before_they_are_read(folder: Path, change, message: str) -> None:
    assert message in tampered(folder, change)
