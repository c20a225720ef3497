"""The page and the card of a run with many classes, and words that hold for any images."""

import ast
import re
from pathlib import Path

import pytest

from plainfilm.pipeline.report import report_run

PACKAGE = Path(__file__).parents[3] / "src" / "plainfilm"
NAMES = tuple(f"kind {i:02d}" for i in range(20))
DRAWS_THE_CHEST = ("data/synthetic", "cli/commands/data.py", "data/csv", "data/folders", "data/table/positive_class.py")
CHEST = re.compile(r"\b(lungs?|chest|thora\w+|cardi\w+)\b", re.IGNORECASE)


def cells(html: str, heading: str) -> list[str]:
    """First cells of the table below a heading."""
    table = html.partition(heading)[2].partition("</table>")[0]
    return [re.sub(r"<[^>]+>", "", row) for row in re.findall(r"<tr><td[^>]*>(.*?)</td>", table)]


def test_the_page_shows_five_of_either_end_and_the_most_frequent_confusions(finish):
    run = finish("many", vocab=NAMES, positive=None, patients=60, skill=1.0)
    html = Path(report_run(run.root).out).read_text(encoding="utf-8")
    by_class = cells(html, "Each class against the rest")
    assert len(by_class) == 11 and by_class[5] == "..." and set(by_class) <= {*NAMES, "..."}
    assert len(cells(html, "Most frequent confusions")) == 10
    assert "Confusion matrix, test (rows" not in html and "Top-3 accuracy" in html
    assert html.partition('id="data"')[2].partition('id="audit"')[0].count("kind ") == 20  # ten in either split


def test_few_classes_are_all_there_in_their_order(finish):
    run = finish("few", vocab=NAMES[:4], positive=None)
    html = Path(report_run(run.root).out).read_text(encoding="utf-8")
    assert cells(html, "Each class against the rest") == [*NAMES[:4]]
    assert "Confusion matrix, test (rows" in html and "Top-3" not in html


def texts(path: Path) -> list[str]:
    """What a module or a template may print: its strings but docstrings."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return source.splitlines()
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docs
    ]


@pytest.mark.parametrize("suffix", ["py", "j2"])
def test_nothing_that_is_printed_takes_the_images_for_chest_x_rays(suffix):
    paths = [
        path
        for path in PACKAGE.rglob(f"*.{suffix}")
        if not path.relative_to(PACKAGE).as_posix().startswith(DRAWS_THE_CHEST)
    ]
    found = {f"{path.name}: {text}" for path in paths for text in texts(path) if CHEST.search(text)}
    assert len(paths) > 3 and found == set()
