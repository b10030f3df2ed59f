from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.recorder import ExecutionObserver
from hearth.rollback import RollbackPlanner
from hearth.rollback._text import WIDTH, wrapped, wrapped_action
from tests.unit.rollback._runs import hint, run


def summary(script: str, hints: list[dict[str, Any]], mark: str = "failed") -> str:
    return RollbackPlanner.plan_rollback(run(script, mark=mark), hints).to_summary()


def test_an_operator_can_follow_it() -> None:
    text = summary(
        "0~+ 1+ 2!- 3?",
        [
            hint(0, description="Remove the backup", actions=["rm backup.db"]),
            hint(
                1,
                description="Take the rows out",
                actions=["stop the importer", 'sqlite3 app.db "DELETE FROM users WHERE batch = 9"'],
                required_inputs=["the batch's number"],
                risks=["later changes to these rows are lost"],
                estimated_duration="5 minutes",
            ),
        ],
    )
    assert text == (
        "==============================================================================\n"
        "Rollback of run-1\n"
        "==============================================================================\n"
        "Plan:      user-import\n"
        "Status:    the run ended failed\n"
        "Possible:  YES\n"
        "Reason:    The execution failed; the plan has hints for 2 of the 4 steps that ran.\n"
        "\n"
        "WARNINGS: read these first\n"
        '  ! Step 3 "Mark": its outcome is unknown; look at the system before you touch it.\n'
        '  ! Step 2 "Tell" failed and may have acted before it did.\n'
        '  ! Step 2 "Tell" did what cannot be undone: network: POST of Tell.\n'
        "  ! There may be effects that no list here names: effects are what the code reported; nothing\n"
        "    observed the step.\n"
        "\n"
        "STEPS TO TAKE, in this order (the step that ran last comes first)\n"
        "\n"
        '  1. [ ] BY HAND step 3 "Mark"\n'
        "         Note:  its outcome is unknown; there is no guidance: look at the system and decide yourself\n"
        "\n"
        '  2. [ ] BY HAND step 2 "Tell"\n'
        "         Note:  it failed and may have acted before it did; there is no guidance: look at the system\n"
        "                and decide yourself\n"
        "\n"
        '  3. [ ] Take back step 1 "Import": Take the rows out\n'
        "         Need:  the batch's number\n"
        "         Risk:  later changes to these rows are lost\n"
        "         Time:  5 minutes\n"
        "         Do 3.1:  stop the importer\n"
        '         Do 3.2:  sqlite3 app.db "DELETE FROM users WHERE batch = 9"\n'
        "\n"
        '  4. [ ] Take back step 0 "Back up": Remove the backup\n'
        "         Do 4.1:  rm backup.db\n"
        "\n"
        "CANNOT BE UNDONE: decide what to do instead\n"
        '  - step 2 "Tell"\n'
        "      * network: POST of Tell\n"
        "\n"
        "HEARTH has run none of this. Check the result of each step before you go on to the next."
    )


@pytest.mark.parametrize(
    "mark, reason",
    [("escalation", "security escalation"), ("", "not sealed"), ("completed", "Rollback is not needed")],
)
def test_what_cannot_be_taken_back_offers_nothing_to_follow(mark: str, reason: str) -> None:
    text = summary("0+", [hint(0)], mark)
    assert "Possible:  NO" in text
    assert reason in text
    assert "undo --step 0" not in text
    assert "`hearth show run-1`" in text


def test_a_hint_for_a_step_in_doubt_says_so() -> None:
    assert "Note:  its outcome is unknown: find out by hand" in summary("0?", [hint(0)], "interrupted")
    assert "Note:  it failed and may have acted" in summary("0-", [hint(0)])
    assert "Note:" not in summary("0+", [hint(0)])


def test_a_command_of_several_lines_keeps_them() -> None:
    text = summary("0-", [hint(0, actions=["for x in a b; do\n\trm $x\ndone"])])
    assert "         Do 1.1:  for x in a b; do\n                      rm $x\n                  done\n" in text


def test_a_long_command_is_broken_where_a_shell_waits_for_the_rest() -> None:
    command = "tar --create --file=/backup/users.tar " + " ".join(f"/srv/data/part-{number}" for number in range(20))
    text = summary("0-", [hint(0, actions=[command])])
    assert "A line that ends in \\ goes on in the next one." in text
    lines = [
        line.removeprefix("         Do 1.1:") for line in text.splitlines() if "/srv/data" in line or "tar" in line
    ]
    assert len(lines) > 3
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert " ".join(line.removesuffix(" \\").strip() for line in lines) == command


def test_a_word_that_must_be_broken_is_not_for_pasting() -> None:
    word = "/srv/" + "x" * 250
    text = summary("0-", [hint(0, actions=[f"rm -rf {word}"])])
    lines = [line for line in text.splitlines() if "xxx" in line]
    assert all(line.endswith(" <cut>") for line in lines[:-1])
    assert "take it from the JSON form" in text
    assert "".join(line.split("  ")[-1].strip().removesuffix(" <cut>") for line in lines).endswith(word)


def test_no_control_character_reaches_the_terminal() -> None:
    hostile = "\x1b[2J\x1b]0;pwned\x07 \u202egnp.exe \r\n\x00 \u2028 \t\u200b"
    observer = ExecutionObserver(hostile, hostile)
    observer.record_step_started(0, hostile)
    observer.record_side_effect("OTHER", hostile, step_index=0)
    observer.record_step_failed(0, hostile, hostile)
    observer.mark_incomplete_security_escalation(hostile)
    record = observer.get_execution_record("LIVE")
    text = RollbackPlanner.plan_rollback(record, []).to_summary()
    text += summary("0-", [hint(0, description=hostile, actions=[hostile], risks=[hostile], required_inputs=[hostile])])
    assert all(character.isprintable() for line in text.split("\n") for character in line)
    assert "\\x1b[2J" in text
    assert "\\u202e" in text


def squeezed(lines: list[str], lead: str = "") -> str:
    """The text without whitespace, lead and marks of broken lines."""
    bare = [re.sub(r"( \\\\| <cut>)$", "", line) for line in lines]
    return re.sub(r"\s", "", "".join(bare).removeprefix(lead))


@given(st.text(alphabet="ab-é漢 😀\n", max_size=500))
def test_no_line_is_too_long_and_no_text_is_lost(text: str) -> None:
    for wrap, lead in ((wrapped, "  ! "), (wrapped_action, "         Do 12.3:  ")):
        lines = wrap(text, lead)
        assert all(len(line) <= WIDTH for line in lines)
        assert squeezed(lines) == squeezed([lead, text])


@given(st.text(max_size=500))
def test_any_text_becomes_lines_that_can_be_seen(text: str) -> None:
    for lines in (wrapped(text, "  ! "), wrapped_action(text, "         Do 12.3:  ")):
        assert all(len(line) <= WIDTH and line.isprintable() for line in lines)
