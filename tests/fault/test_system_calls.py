"""Each failure at each system call that a live run makes on its ledger, in the kinds: it happened, it did not.

strace injects them where it is installed; a port in Python does in any case, and can also report a failure of what
happened. Each case ends with `hearth recover`, `fsck`, and a second run that wants the same approval.
"""

from __future__ import annotations

import itertools
import random
import re
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ExecutionNotFoundError
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Approvals, fsck, initialise, load_key
from hearth.plan import load_plan
from hearth.record import StepEventType
from tests import approving
from tests.fault._nursery import Nursery, strace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PLAN = """\
plan: faulty
inputs: [data.txt]
steps:
  - name: Append
    file: {append: log.txt, content: "0\\n"}
    effects: [{file_system: log.txt, reversible: true}]
  - name: Shell
    shell: "echo 1 >> log.txt; cat data.txt"
    effects: [{file_system: log.txt}]
  - name: Write
    file: {append: log.txt, content: "2\\n"}
  - name: Last
    shell: "echo 3 >> log.txt; seq 1 20"
"""
STEPS = 4
# What a call that goes wrong can say; else EIO.
ERRORS = {
    "write": ("ENOSPC", "EDQUOT", "EIO"),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "ftruncate": ("EIO", "ENOSPC"),
    "open": ("EIO", "ENOSPC", "EMFILE", "EROFS"),
    "openat": ("EIO", "ENOSPC", "EMFILE", "EROFS"),
    "mkdir": ("ENOSPC", "EROFS", "EIO"),
    "rename": ("ENOSPC", "EROFS", "EIO"),
    "unlink": ("EROFS", "EIO"),
    "fcntl": ("EIO", "ENOLCK"),
    "flock": ("EIO", "ENOLCK"),
    "mmap": ("ENOMEM",),
}
# How many cases of a name are in the sample, where it is more than one.
WEIGHTY = {
    **dict.fromkeys(("write", "pwrite64", "fdatasync", "fsync"), 1),
    **dict.fromkeys(("openat", "rename", "unlink", "ftruncate", "fcntl", "flock"), 1),
}
SAMPLE = 7
FEW = 3
EACH_FCNTL = 16
MET = 0.75  # 31 and 32 of 39 were seen
SEED = 4711

needs_strace = pytest.mark.skipif(strace() is None, reason="needs strace, which may trace a process of the same user")


@dataclass(frozen=True)
class Template:
    """A ledger with an approval for the plan beside it, of which each case has a copy."""

    folder: Path
    request: str

    def copy(self, to: Path) -> LedgerHome:
        shutil.copytree(self.folder, to)
        return LedgerHome(to / ".hearth")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    folder = tmp_path_factory.mktemp("template")
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "data.txt").write_text("data\n")
    home = initialise(folder / ".hearth").home
    request = approving.approve(home, load_plan(folder / "plan.yaml"), approving.trust(home))
    return Template(folder, request)


def run(nursery: Nursery, home: LedgerHome, request: str, name: str, fault: dict[str, Any] | None) -> dict[str, Any]:
    words = ("run", "plan.yaml", "--mode", "live", "--approval", request, "--id", name)
    return nursery.hearth(home.root, *words, fault=fault)


def started(home: LedgerHome, name: str) -> set[int | None] | None:
    with Ledger.open(home) as ledger:
        try:
            record = ledger.get(name)
        except ExecutionNotFoundError:
            return None
    assert record.verify(), record.verify()
    return {event.step_index for event in record.step_events if event.event_type is StepEventType.STEP_STARTED}


def told(output: str) -> set[int]:
    """The steps of which the command said that they are under way; that is an acknowledgement."""
    return {int(number) for number in re.findall(r"^▸ (\d+) ", output, re.MULTILINE)}


def struck_elsewhere(answer: dict[str, Any]) -> bool:
    """Whether a program of a step was struck too: strace counts in every process, and a shell may go on regardless."""
    return any("(INJECTED)" in line and re.match(r"\[pid +\d+<(?:sh|cat|seq)>\]", line) for line in answer["trace"])


def said_well(answer: dict[str, Any], what: str) -> None:
    assert not answer["hung"], f"{what}: it hung\n{answer['out']}{answer['err']}"
    assert "Traceback" not in answer["err"], f"{what}: {answer['err']}"
    assert "database is locked" not in answer["err"], f"{what}: {answer['err']}"


def acted(home: LedgerHome) -> list[int]:
    path = home.root.parent / "log.txt"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def check(nursery: Nursery, home: LedgerHome, request: str, answer: dict[str, Any], what: str) -> None:
    """Hold what a run that met a fault has left against what it said and did."""
    said_well(answer, what)
    log = acted(home)
    assert log == sorted(set(log)), f"{what}: a step ran twice, or out of order: {log}"

    recovered = nursery.hearth(home.root, "recover")
    said_well(recovered, what)
    assert recovered["code"] == 0, f"{what}: {recovered['out']}{recovered['err']}"
    assert not [path for path in home.journals.iterdir() if path.suffix == ".journal"], what
    steps = started(home, "run")
    acknowledged = told(answer["out"])
    assert set(log) <= (steps or set()), f"{what}: a step acted without evidence: {log}, {steps}"
    assert acknowledged <= (steps or set()), f"{what}: an acknowledged start is lost: {acknowledged}, {steps}"
    if answer["code"] == 0:
        assert log == list(range(STEPS)) or struck_elsewhere(answer), what
        assert steps == set(range(STEPS)), what
    sound(home, what)

    nursery.hearth(home.root, "restore", "--reason", "the fault is over", "--key", "ann.pem")
    again = run(nursery, home, request, "again", None)
    said_well(again, what)
    if steps:
        assert again["code"] == 3, f"{what}: one approval was two runs\n{again['out']}{again['err']}"
        assert acted(home) == log, what
    else:
        assert acted(home) in ([], list(range(STEPS))), what
        assert again["code"] in {0, 3}, f"{what}: {again['out']}{again['err']}"
    sound(home, what)


def sound(home: LedgerHome, what: str) -> None:
    report = fsck(home)
    assert report.ok, f"{what}: {report.findings}"
    if report.findings:
        assert fsck(home, repair=True).ok, what
        assert fsck(home).findings == (), what


def check_other(nursery: Nursery, home: LedgerHome, answer: dict[str, Any], what: str) -> None:
    """Hold what another command than a run has left against what it said: it is whole, and as it says or as before."""
    said_well(answer, what)
    assert acted(home) == [], f"{what}: a step acted"
    recovered = nursery.hearth(home.root, "recover")
    said_well(recovered, what)
    assert recovered["code"] == 0, f"{what}: {recovered['out']}{recovered['err']}"
    sound(home, what)
    command = what.split(maxsplit=1)[0]
    with HearthKernel.open(home) as kernel:
        posture = kernel.posture.security
        requests = kernel.ledger.approvals.listing()
    if answer["code"] == 0:
        match command:
            case "lockdown":
                assert posture == "LOCKDOWN", f"{what}: it said so, and nothing was locked"
            case "restore":
                assert posture == "OPERATIONAL", f"{what}: it said so, and nothing was restored"
            case "request":
                assert len(requests) > 1, f"{what}: it said so, and nothing was asked"
            case "approve":
                assert any(row.decisions for row in requests), f"{what}: it said so, and nothing was approved"


def test_the_check_would_see_what_is_missing(nursery: Nursery, template: Template, tmp_path: Path) -> None:
    """The whole suite is worth nothing if a step without evidence, or a lost one, went unnoticed."""
    killed = {"code": -9, "out": "", "err": "", "hung": False}
    home = template.copy(tmp_path / "acted")
    (home.root.parent / "log.txt").write_text("0\n")
    with pytest.raises(AssertionError, match="acted without evidence"):
        check(nursery, home, template.request, killed, "acted")
    home = template.copy(tmp_path / "told")
    with pytest.raises(AssertionError, match="an acknowledged start is lost"):
        check(nursery, home, template.request, {**killed, "out": "▸ 0 Append  (1 of 4)\n"}, "told")
    home = template.copy(tmp_path / "twice")
    (home.root.parent / "log.txt").write_text("0\n0\n")
    with pytest.raises(AssertionError, match="ran twice"):
        check(nursery, home, template.request, killed, "twice")


# --- strace's


@dataclass(frozen=True)
class Call:
    """The n-th system call of this name that a thread makes, and where it concerns the ledger."""

    name: str
    number: int


Case = tuple[Call, str, list[str], bool]


def calls(nursery: Nursery, template: Template, folder: Path, words: tuple[str, ...] | None = None) -> list[Call]:
    """Return the calls on the ledger's files that a run without a fault makes, or the command of these words.

    It is run once before, so that the nursery has loaded what it needs: the calls of a first import would be counted.
    """
    home = template.copy(folder.with_name(f"{folder.name}-first"))
    nursery.hearth(home.root, *(words or ("run", "plan.yaml", "--mode", "live", "--approval", template.request)))
    home = template.copy(folder)
    fault = {"strace": ["-e", "trace=all"]}
    if words is None:
        answer = run(nursery, home, template.request, "run", fault)
    else:
        answer = nursery.hearth(home.root, *words, fault=fault)
    assert answer["code"] == 0, answer["err"]
    counts: dict[tuple[str, str], int] = {}
    found = set()
    for line in answer["trace"]:
        match = re.match(r"(?:\[pid +(\d+)(?:<[^>]*>)?\] )?(\w+)\(", line)
        if match:
            key = (match[1] or str(answer["pid"]), match[2])
            counts[key] = counts.get(key, 0) + 1
            if str(home.root) in line and match[2] not in {"execve", "munmap"}:
                found.add(Call(match[2], counts[key]))
    shutil.rmtree(folder)
    return sorted(found, key=lambda call: (call.name, call.number))


def errors_in_turn(name: str) -> Iterator[str]:
    """Yield what a call of this name can say, one after the other, again and again."""
    return itertools.cycle(ERRORS.get(name, ("EIO",)))


def injections(call: Call, code: str) -> Iterator[tuple[str, list[str], bool]]:
    """Yield the kinds: it failed, it never came to it, it happened and then the process was no more."""
    trace = ["-e", f"trace={call.name}", "-e"]
    yield code, [*trace, f"inject={call.name}:error={code}:when={call.number}"], False
    # From then on all of the kind. Without locks SQLite itself waits ten seconds each time, so that of those there are
    # a few only.
    if call.name != "fcntl" or call.number % EACH_FCNTL == 0:
        yield f"{code}+", [*trace, f"inject={call.name}:error={code}:when={call.number}+"], False
    yield "killed before", [*trace, f"inject={call.name}:signal=KILL:when={call.number}"], True
    yield "killed after", [*trace, f"inject={call.name}:delay_exit=30000000:when={call.number}"], True


def aims(number: int) -> list[int]:
    """The number of a call, and those that it may have in another run."""
    return [aim for aim in (number, *(number + off for off in (-1, 1, -2, 2, -3, -5)), number // 2) if aim > 0]


def inject(
    nursery: Nursery,
    template: Template,
    folder: Path,
    cases: Sequence[Case],
    words: tuple[str, ...] | None = None,
) -> int:
    """Try the cases on a run, or on the command of these words; return how many of them met their call.

    Threads take turns as they like, so a call may have another number than before: one that was not met is tried with
    the numbers beside it.
    """
    met = 0
    for number, (call, kind, options, kills) in enumerate(cases):
        for aim in aims(call.number):
            what = f"{' '.join(words or ('run',))}: {call.name} {aim} {kind}"
            home = template.copy(folder / f"{number}-{aim}")
            aimed = [option.replace(f"when={call.number}", f"when={aim}") for option in options]
            if words is None:
                answer = run(nursery, home, template.request, "run", {"strace": aimed})
            else:
                answer = nursery.hearth(home.root, *words, fault={"strace": aimed})
            struck = any("(INJECTED)" in line or "(DELAYED)" in line for line in answer["trace"])
            struck = answer["code"] == -signal.SIGKILL if kills else struck
            if words is None:
                check(nursery, home, template.request, answer, what)
            else:
                check_other(nursery, home, answer, what)
            shutil.rmtree(home.root.parent)
            if struck:
                met += 1
                break
    return met


def all_cases(
    nursery: Nursery, template: Template, folder: Path, words: tuple[str, ...] | None = None, *, every: bool = False
) -> list[Case]:
    """Return the cases; `every`: each error of each name's list at one call of it at least."""
    turns: dict[str, Iterator[str]] = {}
    cases = []
    found = calls(nursery, template, folder, words)
    for call in found:
        turn = turns.setdefault(call.name, errors_in_turn(call.name))
        cases += [(call, *one) for one in injections(call, next(turn))]
    if every:
        for name in turns:
            mine = [call for call in found if call.name == name]
            struck = {kind for call, kind, *_ in cases if call.name == name}
            for missing in [code for code in ERRORS.get(name, ("EIO",)) if code not in struck]:
                cases += [(mine[0], *one) for one in itertools.islice(injections(mine[0], missing), 1)]
    return cases


@needs_strace
def test_a_sample_of_failing_system_calls(nursery: Nursery, template: Template, tmp_path: Path) -> None:
    """Of every name and kind one call, and some more; which ones, the seed says."""
    cases = all_cases(nursery, template, tmp_path / "clean")
    names = {call.name for call, *_ in cases}
    assert {"openat", "pwrite64", "write", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "mkdir"} <= names
    assert {"fcntl", "flock", "newfstatat", "pread64"} <= names
    chance = random.Random(SEED)  # noqa: S311 - repeatable
    chance.shuffle(cases)
    chosen = []
    for name in sorted(names):
        mine = [case for case in cases if case[0].name == name]
        chosen += mine[: WEIGHTY.get(name, 1)]
    met = inject(nursery, template, tmp_path, chosen)
    assert met >= len(chosen) * MET, f"only {met} of {len(chosen)} met their call"


@pytest.mark.soak
@needs_strace
@pytest.mark.parametrize("part", range(8))
def test_every_failing_system_call(part: int, nursery: Nursery, template: Template, tmp_path: Path) -> None:
    whole = all_cases(nursery, template, tmp_path / "clean", every=True)
    for name in {call.name for call, *_ in whole}:
        assert {kind for call, kind, *_ in whole if call.name == name} >= set(ERRORS.get(name, ("EIO",))), name
    cases = whole[part::8]
    met = inject(nursery, template, tmp_path, cases)
    assert met >= len(cases) * MET, f"only {met} of {len(cases)} met their call"


# --- the other commands'


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Template:
    """A ledger with a request that nobody has decided on, and a posture to restore."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "data.txt").write_text("data\n")
    home = initialise(folder / ".hearth").home
    key = approving.trust(home)
    plan = load_plan(folder / "plan.yaml")
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).request(plan, load_key(home, key), requester="ann", reason="a test")
    (folder / "digest").write_text(plan.digest)
    return Template(folder, view.asked.request_id)


def words_of(command: str, template: Template) -> tuple[str, ...]:
    digest = (template.folder / "digest").read_text()
    reason = ("--reason", "a test")
    return {
        "request": ("request", "plan.yaml", *reason, "--key", "ann.pem"),
        "approve": ("approve", template.request, *reason, "--key", "ann.pem", "--digest", digest),
        "lockdown": ("lockdown", *reason),
        "restore": ("restore", *reason, "--key", "ann.pem"),
    }[command]


def other_cases(nursery: Nursery, asked: Template, folder: Path, command: str, *, every: bool) -> tuple[Template, Any]:
    template = asked
    if command == "restore":
        locked = asked.copy(folder / "locked")
        assert nursery.hearth(locked.root, "lockdown", "--reason", "a test")["code"] == 0
        template = Template(folder / "locked", asked.request)
    words = words_of(command, asked)
    return template, all_cases(nursery, template, folder / "clean", words, every=every)


COMMANDS = ("request", "approve", "lockdown", "restore")


@needs_strace
@pytest.mark.parametrize("command", COMMANDS)
def test_a_few_failing_calls_of_other_commands(command: str, nursery: Nursery, asked: Template, tmp_path: Path) -> None:
    template, cases = other_cases(nursery, asked, tmp_path, command, every=False)
    chosen = random.Random(SEED).sample([case for case in cases if case[0].name in WEIGHTY], FEW)  # noqa: S311
    met = inject(nursery, template, tmp_path, chosen, words_of(command, asked))
    assert met >= FEW - 1, f"only {met} of {FEW} met their call"


@pytest.mark.soak
@needs_strace
@pytest.mark.parametrize("command", COMMANDS)
def test_every_failing_call_of_other_commands(command: str, nursery: Nursery, asked: Template, tmp_path: Path) -> None:
    template, cases = other_cases(nursery, asked, tmp_path, command, every=True)
    met = inject(nursery, template, tmp_path, cases, words_of(command, asked))
    assert met >= len(cases) * MET, f"only {met} of {len(cases)} met their call"


# --- the port's

KINDS = tuple(itertools.product(("error", "kill"), (False, True)))


def ported(
    nursery: Nursery, template: Template, folder: Path, *, sample: bool = False, part: slice = slice(None)
) -> int:
    """Count the port's calls in a clean run, then fail them; return how many cases there were."""
    home = template.copy(folder / "clean")
    answer = run(nursery, home, template.request, "run", {"port": {"at": 0, "kind": "", "after": False, "code": "EIO"}})
    assert answer["code"] == 0, answer["err"]
    names = (home.root.parent / ".calls").read_text().splitlines()
    cases = [(at, name, *kind) for at, name in enumerate(names, 1) for kind in KINDS][part]
    chance = random.Random(SEED)  # noqa: S311 - as above
    if sample:
        cases = chance.sample(cases, SAMPLE)
    turns: dict[str, Iterator[str]] = {}
    for at, name, kind, after in cases:
        home = template.copy(folder / f"{at}-{kind}-{after}")
        code = next(turns.setdefault(name, errors_in_turn(name)))
        fault = {"port": {"at": at, "kind": kind, "after": after, "code": code}}
        answer = run(nursery, home, template.request, "run", fault)
        what = f"call {at}, {name}: {kind} {code}, {'it happened' if after else 'it did not'}"
        check(nursery, home, template.request, answer, what)
        shutil.rmtree(home.root.parent)
    return len(cases)


def test_a_sample_of_failing_calls_through_a_port(nursery: Nursery, template: Template, tmp_path: Path) -> None:
    assert ported(nursery, template, tmp_path, sample=True) == SAMPLE


@pytest.mark.soak
@pytest.mark.parametrize("part", range(8))
def test_every_failing_call_through_a_port(part: int, nursery: Nursery, template: Template, tmp_path: Path) -> None:
    assert ported(nursery, template, tmp_path, part=slice(part, None, 8)) > SAMPLE
