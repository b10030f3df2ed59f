"""Patterns of paths against an independent reading by regular expressions; secrets in any surroundings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hearth.plan import Secrets, path_matches

if TYPE_CHECKING:
    from pathlib import Path

names = st.text("ab-", min_size=1, max_size=4)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
parts = st.lists(st.sampled_from(["a", "b", "-", "*", "?", "[ab]", "[!a]", "[a-b]"]), min_size=1, max_size=4).map(
    "".join
)
# A part `**` is any number of names; two stars within a part that holds more are one star, so parts are kept apart.
patterns = st.lists(parts.filter(lambda part: part != "**") | st.just("**"), min_size=1, max_size=4).map("/".join)


def as_regex(pattern: str) -> str:
    """Translate a pattern by the rules in the guide, for a path whose every name ends in a slash."""
    one = {"*": "[^/]*", "?": "[^/]"}
    result = ""
    for part in pattern.split("/"):
        if part == "**":  # any number of whole names
            result += "(?:[^/]+/)*"
            continue
        tokens = re.findall(r"\[!?[^]]+\]|.", part)
        body = "".join(one.get(t) or (t.replace("[!", "[^/") if len(t) > 1 else re.escape(t)) for t in tokens)
        result += f"(?=[^/]){body}/"
    return result


@given(patterns, paths)
@example("a/**", "a")
@example("a/*", "a")
@example("**/a", "a")
def test_a_pattern_means_what_the_regular_expression_means(pattern: str, path: str) -> None:
    expected = re.fullmatch(as_regex(pattern), path + "/") is not None
    assert path_matches(pattern, path) == expected


@given(paths)
def test_a_path_is_its_own_pattern_and_stands_below_its_folders(path: str) -> None:
    assert path_matches(path, path)
    assert path_matches("**", path)
    folders = path.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        folder = "/".join(folders[:depth])
        assert path_matches(folder + "/", path)
        assert path_matches(folder + "/**", path)
        assert not path_matches(folder, path)


surroundings = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=10)
# Shorter ones are refused: they could not be kept out of the record.
secrets = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=4, max_size=12).filter(
    lambda secret: len(secret.strip()) >= 4
)


@given(surroundings, secrets, surroundings)
@example("https://u:", "p@h/x?y#z", "@host/")
@example("https://h/a?b=", "&c=d", "")
def test_a_secret_is_inserted_whole_and_registered_in_the_form_that_is_used(
    before: str, secret: str, after: str
) -> None:
    registered: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hearth.plan._secrets.os.environ", {"S": secret})
        value = Secrets.resolve(f"{before}{{secret: env:S}}{after}", folder=None, register=registered.append)  # type: ignore[arg-type]
    used = value[len(before) : len(value) - len(after)]
    assert value == before + used + after
    assert used in registered
    assert secret in registered
    assert used == secret or unquote(used) == secret


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_text_without_a_reference_stays_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    if Secrets.references(text):
        return
    folder: Path = tmp_path_factory.getbasetemp()
    assert Secrets.resolve(text, folder=folder, register=pytest.fail) == text
