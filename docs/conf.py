"""Settings of Sphinx. ``make docs`` builds the site into docs/_build/html."""

from __future__ import annotations

import os
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sphinx.util import logging  # noqa: E402

from bayesinn import __version__  # noqa: E402
from docs import pages  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "bayesinn"
author = "bayesinn contributors"
version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "executed"]

html_theme = "furo"
html_title = f"bayesinn {version}"
html_static_path = ["_static"]
# For programs that read: what stands where.
html_extra_path = ["llms.txt"]
html_css_files = ["site.css"]
# MathJax 3.2.2 of npm, one file: the default would load it from the web.
mathjax_path = "mathjax/tex-svg.js"
html_copy_source = html_show_sourcelink = html_show_copyright = False
copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div:not(.output) > div.highlight > pre"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autosummary_generate = False
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_google_docstring = False
napoleon_use_rtype = False


def _escape_stars(
    _app: Sphinx, _kind: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Escape the stars of shapes such as (n, *event), which begin emphasised text elsewhere."""
    lines[:] = [re.sub(r"(?<=[(, ])\*(?=\w+[,)])", r"\\*", line) for line in lines]


_IN_C = (
    types.BuiltinFunctionType,
    types.ClassMethodDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


def _skip_foreign(
    _app: Sphinx, _kind: str, _name: str, value: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out members that classes inherit from Keras, Python and others."""
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    # Those of dict and other types in C name no module.
    if isinstance(function, _IN_C):
        return True
    module = getattr(function, "__module__", None)
    return True if callable(function) and module and not module.startswith("bayesinn") else None


def setup(app: Sphinx) -> None:
    """Write the pages that are made from the rest of the repository, then read all."""
    app.connect("autodoc-process-docstring", _escape_stars, priority=400)
    app.connect("autodoc-skip-member", _skip_foreign)
    pages.write(Path(app.srcdir), logging.getLogger(__name__).warning)
