"""The report: one file that needs nothing else, verdict first, whatever its texts contain."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnosis import Evidence, diagnose_arrays
from bayesinn.diagnosis.report.page import Figure, Section, render
from bayesinn.diagnosis.report.sections import predictive_figures
from bayesinn.plots.panels import BLUE
from tests.diagnostics.conjugate import normal


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
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
    result = diagnose_arrays(Evidence(truth, draws, prior, labels, seed=4), settings=settings)
    return result.to_html(folder / "new" / "report.html", title="Conjugate", sections=sections)


def test_report_needs_nothing_else(tmp_path: Path) -> None:
    path = diagnosis_html(tmp_path)
    reader = read(path)
    for tag, attributes in reader.found:
        assert tag not in ("script", "link", "iframe")
        assert attributes.get("href", "#").startswith("#")
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
            assert base64.b64decode(attributes["src"].partition(",")[2]).startswith(b"\x89PNG")
    text = re.sub(r"base64,[A-Za-z0-9+/=]*", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//|url\(|@import", text)


def test_figures_have_alternative_texts_and_scroll_in_a_box(tmp_path: Path) -> None:
    reader = read(diagnosis_html(tmp_path))
    pictures = [attributes for tag, attributes in reader.found if tag == "img"]
    assert len(pictures) == 1 + 8  # that of the verdict doesn't scroll
    assert all(len(attributes["alt"] or "") > 40 for attributes in pictures)
    tables = sum(tag == "table" for tag, _ in reader.found)
    boxes = sum("box" in (attributes.get("class") or "").split() for _, attributes in reader.found)
    assert boxes == tables + len(pictures) - 1


def test_verdict_comes_first_and_settings_last(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path, sections=(Section("Mine", "Own text."),)).read_text(
        encoding="utf-8"
    )
    order = [
        "Undecided.",
        "<h2>Checks",
        "<h2>Parameters",
        "<h2>Calibration: SBC",
        "<h2>Sharpness: recovery",
        "<h2>Mine",
        "<h2>How this was made",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    words = re.sub(r"<[^>]+>", "", text)
    for part in ("training.steps", "5,000", "0.0005", "numpy", np.__version__, "mean[0] [mm]"):
        assert part in words


def test_a_failed_diagnosis_says_what_is_wrong(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path, width=1.5).read_text(encoding="utf-8")
    assert "Outside tolerance." in text
    assert "Errors are larger than their tolerances in SBC" in text
    assert "What not to trust" in text
    assert "Train for more steps" in text
    assert "mean[0]: draws too wide, by" in text


def test_texts_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    section = Section(
        evil, evil, table=pd.DataFrame({evil: [evil]}), figures=[Figure(Drawing(), evil)]
    )
    path = render(tmp_path / "a.html", evil, [section], text=evil, settings={evil: evil})
    assert "<script" not in path.read_text(encoding="utf-8")
    read(path)


def test_a_report_without_verdict_settings_or_sections(tmp_path: Path) -> None:
    text = render(tmp_path / "empty.html", "Nothing", []).read_text(encoding="utf-8")
    assert "<h1>Nothing</h1>" in text
    assert 'class="verdict' not in text


def test_tables_with_several_index_levels_and_missing_values(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["name", "number"])
    table = pd.DataFrame({"value": [1.0, np.nan], "right": [True, False]}, index=index)
    text = render(tmp_path / "table.html", "Table", [Section("T", "", table=table)]).read_text(
        encoding="utf-8"
    )
    for part in (">name<", ">number<", ">1.000<", ">\N{EN DASH}<", ">yes<", ">no<"):
        assert part in text


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.html"):
        render(tmp_path / "report.pdf", "Title", [])
    with pytest.raises(InputError, match="picture of a report"):
        Figure(b"JFIF", "A caption.")


def test_verdict_lists_what_to_trust_and_what_to_do(tmp_path: Path) -> None:
    lists = {"trusted": ["medians"], "actions": ["Train on.", "Look again."]}
    path = render(
        tmp_path / "a.html",
        "Title",
        [Section("S", "")],
        grade="outside",
        text="SBC is outside.",
        lists=lists,
    )
    text = path.read_text(encoding="utf-8")
    read(tmp_path / "a.html")
    order = [
        "Outside tolerance.",
        "What to trust",
        "<li>medians",
        "What to do",
        "<ol>",
        "<li>Train on.",
        "<li>Look again.",
    ]
    places = [text.index(part, text.index("<body>")) for part in [*order, "Contents", "<h2>S"]]
    assert places == sorted(places)
    assert "What not to trust" not in text


def test_parameters_are_written_with_label_name_and_unit(tmp_path: Path) -> None:
    labels = Labels(
        {"rate": r"$\lambda$", "size": "final size", "bad": r"$\unknown$", "same": "same"},
        {"rate": "1/day", "size": r"$\mu$g", "bad": r"$\unknown$"},
    )
    names = ["rate[1]", "size", "bad", "same", "other"]
    section = Section("S", "", table=pd.DataFrame({"p": 0.5}, index=names), labels=labels)
    text = render(tmp_path / "a.html", "Title", [section]).read_text(encoding="utf-8")
    read(tmp_path / "a.html")
    rows = re.findall(
        r'<th scope="row">(.*?)</th>', text[: text.index("How this was made", text.index("<table"))]
    )
    drawn = [re.sub(r"<svg.*?</svg>", "DRAWN", row) for row in rows]
    label = '<span class="label" aria-hidden="true">{}</span> '
    assert drawn == [
        f'{label.format("DRAWN")}rate[1] <span class="unit">[1/day]</span>',
        f"{label.replace('label', 'label words').format('final size')}size <span "
        f'class="unit">[DRAWN]</span>',
        # Names stand below each other, with a label or without.
        f'{label.format("")}bad <span class="unit">[$\\unknown$]</span>',
        f"{label.format('')}same",
        f"{label.format('')}other",
    ]
    # Without labels, nothing is drawn.
    section = Section("S", "", table=section.table)
    assert "<svg" not in render(tmp_path / "a.html", "Title", [section]).read_text(encoding="utf-8")


def test_verdicts_in_tables_do_not_depend_on_colour(tmp_path: Path) -> None:
    table = pd.DataFrame({"verdict": ["within", "undecided", "FAILED", "outside", "not within"]})
    text = render(tmp_path / "a.html", "Title", [Section("S", "", table=table)]).read_text(
        encoding="utf-8"
    )
    badges = re.findall(
        r'<span class="badge (\w+)"><span aria-hidden="true">(.)</span> (\w+)</span>', text
    )
    assert badges == [
        ("passed", "\u2713", "within"),
        ("doubtful", "?", "undecided"),
        ("failed", "\u2717", "FAILED"),
        ("failed", "\u2717", "outside"),
    ]
    assert "<td>not within</td>" in text


def test_figures_are_numbered_throughout(tmp_path: Path) -> None:
    sections = [Section(name, "", figures=[Figure(Drawing(), name)]) for name in ("One", "Two")]
    text = render(tmp_path / "a.html", "Title", sections).read_text(encoding="utf-8")
    assert re.findall(r"<figcaption><strong>(.*?)</strong> (\w+)", text) == [
        ("Figure 1.", "One"),
        ("Figure 2.", "Two"),
    ]


def test_settings_are_flat_and_keep_their_digits(tmp_path: Path) -> None:
    settings = {
        "flow": {"blocks": [{"units": 64}, {"units": 32}], "rates": {}},
        "rate": 0.123456789,
        "sizes": [1, 2],
    }
    text = render(tmp_path / "a.html", "Title", [], settings=settings).read_text(encoding="utf-8")
    rows = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    assert rows["flow.blocks[0].units"] == "64"
    assert rows["flow.blocks[1].units"] == "32"
    assert rows["flow.rates"] == "{}"
    assert rows["rate"] == "0.123456789"
    assert rows["sizes"] == "[1, 2]"


def test_letters_of_wide_tables_shrink_in_print(tmp_path: Path) -> None:
    def size(columns: int) -> float:
        table = pd.DataFrame(0.5, index=["row"], columns=[f"column{i}" for i in range(columns)])
        text = render(tmp_path / "a.html", "Title", [Section("S", "", table=table)]).read_text(
            encoding="utf-8"
        )
        assert ('class="tight"' in text) == (columns > 20)
        return float(re.search(r"--print:([\d.]+)pt", text)[1])

    assert 8.5 == size(2) > size(12) > size(30) == 5.5


def words(text: str) -> str:
    """The words of a page, without tags, styles and pictures."""
    return " ".join(re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", text).split())


def test_the_verdict_is_a_picture_and_says_it_in_words_too(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path).read_text(encoding="utf-8")
    place = text.index('id="verdict-figure"')
    assert text.index("Undecided.") < place < text.index("<h2>What to do") < text.index("Contents")
    alternative = re.search(r'id="verdict-figure">\s*<img[^>]* alt="([^"]*)"', text)
    assert alternative
    assert "SBC: undecided, " in alternative[1]


def test_allowed_stands_beside_found(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path).read_text(encoding="utf-8")
    head = re.search(r"<thead><tr>(.*?)</tr>", text)
    assert head
    assert words(head[1]) == "Check Tolerance Found Allowed p-value"
    rows = dict(
        re.findall(
            r'<th scope="row">([^<]*)</th>.*?data-label="Allowed"[^>]*>([^<]*)<', text, re.DOTALL
        )
    )
    assert rows["coverage"] == "5 percentage points"
    assert "0.07 sd" in rows["SBC"]


def test_sections_have_one_numbering_on_screen_and_on_paper(tmp_path: Path) -> None:
    text = diagnosis_html(tmp_path).read_text(encoding="utf-8")
    contents = text[text.index("<nav") : text.index("</nav>")]
    # The list counts by itself, and holds every section: nothing is left out that has a number.
    assert "value=" not in contents
    linked = re.findall(r'href="#([^"]+)"', contents)
    assert linked == re.findall(r'<section id="([^"]+)"', text)
    folded = text.count('class="folded"')
    assert folded
    assert text.count('<span class="paper">(folded)</span>') == folded
    assert "open them in the browser before printing" in text
    assert not re.search(r"folded[^{]*\{ display: none", text)


def test_text_names_nothing_that_is_not_there(tmp_path: Path) -> None:
    said = words(diagnosis_html(tmp_path).read_text(encoding="utf-8"))
    assert "exact posterior" not in said
    assert "Sharpness: sharpness" not in said
    assert "The table" not in said
    assert "R2 from" not in said


def test_a_band_that_is_left_within_tolerance_is_not_red(tmp_path: Path) -> None:
    table = pd.DataFrame({"Inside the band": [True, False]}, index=["a", "b"])
    path = render(tmp_path / "a.html", "Title", [Section("S", "", table=table)])
    assert 'class="no"' not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("channels", [1, 3])
def test_simulated_images_stand_beside_the_observed_one(channels: int) -> None:
    generator = np.random.default_rng(1)
    observed = {"photo": generator.uniform(size=(8, 8, channels))}
    predicted = {"photo": generator.uniform(size=(20, 8, 8, channels))}
    figures = predictive_figures(predicted, observed, Labels())
    assert list(figures) == ["predictive_photo"]
    titles = {text.get_text() for text in figures["predictive_photo"].findobj(Text)}
    assert {"observed", "simulated"} <= titles


@pytest.mark.parametrize("channels", [1, 3])
def test_missing_pixels_are_not_black(channels: int) -> None:
    """They looked like pixels without light."""
    images = np.random.default_rng(1).uniform(size=(5, 8, 8, channels))
    images[:, 2, 3] = np.nan
    (figure,) = predictive_figures({"sky": images}, {"sky": images[0]}, Labels()).values()
    picture = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(picture[2, 3], to_rgb(BLUE))
    # The next pixel is known: grey, or with its own colours.
    assert (np.ptp(picture[2, 4]) == 0.0) == (channels == 1)
    assert "missing: blue" in " ".join(
        text.get_text().replace("\n", " ") for text in figure.findobj(Text)
    )
    unseen = np.full_like(images, np.nan)
    assert predictive_figures({"sky": unseen}, {"sky": unseen[0]}, Labels()) == {}


def test_data_of_other_axes_have_no_predictive_figure() -> None:
    cube = {"cube": np.zeros((4, 4, 4, 2))}
    assert predictive_figures({"cube": np.zeros((5, 4, 4, 4, 2))}, cube, Labels()) == {}


def test_grey_images_are_images() -> None:
    draws = np.random.default_rng(1).normal(size=(5, 16, 16))
    figures = predictive_figures({"field": draws}, {"field": draws[0]}, Labels())
    (figure,) = figures.values()
    assert {"observed", "simulated"} <= {text.get_text() for text in figure.findobj(Text)}
