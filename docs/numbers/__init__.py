"""Numbers in pages, made from tables: a page names the cell of each number, and nobody types it.

    make numbers                      # fill all pages anew from the tables
    python -m docs.numbers --check    # say which numbers are stale, and which have no cell

A number in a text is followed by its name, in a comment that readers don't see:
``0.642<!--=c2st_germany-->``. Names are declared in a comment anywhere in the page, below the file
of which they are cells::

    <!-- numbers
    paper_results/covid19_germany/exact_summary.csv
    c2st_germany = Germany | C2ST | .3f
    worst = * | max of worst KS | .2f
    share_later := later / all | .0%
    -->

Row, column and format; :mod:`docs.numbers.cells` has the language. Grades and comparisons, such as
``within tolerance`` and ``behind``, are made from cells in the same way. Whole tables are made between
two comments, from the columns of a file or by a function of a Python file; see
:mod:`docs.numbers.tables`. Every other number that looks measured is an error, unless
``typed.toml`` says why it is typed; see :mod:`docs.numbers.typed`.
"""

from docs.numbers.page import ROOT, fill, pages, problems

__all__ = ["ROOT", "fill", "pages", "problems"]
