"""The progress display in lines, as a log file holds them."""

from __future__ import annotations

import pytest

from bayesinn.core.progress import Progress, duration


def test_the_last_line_says_how_much_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("counting", total=3, unit="sheep") as progress:
        for number in range(1, 4):
            progress.update(number)
    assert capsys.readouterr().out == "counting: 3 of 3 sheep\n"


@pytest.mark.parametrize("options", [{"shown": False}, {"delay": 60.0}])
def test_what_is_hidden_or_short_says_nothing(
    options: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("counting", total=3, unit="sheep", **options) as progress:
        for number in range(1, 4):
            progress.update(number)
    assert capsys.readouterr().out == ""


def test_the_time_left_ends_with_the_time_that_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(float(second) for second in range(0, 1_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = Progress("counting", total=1_000, ends_at=130.0, shown=False)
    for number in (1, 2, 3):
        progress.update(number)
    # The next two seconds of the clock: 9,970 s of counting are left, and 90 or 80 s until the end.
    assert 50.0 < progress._left() <= 100.0
    assert Progress("counting", total=10, shown=False).ends_at > 1e9


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.0, "3 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (75.2, "1 min 15 s"),
        # Minutes up to two hours, of which hours say too little.
        (3_600.0, "60 min 00 s"),
        (7_199.4, "119 min 59 s"),
        (7_199.6, "2 h 00 min"),
        (44_372.0, "12 h 19 min"),
    ],
)
def test_seconds_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
