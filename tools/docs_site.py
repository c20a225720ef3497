"""Build the pages as a site, strictly: python tools/docs_site.py (make docs). The result is build/docs/site.

docs/index.md is the only list of the pages; the site's navigation is built from it. A broken link or anchor, a page that
the index does not list, and a script, style, font or image from another host end with exit 1.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "docs"
MARKDOWN = MarkdownIt("commonmark").enable("table")
# A tag or rule that makes a browser fetch something by itself; an ordinary link does not.
FETCHES = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data)=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?![^>]*rel=["']?(?:canonical|prev|next))[^>]*?\bhref=["']?(?:https?:)?//[^>]*>"""
    r"""|url\(["']?(?:https?:)?//[^)]*\)|@import\s+["'](?:https?:)?//[^"']*["']"""
)

Nav = list[tuple[str, list[tuple[str, str]]]]


@cache
def parsed(text: str) -> list[Token]:
    return MARKDOWN.parse(text)


def tokens_of(page: Path) -> Iterator[Token]:
    """Each token of a page, those inside paragraphs and headings included."""
    for token in parsed(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links_of(page: Path) -> list[str]:
    """Targets of the links and images that stay in the repository."""
    found = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in tokens_of(page) if token.attrs]
    return [target for target in found if target and not re.match(r"[a-z]+:|//", target)]


def anchors_of(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosting sites and the built site form them."""
    anchors: list[str] = []
    tokens = parsed(page.read_text(encoding="utf-8"))
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            text = "".join(child.content for child in token.children or () if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            again = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", known) is not None for known in anchors)
            anchors.append(f"{slug}-{again}" if again else slug)
    return set(anchors)


def pages_of(root: Path = ROOT) -> list[Path]:
    """README, CONTRIBUTING and every page of docs/."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


def navigation(root: Path = ROOT) -> Nav:
    """Sections of docs/index.md with their pages, (title, path below the root); all decision records under the last one."""
    docs = root / "docs"
    nav: Nav = []
    tokens = parsed((docs / "index.md").read_text(encoding="utf-8"))
    for before, token in pairwise(tokens):
        if before.type == "heading_open" and before.tag == "h2":
            nav.append((token.content, []))
        for title, target in titled_links(token):
            if nav and (docs / target).is_file():
                nav[-1][1].append((title, (docs / target).resolve().relative_to(root.resolve()).as_posix()))
    listed = {path for _, pages in nav for _, path in pages}
    for page in sorted((docs / "decisions").glob("*.md")):  # only ever added; ordered by name
        path = page.relative_to(root).as_posix()
        if path not in listed:
            nav[-1][1].append((page.read_text(encoding="utf-8").splitlines()[0].lstrip("# "), path))
    return nav


def titled_links(token: Token) -> Iterator[tuple[str, str]]:
    """Text and target of each link of a paragraph or a list item."""
    target, text = "", ""
    for child in token.children or ():
        if child.type == "link_open":
            target, text = str(child.attrs["href"]), ""
        elif child.type == "link_close":
            yield text, target
        text += child.content


def problems(root: Path = ROOT) -> list[str]:
    """What is wrong with links, anchors and the index, one line for each."""
    found = []
    for page in pages_of(root):
        name = page.relative_to(root).as_posix()
        for target in links_of(page):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            if not there.is_file():
                found.append(f"{name}: {target} leads to no file")
            elif anchor and (there.suffix != ".md" or anchor not in anchors_of(there)):
                found.append(f"{name}: {target} leads to no heading")
    listed = [path for _, pages in navigation(root) for _, path in pages]
    found += [f"docs/index.md lists {path} {listed.count(path)} times" for path in {*listed} if listed.count(path) > 1]
    for page in sorted((root / "docs").rglob("*.md")):
        name = page.relative_to(root).as_posix()
        if name != "docs/index.md" and name not in listed:
            found.append(f"{name} is not listed in docs/index.md")
    return found


def stage(pages: Path) -> None:
    """Copy what the site shows: the README, docs/, and whatever those link to, each under its own path."""
    waiting = [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*") if path.is_file())]
    done: set[Path] = set()
    while waiting:
        file = waiting.pop().resolve()
        if file in done:
            continue
        done.add(file)
        target = pages / file.relative_to(ROOT.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        if file.suffix == ".md":
            waiting += [file.parent / link.partition("#")[0] for link in links_of(file) if not link.startswith("#")]


def settings() -> str:
    """zensical.toml with the navigation in it."""
    lines = ['{ "Home" = "README.md" }', '{ "Contents" = "docs/index.md" }']
    for section, pages in navigation():
        inner = ", ".join(f"{{ {json.dumps(title)} = {json.dumps(path)} }}" for title, path in pages)
        lines.append(f"{{ {json.dumps(section)} = [{inner}] }}")
    return (ROOT / "zensical.toml").read_text(encoding="utf-8").replace("nav = []", f"nav = [{', '.join(lines)}]")


def fetches_of(site: Path) -> list[str]:
    """What a browser showing a page of the site would fetch from elsewhere."""
    found = set()
    for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        for match in FETCHES.finditer(file.read_text(encoding="utf-8")):
            found.add(f"{file.relative_to(site)} fetches {match[0]}")
    return sorted(found)


def main() -> int:
    if wrong := problems():
        print("\n".join(wrong), file=sys.stderr)
        return 1
    shutil.rmtree(BUILD, ignore_errors=True)
    stage(BUILD / "pages")
    (BUILD / "zensical.toml").write_text(settings(), encoding="utf-8")
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run([program, "build", "--strict"], cwd=BUILD, check=False)
    if done.returncode:
        return 1
    if wrong := fetches_of(BUILD / "site"):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    print(f"{BUILD.relative_to(ROOT) / 'site' / 'index.html'}: {len(pages_of()) - 1} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
