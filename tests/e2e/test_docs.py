"""Every code block of the documents does what the page says, and every link of theirs leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e._docs import DocumentError, read_blocks, read_links, run_document

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("README.md", "CHANGELOG.md", "benchmarks/README.md", "docs/**/*.md", "examples/**/README.md")
    for path in REPOSITORY.glob(pattern)
    if ".hearth" not in path.parts
)

# The blocks that are not run, by page and first line. Only what sets up, tests or measures the whole project may stand
# here: running it from one of its own tests would go round in a circle.
NOT_RUN: set[tuple[str, str]] = {
    ("README.md", "$ make demo"),
    ("benchmarks/README.md", "$ make bench"),
}


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_the_blocks_of_a_document_hold(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    outcome = run_document(path, repository=REPOSITORY, scratch=tmp_path, monkeypatch=monkeypatch)
    record_property("run", len(outcome.run))
    record_property("skipped", len(outcome.skipped))
    record_property("pictures", len(outcome.pictures))


def test_no_other_block_is_skipped() -> None:
    skipped = {(name_of(path), block.first) for path in DOCUMENTS for block in read_blocks(path) if block.skip}
    assert skipped <= NOT_RUN, "run these blocks, or say in NOT_RUN why they cannot be"
    assert skipped >= NOT_RUN, "no page skips these any more: take them out of NOT_RUN"


def test_the_make_targets_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        named = {
            name: block
            for block in read_blocks(path)
            for name in re.findall(r"^\$ make (\w+)", block.text, re.MULTILINE)
        }
        for name, block in named.items():
            if name not in targets:
                raise DocumentError(name_of(path), block.line, f"the Makefile has no target {name}")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_the_links_of_a_document_lead_somewhere(path: Path) -> None:
    for link in read_links(path):
        if re.match(r"\w+:", link.target):
            continue
        target, _, anchor = link.target.partition("#")
        page = path.parent / target if target else path
        if not page.exists():
            raise DocumentError(name_of(path), link.line, f"no such file: {link.target}")
        if anchor and page.suffix == ".md" and anchor not in anchors(page):
            raise DocumentError(name_of(path), link.line, f"no such heading: {link.target}")


def anchors(page: Path) -> set[str]:
    """The headings of a page as forges turn them into anchors."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_the_documents_are_there() -> None:
    names = {name_of(path) for path in DOCUMENTS}
    assert names >= {
        "CHANGELOG.md",
        "README.md",
        "benchmarks/README.md",
        "docs/EXECUTION_OBSERVABILITY_QUICK_REFERENCE.md",
        "docs/EXECUTION_OBSERVABILITY_SPEC.md",
        "docs/STEP19_COMPLETION_SUMMARY.md",
        "docs/architecture.md",
    }
    assert any(name.startswith("docs/adr/") for name in names)
