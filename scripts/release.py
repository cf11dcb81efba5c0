"""Build what is released, twice, and compare; or install it elsewhere, and use it as a stranger would.

``python -m scripts.release build`` makes sdist and wheel of the last commit in ``dist/``, with what
the extra ``release`` installs. The same commit gives the same bytes. ``python -m scripts.release try
PYTHON ...`` installs the wheel into a fresh environment of each Python, in an empty folder; with
``--lowest``, with the versions of constraints-lowest.txt; with ``--newest``, with the newest that there
are, which are then written to constraints-newest.txt. Publishing is a person's act.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
#: Heading of constraints-newest.txt.
NEWEST = "# The newest versions that trained and diagnosed a posterior (make rehearsal OPTIONS=--newest): "
#: Files that an sdist has beside the library.
ABOUT = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")


def run(*command: object, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command, and return what it prints."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def tracked() -> list[str]:
    """Return the files of the library, as git knows them."""
    return run("git", "ls-files", "bayesinn", "simulators").splitlines()


def build(folder: Path, epoch: str) -> dict[str, bytes]:
    """Build sdist and wheel of the last commit in an empty folder; return their bytes by name."""
    archive = subprocess.run(
        ["git", "archive", "HEAD", *ABOUT, "bayesinn", "simulators"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    env = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    run(sys.executable, "-m", "build", "--no-isolation", cwd=folder, env=env)
    made = {file.name: file.read_bytes() for file in sorted((folder / "dist").iterdir())}
    return {
        name: repacked(content, int(epoch)) if name.endswith(".gz") else content
        for name, content in made.items()
    }


def repacked(sdist: bytes, epoch: int) -> bytes:
    """Return an sdist without what differs between two builds: times, owners and order."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist)) as old,
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=epoch) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            content = old.extractfile(member)
            member.mtime = epoch
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            new.addfile(member, content)
    return packed.getvalue()


def differences(name: str, content: bytes) -> list[str]:
    """Say where an artifact differs from the tree: what is missing, what is not of it, other bytes."""
    packed: dict[str, bytes] = {}
    if name.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            for one in wheel.namelist():
                if ".dist-info/" not in one:
                    packed[one.replace("bayesinn/simulators/", "simulators/")] = wheel.read(one)
        wanted = set(tracked())
    else:
        with tarfile.open(fileobj=io.BytesIO(content)) as sdist:
            for member in sdist.getmembers():
                place = member.name.partition("/")[2]
                # What setuptools adds.
                if member.isfile() and ".egg-info/" not in place and place != "PKG-INFO":
                    file = sdist.extractfile(member)
                    packed[place] = b"" if file is None else file.read()
        wanted = {*tracked(), *ABOUT}
    found = [f"{name} lacks {one}" for one in sorted(wanted - packed.keys())]
    found += [
        f"{name} has {one}, which is not of the tree" for one in sorted(packed.keys() - wanted)
    ]
    for one in sorted(wanted & packed.keys()):
        # setuptools writes setup.cfg anew.
        if one != "setup.cfg" and (ROOT / one).read_bytes() != packed[one]:
            found.append(f"{name}: {one} differs from the tree")
    return found


def release() -> None:
    """Build twice, compare, check, and keep the result in ``dist/``."""
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        made = build(Path(first), epoch)
        again = build(Path(second), epoch)
    wrong = [f"{name}: two builds differ" for name in made if made[name] != again[name]]
    wrong += [what for name, content in made.items() for what in differences(name, content)]
    if wrong:
        sys.exit("\n".join(wrong))
    DIST.mkdir(exist_ok=True)
    for old in DIST.iterdir():
        old.unlink()
    for name, content in made.items():
        (DIST / name).write_bytes(content)
    print(run(sys.executable, "-m", "twine", "check", "--strict", *(DIST / name for name in made)))
    for name, content in made.items():
        print(f"{len(content) / 1e3:,.0f} kB  {hashlib.sha256(content).hexdigest()}  {name}")


def try_in(python: str, *, lowest: bool, newest: bool) -> None:
    """Install the wheel into a fresh environment of a Python, and use it in an empty folder."""
    wheel = next(DIST.glob("*.whl"), None)
    if wheel is None:
        sys.exit(f"no wheel in {DIST}: make it with make release")
    versions = ROOT / ("constraints-lowest.txt" if lowest else "constraints.txt")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = time.monotonic()
        run(python, "-m", "venv", folder / "environment", cwd=folder)
        binary = folder / "environment" / "bin"
        constraint = () if newest else ("--constraint", versions)
        extra = f"{wheel}[jax]" if newest else wheel
        run(binary / "pip", "install", "--quiet", *constraint, extra, cwd=folder)
        installed = time.monotonic()
        use(binary, folder / "work")
        tried = run(binary / "python", "--version").strip()
        if newest:
            versions = ROOT / "constraints-newest.txt"
            installed_now = run(binary / "pip", "freeze", "--exclude", "bayesinn", cwd=folder)
            versions.write_text(f"{NEWEST}{tried}, {date.today()}.\n{installed_now}")
        print(
            f"{tried}, {versions.name}: "
            f"installed after {installed - start:.0f} s, all done after "
            f"{time.monotonic() - start:.0f} s"
        )


def use(binary: Path, folder: Path) -> None:
    """Do what README says, with an installed bayesinn, from an empty folder."""
    folder.mkdir()
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env["BAYESINN_CACHE"] = "off"
    start = time.monotonic()
    place = run(binary / "python", "-c", "import bayesinn; print(bayesinn.__file__)", cwd=folder)
    if str(ROOT) in place:
        sys.exit(f"{place} is the clone's, not the installed one")
    readme = run(
        binary / "python",
        "-c",
        "from importlib.metadata import metadata as m; print(m('bayesinn').get_payload())",
        cwd=folder,
    )
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    (folder / "example.py").write_text(f"{example}print(result['posterior'])\n")
    answer = run(binary / "python", "example.py", cwd=folder, env=env)
    if "tolerance" not in answer and "undecided" not in answer:
        sys.exit(f"README's example gave no verdict:\n{answer}")
    print(f"README's example, trained and diagnosed: {time.monotonic() - start:.0f} s")
    if "sir" not in run(binary / "bayesinn", "list", cwd=folder, env=env):
        sys.exit("bayesinn list doesn't know sir")
    quick = ("--steps", "300", "--simulations", "200", "--seed", "1")
    subprocess.run(
        [binary / "bayesinn", "run", "sir", *quick],
        cwd=folder,
        env=env,
        capture_output=True,
        check=False,
    )
    for file in ("report.html", "posterior/manifest.json", "verdict.csv"):
        if not (folder / "runs" / "sir" / file).is_file():
            sys.exit(f"bayesinn run sir wrote no {file}")
    explore(binary, folder, env)


def explore(binary: Path, folder: Path, env: dict[str, str]) -> None:
    """Ask the explorer for its page and the files that belong to it."""
    with subprocess.Popen(
        [binary / "bayesinn", "explore", "runs/sir"],
        cwd=folder,
        env={**env, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = next(
                found[0] for line in process.stdout if (found := re.search(r"http://\S+/", line))
            )
            page = urllib.request.urlopen(address, timeout=60).read().decode()
            if "<script" not in page:
                sys.exit("the explorer's page has no script")
        finally:
            process.terminate()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="sdist and wheel in dist/")
    tried = commands.add_parser("try", help="install the wheel elsewhere, and use it")
    tried.add_argument("pythons", nargs="+", help="interpreters")
    tried.add_argument("--lowest", action="store_true", help="versions of constraints-lowest.txt")
    tried.add_argument("--newest", action="store_true", help="the newest versions that there are")
    chosen = parser.parse_args()
    if chosen.command == "build":
        release()
        return
    for python in chosen.pythons:
        try_in(python, lowest=chosen.lowest, newest=chosen.newest)


if __name__ == "__main__":
    main()
