"""The harness that runs the documents: it finds what is wrong, and says where."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.e2e._docs import (
    Block,
    Command,
    DocumentError,
    parse_console,
    read_blocks,
    read_links,
    run_document,
    same_output,
)
from tests.e2e._docs._console import Shell

if TYPE_CHECKING:
    from pathlib import Path


class Page:
    """Writes a page and runs it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "repository"
        self.folder.mkdir()
        self.path = self.folder / "page.md"
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        self.monkeypatch = monkeypatch

    def run(self, text: str) -> str:
        """Return `3 run, 0 skipped, 0 pictures`."""
        self.path.write_text(dedent(text))
        outcome = run_document(self.path, repository=self.folder, scratch=self.scratch, monkeypatch=self.monkeypatch)
        return f"{len(outcome.run)} run, {len(outcome.skipped)} skipped, {len(outcome.pictures)} pictures"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(tmp_path, monkeypatch)


def test_a_page_that_holds(page: Page) -> None:
    (page.folder / "examples/one").mkdir(parents=True)
    (page.folder / "examples/one/data.txt").write_text("1\n2\n")
    (page.folder / "script.py").write_text("print('a script at the root')\n")
    done = page.run("""
        # Page

        ```console
        $ cd examples/one
        $ wc -l data.txt
        2 ...
        $ word=kept
        ```

        ```console
        $ echo $word; basename $PWD
        kept
        one
        $ false
        $ echo $?
        1
        $ cat \\
        > data.txt
        1
        ...
        ```

        <!-- docs: file made/by.txt -->
        ```text
        from the page
        ```

        <!-- docs: exit 3 -->
        ```console
        $ cat ../../made/by.txt
        from the page
        $ python ../../script.py && exit_with() { return 3; } && exit_with
        a script at the root
        ```

        ```python
        from pathlib import Path
        text = Path("made/by.txt").read_text()
        ```

        ```python
        >>> text
        'from the page\\n'
        >>> [1] * 40
        [1, ...]
        ```

        1. In a list:

           ```json
           {"a": [1, 2]}
           ```

        ```yaml
        a: 1
        ```

        ```toml
        a = 1
        ```

        ```text
        ┌───┐
        ```

        <!-- docs: skip because it takes a week -->
        ```console
        $ sleep 604800
        ```
    """)
    assert done == "9 run, 1 skipped, 1 pictures"


@pytest.mark.parametrize(
    "text, line, what",
    [
        ("```console\n$ true\n$ echo yes\nno\n```\n", 3, "other output than on the page"),
        ("```console\n$ true\n\n$ exit_code() { return 4; }; exit_code\n```\n", 4, "exit status 4, not 0"),
        ("<!-- docs: exit 2 -->\n```console\n$ true\n```\n", 3, "exit status 0, not 2"),
        ("```console\n$ exit\n```\n", 2, "ended the shell"),
        ("```console\n$ if\n```\n", 2, "exit status"),
        ("```console\nno command\n```\n", 2, "begins with `$ `"),
        ("```python\na = 1\n\nassert a == 2\n```\n", 4, "AssertionError"),
        ("```python\na = 1\nb = )\n```\n", 3, "SyntaxError"),
        ("```python\nimport json\njson.loads('{')\n```\n", 3, "JSONDecodeError"),
        ("```python\n>>> 1 + 1\n3\n```\n", 2, "the doctest fails"),
        ('```json\n{"a": 1, "a": 2}\n```\n', 2, "a key stands twice"),
        ("```json\n{...}\n```\n", 2, "not json"),
        ("```yaml\na: [\n```\n", 2, "not yaml"),
        ("```toml\na\n```\n", 2, "not toml"),
        ("```sh\nls\n```\n", 2, "unknown language 'sh'"),
        ("```\n$ ls\n```\n", 2, "something to type"),
        ("Text:\n\n    >>> 1\n", 3, "something to type"),
        ("<!-- docs: skip -->\n```console\n$ false\n```\n", 3, "unknown docs comment"),
        ("<!-- docs: skip because of this -->\n\nText.\n\n```console\n$ false\n```\n", 1, "no code block follows"),
        ("<!-- docs: skip because of this -->\n", 1, "no code block follows"),
        ("<!-- docs: file a.py -->\n```python\n)\n```\n", 3, "SyntaxError"),
    ],
)
def test_a_block_that_fails_is_reported_with_its_line(page: Page, text: str, line: int, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        page.run(text)
    assert str(caught.value).startswith(f"page.md:{line}: ")
    assert what in str(caught.value)


def test_a_plan_on_a_page_is_loaded(page: Page) -> None:
    good = "```yaml\nplan: p\nsteps:\n  - {name: One, shell: 'true'}\n```\n"
    assert page.run(good) == "1 run, 0 skipped, 0 pictures"


@pytest.mark.parametrize("language", ["yaml", "json"])
def test_a_plan_that_does_not_load_is_found(page: Page, language: str) -> None:
    with pytest.raises(DocumentError, match=r"page\.md:2: not a valid plan:(?s:.*)surprise"):
        page.run(f'```{language}\n{{"plan": "p", "surprise": 1, "steps": [{{"name": "One", "shell": "true"}}]}}\n```\n')


def test_a_command_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with Shell(folder=tmp_path, scratch=tmp_path, environment={"PATH": "/usr/bin:/bin"}, patience=0.3) as shell:
        assert shell.run("echo begun; sleep 60") == (None, "begun\n")
        assert shell.run("echo too late")[0] is None


def test_nothing_of_the_person_reaches_a_page(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    page.run("""
        ```console
        $ echo $COLUMNS $NO_COLOR; ls -A "$HOME"; read -r line
        120 1
        $ echo $?
        1
        ```
    """)


@pytest.mark.parametrize(
    "expected, actual, same",
    [
        ("a", "a\n", True),
        ("a", "a  \n\n\n", True),
        ("a", "a\nb\n", False),
        ("a", "", False),
        ("a ... c", "a b c\n", True),
        ("a ... c", "a b\nb c\n", False),
        ("a\n...\nc", "a\nc\n", True),
        ("a\n...\nc", "a\nb\nb\nc\n", True),
        ("a\n...", "a\n", True),
        ("...\nc", "a\nd\n", False),
        ("a.c", "abc\n", False),
        ("  a", "a\n", False),
    ],
)
def test_output_is_compared_with_wildcards(expected: str, actual: str, same: bool) -> None:
    assert same_output(tuple(expected.split("\n")), actual) is same


def test_a_console_block_is_split_into_commands() -> None:
    block = Block(name="page.md", line=7, language="console", text="$ a \\\n> b\nout\n> out\n$ c\n\n$ d\n")
    assert parse_console(block) == [
        Command(7, "a \\\nb", ("out", "> out")),
        Command(11, "c", ()),
        Command(13, "d", ()),
    ]


def test_blocks_and_links_are_found_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("[a](b.md#c)\n\n| x |\n|---|\n| ![p](p.png) |\n\n~~~Python title\nx\n~~~\n")
    assert [(link.line, link.target) for link in read_links(path)] == [(1, "b.md#c"), (5, "p.png")]
    assert [(block.line, block.language, block.text) for block in read_blocks(path)] == [(8, "python", "x\n")]
