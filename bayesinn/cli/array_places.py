"""Names of files of arrays, as the command line has them; light to import."""

from pathlib import Path


def is_array_file(place: str | None) -> bool:
    """Whether a bank is a file of arrays, or two: ``PARAMETERS.npy,DATA.npy``."""
    return place is not None and place.lower().endswith((".npz", ".npy"))


def named_files(place: str) -> list[Path]:
    """Return the files that a text names: one, whose path may have commas, or two."""
    whole = Path(place).expanduser()
    return [whole] if whole.is_file() else [Path(part).expanduser() for part in place.split(",")]
