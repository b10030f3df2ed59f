"""Processes that do everything at once on one ledger, each a person at a terminal: `FOLDER PROCESSES OPERATIONS SEED`.

One process loads everything and forks them. What each did, and what it was told, goes to a file of its own.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from tests.fault._nursery import adopt_orphans, answer

PLANS = 3
_DIGITS = 16


class Racer:
    """One of them; `name` is its own, also in the ids of its runs and in its reasons."""

    def __init__(self, folder: Path, name: str, seed: int, *, finds: int = 1) -> None:
        self.folder, self.name, self.finds = folder, name, finds
        self.chance = random.Random(f"{seed} {name}")  # noqa: S311 - the same each time, as far as a race can be
        self.here = folder / "said" / name
        self.here.mkdir(parents=True)
        self.number = 0
        self.mine: list[str] = []
        self.held: list[str] = []
        self.log = (folder / f"{name}.jsonl").open("w", encoding="utf-8", buffering=1)

    def hearth(self, what: str, *words: str) -> dict[str, Any]:
        """Run a command as a person would; keep what it was, and what came of it."""
        request = {"home": str(self.folder / ".hearth"), "words": words, "here": str(self.here)}
        told = answer(request)
        kept = {key: told[key] for key in ("code", "out", "err", "hung")}
        self.log.write(json.dumps({"what": what, "id": f"{self.name}-{self.number}", "words": words, **kept}) + "\n")
        return told

    def act(self) -> None:
        """Do the next thing, whichever chance says."""
        self.number += 1
        acts = {
            self.request: 14,
            self.decide: 20,
            self.run: 22,
            self.dry_run: 12,
            self.look: 8,
            self.purge: 6,
            self.hold: 5,
            self.release: 3,
            self.worsen: 2,
            self.better: 6,
            self.back_up: 2,
        }
        (act,) = self.chance.choices(list(acts), list(acts.values()))
        act()

    @property
    def tag(self) -> str:
        return f"{self.name}-{self.number}"

    def plan(self) -> str:
        return f"plan-{self.chance.randrange(PLANS)}.yaml"

    def request(self) -> None:
        self.hearth("request", "request", self.plan(), "--reason", self.tag, "--key", "ann.pem", "--json")

    def open_requests(self) -> list[dict[str, Any]]:
        told = self.hearth("list", "approvals", "--open", "--limit", "30", "--json")
        return list(json.loads(told["out"])["approvals"]) if told["code"] == 0 else []

    def decide(self) -> None:
        waiting = self.open_requests()
        if not waiting:
            self.request()
            return
        one = self.chance.choice(waiting)
        words = [one["request_id"], "--reason", self.tag, "--key", "ann.pem", "--json"]
        if self.chance.random() < 0.2:
            self.hearth("deny", "deny", *words)
        else:
            self.hearth("approve", "approve", *words, "--digest", one["plan_digest"][:_DIGITS])

    def run(self) -> None:
        words = ["run", self.plan(), "--mode", "live", "--id", self.tag, "--json"]
        ready = [one for one in self.open_requests() if one["state"] == "approved"]
        if ready and self.chance.random() < 0.8:  # one that others may want at the same moment
            words[1] = ready[0]["plan_id"] + ".yaml"
            words += ["--approval", ready[0]["request_id"]]
        if self.hearth("run", *words)["code"] == 0:
            self.mine.append(self.tag)

    def dry_run(self) -> None:
        if self.hearth("store", "run", "plan-0.yaml", "--id", self.tag, "--json")["code"] == 0:
            self.mine.append(self.tag)

    def look(self) -> None:
        words = self.chance.choice([["list"], ["state"], ["state", "--history"], ["hold", "list"], ["recover"]])
        self.hearth("list", *words, "--json")

    def purge(self) -> None:
        if self.mine:
            one = self.chance.choice(self.mine)
            if self.hearth("purge", "purge", one, "--reason", self.tag, "--yes", "--json")["code"] == 0:
                self.mine.remove(one)

    def hold(self) -> None:
        free = [one for one in self.mine if one not in self.held]
        if free:
            one = self.chance.choice(free)
            if self.hearth("hold", "hold", "add", one, "--reason", self.tag, "--json")["code"] == 0:
                self.held.append(one)

    def release(self) -> None:
        if self.held:
            one = self.chance.choice(self.held)
            if self.hearth("release", "hold", "release", one, "--reason", self.tag, "--json")["code"] == 0:
                self.held.remove(one)

    def worsen(self) -> None:
        state = self.chance.choice(["DEGRADED", "ELEVATED"])
        self.hearth("worsen", "report", state, "--reason", self.tag, "--source", "falco", "--json")

    def better(self) -> None:
        self.hearth("better", "restore", "--reason", self.tag, "--key", "ann.pem", "--json")

    def back_up(self) -> None:
        self.hearth("backup", "backup", f"{self.tag}.tar", "--json")


def main() -> None:
    """Do each thing once, so that everything is loaded; then let them all loose."""
    folder, processes, operations, seed = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    adopt_orphans()
    first = Racer(folder, "first", seed)
    for act in (first.request, first.decide, first.run, first.dry_run, first.hold, first.release, first.purge):
        first.number += 1
        act()
    for act in (first.worsen, first.better, first.back_up, first.look, first.look, first.look):
        first.number += 1
        act()
    gate, opener = os.pipe()
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os.close(opener)
            os.read(gate, 1)  # until all are there
            racer = Racer(folder, f"racer{number}", seed)
            for _ in range(operations):
                racer.act()
            os._exit(0)
        children.append(child)
    os.close(opener)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children))


if __name__ == "__main__":
    main()
