"""Which files mutants are drawn of, and which tests are the nearest of a file: those of its room."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Rooms whose mutants are drawn.
FOLDERS = {
    "diagnostics": "bayesinn/diagnostics",
    "spaces": "bayesinn/spaces",
    "bijections": "bayesinn/bijections",
    "simulators": "simulators",
    "training": "bayesinn/training",
}
#: Tests of other rooms that judge a room, too.
MORE = {
    "diagnostics": ("diagnosis/test_verdict*.py", "posterior/test_ensemble.py"),
    "spaces": ("posterior/test_missing.py",),
    "simulators": ("summaries/test_summaries.py", "summaries/test_recurrent.py"),
}
#: Files in which there is nothing that a test could see.
WITHOUT = {"__init__.py", "trainable.py"}
ROOMS = {
    room: sorted(
        str(file.relative_to(ROOT))
        for file in (ROOT / folder).rglob("*.py")
        if file.name not in WITHOUT
    )
    for room, folder in FOLDERS.items()
}


def nearest_tests(file: str) -> tuple[str, ...]:
    """Return the files of tests of a file's room, and its own examples."""
    room = next(room for room, folder in FOLDERS.items() if file.startswith(f"{folder}/"))
    patterns = (f"{room}/**/test_*.py", *MORE.get(room, ()))
    found = dict.fromkeys(
        str(test.relative_to(ROOT))
        for pattern in patterns
        for test in sorted((ROOT / "tests").glob(pattern))
    )
    own = [file] if ">>>" in (ROOT / file).read_text() and file.startswith("bayesinn") else []
    return (*own, *found)
