"""The report in a real browser: on a laptop, on a phone, on paper."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.diagnosis import Evidence, diagnose_arrays
from bayesinn.diagnosis.report.page import Figure, Section, render
from bayesinn.diagnostics.recovery import recovery
from tests.diagnostics.conjugate import normal
from tests.helpers.browser import open_browser, overlaps, sync_api

LAPTOP = 1280
PHONE = 390
#: A4 at 96 dots per inch, 794 wide, without the margins of 14 mm.
PAPER = 688
#: Border of the verdict "failed", red, green, blue.
FAILED = (0xB3, 0x47, 0x00)


browser = pytest.fixture(scope="module")(open_browser)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report hard to show: 1, 5 and 34 parameters, formulas, long words, many columns."""
    sections = [_section(1), _section(5), _section(34)]
    wide = pd.DataFrame(
        np.random.default_rng(1).normal(size=(5, 18)), columns=[f"column {i}" for i in range(18)]
    )
    sections.append(Section("A wide table", "w" * 200, table=wide))
    lists = {
        "trusted": ["Medians: R² above 0.8."],
        "doubtful": ["beta[3]: too narrow", "x" * 90],
        "actions": ["Train for longer.", "Call bayesinn.flows.coupling(blocks=12)."],
    }
    verdict = {"grade": "outside", "text": "SBC is outside.", "lists": lists}
    settings = {
        "training": {"steps": 5_000, "name_" * 12: "v" * 300},
        "folder": "/long/path" * 20,
        "layers": [{"n": 1}],
    }
    path = tmp_path_factory.mktemp("report") / "report.html"
    return render(path, "Report " + "t" * 60, sections, **verdict, settings=settings, seed=4)


def _section(count: int) -> Section:
    generator = np.random.default_rng(count)
    truth = {f"rate_of_{index}": generator.normal(size=60) for index in range(count)}
    draws = {
        name: values[:, None] + generator.normal(size=(60, 40)) for name, values in truth.items()
    }
    labels = Labels(
        {name: rf"$\lambda_{{{name[8:]}}}$" for name in truth}, {"rate_of_0": r"$\mu$g/day"}
    )
    result = recovery(truth, draws, truth)
    table = result.to_dataframe().rename_axis("Parameter")
    table["Verdict"] = [("within", "undecided", "outside")[index % 3] for index in range(count)]
    table["What it means"] = "posterior too wide, and shifted upwards"
    figure = Figure(
        plots.recovery(result, labels=labels), "Posterior medians against the truth. " * 3
    )
    return Section(
        f"{count} parameters", "Text. " * 50, table=table, labels=labels, figures=[figure]
    )


def problems(browser: sync_api.Browser, path: Path, width: int, media: str = "screen") -> list[str]:
    """What is wrong with a page of this width."""
    found: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.on("console", lambda message: found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url[:80]}"))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else found.append(request.url)
        ),
    )
    page.emulate_media(media=media)
    page.goto(path.as_uri())
    if (wide := page.evaluate("document.scrollingElement.scrollWidth")) > width:
        found.append(f"content {wide} wide on a page of {width}")
    for alternative in page.evaluate(
        "[...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.alt)"
    ):
        found.append(f"broken image: {alternative}")
    found += overlaps(page)
    page.close()
    return found


WIDTHS = pytest.mark.parametrize(
    ("width", "media"),
    [(LAPTOP, "screen"), (PHONE, "screen"), (PAPER, "print")],
    ids=["laptop", "phone", "paper"],
)


@WIDTHS
def test_nothing_is_cut_broken_or_fetched(
    browser: sync_api.Browser, report: Path, width: int, media: str
) -> None:
    assert problems(browser, report, width, media) == []


@WIDTHS
def test_a_broken_report_is_noticed(
    browser: sync_api.Browser, report: Path, width: int, media: str
) -> None:
    text = report.read_text(encoding="utf-8")
    faults = [
        ("<p>Text.", '<p style="white-space: nowrap; max-width: none">Text.', "wide on a page"),
        ("base64,iVBOR", "base64,AAAAA", "broken image: Posterior medians"),
        (
            "<h1>",
            '<img alt="far" src="http://127.0.0.1:9/far.png"><h1>',
            "loading the image 'http://127.0.0.1:9",
        ),
        ("<h1>", "<script>undefined.name</script><h1>", "inline script"),
        ("<h1>", '<p style="margin: 0 0 -1.4em">Above.</p><p>Below.</p><h1>', "above. over below."),
    ]
    for before, after, _ in faults:
        assert before in text
        text = text.replace(before, after, 1)
    path = report.with_name("broken.html")
    path.write_text(text, encoding="utf-8")
    found = "\n".join(problems(browser, path, width, media)).lower()
    assert [message for *_, message in faults if message.lower() not in found] == []


@pytest.mark.parametrize("width", [LAPTOP, PHONE])
def test_the_verdict_is_seen_first(browser: sync_api.Browser, report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(report.as_uri())
    picture = imread(
        io.BytesIO(page.screenshot(full_page=True, type="jpeg", quality=90)), format="jpeg"
    ).astype(int)
    page.close()
    assert picture.shape[1] == width
    assert picture.shape[0] > 3 * 844
    coloured = np.abs(picture[:400] - FAILED).max(axis=-1) < 12
    # The border at the left is 8 pixels wide and as high as the verdict.
    assert coloured.sum() > 8 * 100
    dark = picture[..., 1] < 100
    # Something is written on every screenful.
    assert all(part.any() for part in np.array_split(dark, picture.shape[0] // 844))


def test_on_a_phone_figures_are_whole_and_tables_scroll_in_their_box(
    browser: sync_api.Browser, report: Path
) -> None:
    page = browser.new_page(viewport={"width": PHONE, "height": 844})
    page.goto(report.as_uri())
    widths = "e => [e.scrollWidth, e.clientWidth]"
    table, box = page.locator("#section-4 > .box").evaluate(widths)
    assert table > box
    one, five, many = (
        page.locator(f"#figure-{number} img").bounding_box()["width"] for number in (1, 2, 3)
    )
    assert 300 < one <= five == many < PHONE
    # In their own size they scroll, too.
    natural = page.locator("#figure-3 img").evaluate("image => image.naturalWidth")
    assert page.get_by_label("Full size").first.is_visible()
    page.get_by_label("Full size").last.check()
    assert page.locator("#figure-3 img").bounding_box()["width"] == pytest.approx(natural, abs=1.0)
    assert page.evaluate("document.scrollingElement.scrollWidth") == PHONE
    page.close()


def test_contents_lead_to_the_sections(browser: sync_api.Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": LAPTOP, "height": 844})
    page.goto(report.as_uri())
    for link in page.locator("nav a").all():
        link.click()
        heading = page.locator(f"{link.get_attribute('href')} > h2")
        assert heading.inner_text() == link.inner_text()
        assert heading.bounding_box()["y"] < 844
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("input").first.is_visible()
    page.close()


def test_labels_stand_on_the_line_of_their_names(browser: sync_api.Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": LAPTOP, "height": 844})
    page.goto(report.as_uri())
    assert page.locator("#section-3 svg").count() == 34 + 1  # and one unit
    cell = page.locator("#section-3 tbody th").first
    assert "rate_of_0" in cell.inner_text()
    drawing = cell.locator(".label svg").bounding_box()
    row = cell.bounding_box()
    letter = cell.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert 0.6 * letter < drawing["height"] < 1.4 * letter
    assert row["y"] <= drawing["y"]
    assert drawing["y"] + drawing["height"] <= row["y"] + row["height"]
    page.close()


def test_printed(browser: sync_api.Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    printed = page.pdf(format="A4")
    page.emulate_media(media="print")
    assert (
        page.locator("section > p").first.evaluate("e => getComputedStyle(e).breakInside")
        == "avoid"
    )
    page.close()
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    # Two of the figures fill a page each; ten pages would mean that much is left empty.
    assert 4 <= pages < 10
    (box,) = set(re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", printed))
    assert [float(size) for size in box] == pytest.approx([595.3, 841.9], abs=1.0)


def test_a_diagnosis(browser: sync_api.Browser, tmp_path: Path) -> None:
    truth, draws, prior = normal(size=100, draws=50)
    labels = Labels({"mean": r"$\mu$"}, {"mean": "mm"})
    diagnosis = diagnose_arrays(
        Evidence(truth, draws, prior, labels, seed=1), settings={"training": {"steps": 5_000}}
    )
    path = diagnosis.to_html(tmp_path / "report.html")
    for width, media in [(LAPTOP, "screen"), (PHONE, "screen"), (PAPER, "print")]:
        assert problems(browser, path, width, media) == []


def test_in_the_dark_text_is_light_and_pictures_keep_their_paper(
    browser: sync_api.Browser, report: Path
) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": LAPTOP, "height": 844}, color_scheme=scheme)
        page.goto(report.as_uri())
        style = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
        colours[scheme] = page.locator("body").evaluate(style)
        assert page.locator("img").first.evaluate(style)[0] == "rgb(255, 255, 255)"
        page.emulate_media(media="print")
        assert page.locator("body").evaluate(style)[0] == "rgb(255, 255, 255)"
        page.close()
    assert colours["light"] == ["rgb(255, 255, 255)", "rgb(26, 26, 26)"]
    assert colours["dark"] == ["rgb(22, 24, 27)", "rgb(230, 230, 230)"]


def test_a_table_of_long_texts_is_cards_on_a_phone(browser: sync_api.Browser, report: Path) -> None:
    widths = {}
    for width in (LAPTOP, PHONE):
        page = browser.new_page(viewport={"width": width, "height": 844})
        page.goto(report.as_uri())
        table = page.locator("#section-2 table")
        cell = table.locator("tbody td").last
        widths[width] = cell.bounding_box()["width"]
        assert page.evaluate("document.scrollingElement.scrollWidth") == width
        label = cell.evaluate("e => getComputedStyle(e, '::before').content")
        assert ("What it means" in label) == (width == PHONE)
        assert cell.evaluate("e => getComputedStyle(e).display") == (
            "block" if width == PHONE else "table-cell"
        )
        page.close()
    # A line of words, and not one word a line.
    assert widths[PHONE] > 0.75 * PHONE


def test_options_of_commands_are_not_broken(browser: sync_api.Browser, tmp_path: Path) -> None:
    command = "Call bayesinn report runs/sir --data counts.csv --simulations 26000."
    path = render(tmp_path / "a.html", "Title", [], text=command, lists={"actions": [command]})
    page = browser.new_page(viewport={"width": PHONE, "height": 844})
    page.goto(path.as_uri())
    for shift in range(0, 120, 10):
        page.evaluate(f"document.querySelector('main').style.width = '{PHONE - shift}px'")
        heights = page.locator(".option").evaluate_all(
            "all => all.map(e => e.getClientRects().length)"
        )
        assert heights == [1, 1, 1, 1]
    assert command in page.locator("li").inner_text()
    page.close()


def test_paper_opens_what_is_folded_and_keeps_the_verdict_whole(
    browser: sync_api.Browser, tmp_path: Path
) -> None:
    closed = Section("Closed", "what is inside", folded=True)
    sections = [Section("Open", "a"), closed, Section("Last", "c")]
    path = render(tmp_path / "a.html", "Title", sections, grade="within", text="All is well.")
    page = browser.new_page(viewport={"width": PAPER, "height": 844})
    page.goto(path.as_uri())
    inside = page.get_by_text("what is inside")
    assert not inside.is_visible()
    assert not page.locator(".paper").first.is_visible()
    page.emulate_media(media="print")
    assert page.get_by_text("Closed").last.is_visible()
    assert inside.bounding_box()["height"] > 10.0
    # A note for browsers that can't open it.
    assert not page.locator(".paper").first.is_visible()
    style = page.locator(".verdict").evaluate("e => getComputedStyle(e).breakInside")
    assert style == "avoid"
    page.close()
