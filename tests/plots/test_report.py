"""The report: one file that needs nothing else, verdict first, whatever its texts contain."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from bayesinn.diagnostics import diagnose_arrays
from bayesinn.errors import InputError
from bayesinn.naming import Labels
from bayesinn.report import Figure, Section, Verdict, render
from tests.diagnostics.conjugate import normal


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def diagnosis_html(folder: Path, width: float = 1.0, sections: tuple[Section, ...] = ()) -> Path:
    truth, draws, prior = normal(size=200, draws=50, event=(2,), width=width)
    labels = Labels({"mean": r"$\mu$"}, {"mean": "mm"})
    settings = {"simulator": "conjugate", "training": {"steps": 5_000, "learning_rate": 0.0005}}
    result = diagnose_arrays(truth, draws, prior, labels, settings, seed=4)
    return result.to_html(folder / "new" / "report.html", title="Conjugate", sections=sections)


def test_report_needs_nothing_else(tmp_path: Path) -> None:
    path = diagnosis_html(tmp_path)
    reader = read(path)
    for tag, attributes in reader.found:
        assert tag not in ("script", "link", "iframe")
        assert "href" not in attributes
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
            assert base64.b64decode(attributes["src"].partition(",")[2]).startswith(b"\x89PNG")
    text = re.sub(r"base64,[A-Za-z0-9+/=]*", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//|url\(|@import", text)


def test_figures_have_alternative_texts_and_scroll_in_a_box(tmp_path: Path) -> None:
    reader = read(diagnosis_html(tmp_path))
    pictures = [attributes for tag, attributes in reader.found if tag == "img"]
    assert len(pictures) == 4
    assert all(len(attributes["alt"] or "") > 40 for attributes in pictures)
    tables = sum(tag == "table" for tag, _ in reader.found)
    boxes = sum(attributes.get("class") == "box" for _, attributes in reader.found)
    assert boxes == tables + len(pictures)


def test_verdict_comes_first_and_settings_last(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path, sections=(Section("Mine", "Own text."),)).read_text(encoding="utf-8")
    order = ["Passed.", "<h2>Tests", "<h2>Calibration: SBC", "<h2>Recovery", "<h2>Mine", "<h2>How this was made"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    for part in ("training.steps", "5,000", "0.0005", "numpy", np.__version__, "mean[0] [mm]"):
        assert part in text


def test_a_failed_diagnosis_says_what_is_wrong(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path, width=1.5).read_text(encoding="utf-8")
    assert "Failed." in text
    assert "SBC and coverage failed" in text
    assert "mean[0]: posterior too wide" in text


def test_texts_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    section = Section(evil, evil, table=pd.DataFrame({evil: [evil]}), figures=[Figure(Drawing(), evil)])
    path = render(tmp_path / "a.html", evil, [section], verdict=Verdict(None, evil), settings={evil: evil})
    assert "<script" not in path.read_text(encoding="utf-8")
    read(path)


def test_a_report_without_verdict_settings_or_sections(tmp_path: Path) -> None:
    text = render(tmp_path / "empty.html", "Nothing", []).read_text(encoding="utf-8")
    assert "<h1>Nothing</h1>" in text
    assert 'class="verdict' not in text


def test_tables_with_several_index_levels_and_missing_values(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["name", "number"])
    table = pd.DataFrame({"value": [1.0, np.nan], "right": [True, False]}, index=index)
    text = render(tmp_path / "table.html", "Table", [Section("T", "", table=table)]).read_text(encoding="utf-8")
    for part in (">name<", ">number<", ">1.000<", ">\N{EN DASH}<", ">yes<", ">no<"):
        assert part in text


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.html"):
        render(tmp_path / "report.pdf", "Title", [])
    with pytest.raises(InputError, match="picture of a report"):
        Figure(b"JFIF", "A caption.")
