"""The documentation is built without a warning, and reads well on a laptop and on a phone."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import bayesinn as bi
from bayesinn.cli import app
from docs.pages import commands, diagnostics, reference, tutorials
from docs.pages.links import ROOT, relinked
from tests.diagnosis.test_browser import LAPTOP, PHONE, browser  # noqa: F401
from tests.helpers.browser import overlaps

_PLACES = (
    "README.md",
    "tutorials/[0-9]*.md",
    "docs/*.md",
    "docs/how_to/*.md",
    "paper_results/**/README.md",
    "benchmarks/**/README.md",
)
PAGES = sorted(file for place in _PLACES for file in ROOT.glob(place))
_FENCED = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<kind>[^\n]*)\n(?P<code>.*?)^ *(?P=fence)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built anew, warnings being errors, as by ``make docs``."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "-d",
        folder / "doctrees",
        "docs",
    ]
    done = subprocess.run(
        [*command, folder / "html"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_programs_are_told_which_pages_there_are(site: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text())
    assert len(links) > 10
    assert [link for link in links if not (site / link).is_file()] == []


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text())


def test_every_page_is_there(site: Path) -> None:
    names = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    for folder, source in (("tutorials", "tutorials/*.md"), ("how_to", "docs/how_to/*.md")):
        assert names >= {f"{folder}/{file.stem}.html" for file in ROOT.glob(source)}
    assert names >= {
        f"gallery/{file.parent.name}.html" for file in ROOT.glob("paper_results/*/README.md")
    }
    assert "gallery/sbibm_training.html" in names
    assert "within tolerance" in text_of(site / "getting_started.html")


def test_public_names_are_described(site: Path) -> None:
    pages = "".join(page.read_text() for page in site.glob("reference/*.html"))
    for name in (
        "bayesinn.diagnose",
        "bayesinn.AmortizedPosterior.sample",
        "bayesinn.flows.coupling",
    ):
        assert f'id="{name}"' in pages, name
    missing = [name for name in reference.public(bi) if f'id="bayesinn.{name}"' not in pages]
    assert missing == []


def test_a_class_has_a_page_without_what_it_inherits_from_python(site: Path) -> None:
    classes = [name for name in reference.public(bi) if inspect.isclass(getattr(bi, name))]
    pages = {page.stem: page.read_text() for page in site.glob("reference/*.*.html")}
    described = [
        name for name in pages if re.search(rf'<dt[^>]* id="{re.escape(name)}"', pages[name])
    ]
    assert set(described) >= {f"bayesinn.{name}" for name in classes}
    draws = pages["bayesinn.posterior.Draws"]
    assert 'id="bayesinn.posterior.Draws.out_of_distribution"' in draws
    assert 'id="bayesinn.posterior.Draws.popitem"' not in draws


def test_tutorials_have_their_figures(site: Path) -> None:
    for file in tutorials.TUTORIALS.glob("[0-9]*.md"):
        saved = json.loads((tutorials.EXECUTED / file.stem / "outputs.json").read_text())
        figures = sum(len(cell["figures"]) for cell in saved["cells"])
        page = (site / "tutorials" / f"{file.stem}.html").read_text()
        assert page.count("<figure") == figures > 0


def test_pictures_have_alternative_texts(site: Path) -> None:
    """A path is none; the index has signs to open and close its parts."""
    lacking = [
        (str(page.relative_to(site)), image)
        for page in site.rglob("*.html")
        for image in re.findall(r"<img(?![^>]*toggler)[^>]*>", page.read_text())
        if not re.search(r'alt="[^"]{15,}"', image) or re.search(r'alt="[^"]*\.(png|svg)"', image)
    ]
    assert lacking == []


def test_code_is_as_wide_as_a_page_and_none_is_indented_text() -> None:
    wrong = []
    for file in PAGES:
        text = file.read_text()
        for block in _FENCED.finditer(text):
            if "remove-cell" in block[0] or re.match(r"\{(figure|glossary)\}", block["kind"]):
                continue
            for line in block["code"].splitlines():
                if len(line) - len(block["indent"]) > tutorials.WIDTH and ":alt:" not in line:
                    wrong.append((file.name, line))
        # Below a list, four blanks are no code: it was shown as running text.
        indented = re.findall(r"^ {4}(?:python|bayesinn|make|pip) .*", _FENCED.sub("", text), re.M)
        wrong.extend((file.name, line) for line in indented)
    assert wrong == []


def test_printed_lines_are_wrapped_and_rows_of_numbers_are_not() -> None:
    row = "x" * 60 + "  " + 20 * "0.25  " + "1.0"
    line = "  SBC" + "  within" + "  shift at most 0.056 sd (x2); error of spread at most 3.5 %" * 2
    assert tutorials._wrapped(row) == row
    first, *more = tutorials._wrapped(line).split("\n")
    assert len(first) <= tutorials.WIDTH
    assert all(len(one) <= tutorials.WIDTH and one.startswith("      ") for one in more)
    assert " ".join([first, *more]).split() == line.split()


def test_no_page_is_wider_than_the_screen_or_needs_the_web(site: Path, browser) -> None:  # noqa: F811
    wide = []
    asked: list[str] = []
    wrong: list[str] = []
    for width, scheme in ((LAPTOP, "light"), (PHONE, "dark")):
        size = {"width": width, "height": 800}
        window = browser.new_page(viewport=size, color_scheme=scheme)
        window.on("pageerror", lambda error: wrong.append(str(error)))
        window.on("console", lambda one: one.type == "error" and wrong.append(one.text))
        window.route("http*://**", lambda route: (asked.append(route.request.url), route.abort()))
        for page in sorted(site.rglob("*.html")):
            # One template makes the reference: what is too wide for a laptop is so for a phone.
            if width == LAPTOP and "reference" in page.parts:
                continue
            window.goto(page.as_uri())
            if 'class="math' in page.read_text():
                window.wait_for_selector("mjx-container svg")
            if window.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((width, page.name))
            wrong.extend(f"{page.name} at {width}: {text}" for text in overlaps(window))
        window.close()
    assert wide == []
    assert wrong == []
    # Formulas, too, are set without the web.
    assert asked == []


def test_a_tutorial_without_outputs_of_its_code_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "01_first_posterior.md"
    text = (tutorials.TUTORIALS / file.name).read_text()
    file.write_text(text)
    assert tutorials.page(file)[1] == ""
    file.write_text(text.replace("NOISE = 0.5", "NOISE = 0.6"))
    assert "no outputs of its present code" in tutorials.page(file)[1]


def test_links_lead_to_pages_figures_and_files() -> None:
    text = "[a](../sir_germany/README.md) [b](run.py) [c](https://x.org/y) ![d](draws.png) [e](.)"
    link_a, link_b, link_c, rest = relinked(
        text, ROOT / "paper_results" / "two_moons" / "README.md"
    ).split(" ", 3)
    assert link_a == "[a](/gallery/sir_germany.md)"
    assert link_b == "{download}`b"
    assert rest.startswith(
        "[c](https://x.org/y) ```{figure} ../../paper_results/two_moons/draws.png"
    )
    assert link_c == "<../../paper_results/two_moons/run.py>`"
    assert rest.endswith("``` e")
    part = ROOT / "paper_results" / "sbibm" / "training" / "README.md"
    assert relinked("[f](../README.md)", part) == "[f](/gallery/sbibm.md)"
    assert relinked("[g](training/README.md)", part.parents[1] / "README.md") == (
        "[g](/gallery/sbibm_training.md)"
    )


def test_diagnostics_are_those_that_are_registered() -> None:
    (page,) = diagnostics.pages(print).values()
    for check in bi.diagnosis.registered_checks():
        assert f"### {check.name}\n" in page
        assert check.question in page
        assert check.remedy in page


def test_every_command_and_option_is_described() -> None:
    (page,) = commands.pages(print).values()
    for name, command in typer.main.get_command(app).commands.items():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            assert parameter.help.split()[0] in section
            assert parameter.param_type_name == "argument" or f"`{parameter.opts[0]}`" in section


def test_checks_are_left_out_of_tutorials_and_answers_are_folded() -> None:
    for file in tutorials.TUTORIALS.glob("[0-9]*.md"):
        text, _ = tutorials.page(file)
        assert "\nassert " not in re.sub(r"::::\{dropdown\}.*?\n::::\n", "", text, flags=re.DOTALL)
        answers = text.count("{dropdown} Answer") + text.count("<summary>Answer</summary>")
        assert file.stem.startswith("07") or answers == 2


def test_the_first_tutorial_is_short_and_soon_at_its_posterior() -> None:
    lines = (tutorials.TUTORIALS / "01_first_posterior.md").read_text().splitlines()
    assert len(lines) <= 280
    assert next(i for i, line in enumerate(lines) if "posterior.infer" in line) < 110
