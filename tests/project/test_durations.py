"""Which tests are slow: their seconds, and the file that keeps them."""

from tests.helpers import durations
from tests.helpers.interpreter import ROOT


def test_fixtures_are_shared_among_the_tests_of_a_file_that_use_them():
    seconds = durations.add_fixtures(
        {"a.py::one": 1.0, "a.py::two": 2.0, "a.py::other": 0.5, "b.py::one": 3.0},
        {("a.py", "trained"): 8.0, ("a.py", "unused"): 5.0},
        {
            "a.py::one": ["trained"],
            "a.py::two": ["trained"],
            "a.py::other": [],
            "b.py::one": ["trained"],
        },
    )
    assert seconds == {
        "a.py::one": 5.0,
        "a.py::two": 6.0,
        "a.py::other": 0.5,
        "b.py::one": 3.0,
    }


def test_rows_of_tests_that_did_not_run_stay(tmp_path, monkeypatch):
    file = tmp_path / "durations.csv"
    file.write_text("test,seconds\na.py::one,5\na.py::two,6\nb.py::one,7\n")
    monkeypatch.setattr(durations, "FILE", file)
    durations.write({"a.py::one": 9.4, "a.py::two": 0.2, "a.py::new": 3.0})
    assert durations.read_seconds() == {"a.py::new": 3.0, "a.py::one": 9.4, "b.py::one": 7.0}


def test_files_of_rows_exist():
    files = {test.partition("::")[0] for test in durations.read_seconds()}
    assert sorted(file for file in files if not (ROOT / file).is_file()) == []
