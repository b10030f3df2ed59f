"""Make the example's data: a user database, five thousand new users in a CSV file, a configuration file.

Everything comes from a seed, so that two people who run the example talk about the same rows. Only `random.random()` is
used: it is the one method whose sequence Python promises to keep from version to version.

    python make_data.py FOLDER [--seed 9]
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import sqlite3
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_T = TypeVar("_T")

SEED = 9
EXISTING_USERS = 3_200
NEW_ROWS = 5_000
FIRST_DAY = date(2015, 1, 5)
LAST_DAY = date(2025, 9, 30)
COLUMNS = ("name", "email", "joined", "country")
COUNTRIES = ("NO", "SE", "DK", "FI", "DE", "NL", "PL", "FR", "GB", "VN")

GIVEN = (
    "Åse", "Søren", "Zoë", "Łukasz", "Jürgen", "Thảo", "Anna", "Björn", "Carla", "Dmitri", "Elena", "Farid",
    "Greta", "Hugo", "Ines", "Jonas", "Kari", "Liv", "Maja", "Nils", "Olga", "Pia", "Quentin", "Rosa", "Sara",
    "Tomas", "Uma", "Vera", "Willem", "Yusuf",
)  # fmt: skip
FAMILY = (
    "Ærø", "Nguyễn", "Müller", "Żak", "Ødegård", "Andersen", "Berg", "Claes", "Dahl", "Eriksen", "Fischer",
    "Garcia", "Holm", "Iversen", "Jansen", "Keller", "Lund", "Martin", "Nowak", "Olsen", "Petit", "Quist",
    "Rossi", "Smith", "Toft", "Ulven", "Vogel", "Wolff", "Young",
)  # fmt: skip
HOSTS = ("example.com", "example.org", "example.net", "mail.example.com")
LATIN = ("Søren Dahl", "Björn Lund", "Zoë Martin")  # can be written in Latin-1
NO_DAYS = ("31.02.2024", "2024-02-30", "2025-13-01", "09/15/2025", "soon", "")
LETTERS_WITHOUT_DECOMPOSITION = str.maketrans({"ø": "o", "Ø": "o", "æ": "ae", "Æ": "ae", "ł": "l", "Ł": "l"})

# How many bad rows of each kind stand in the file; the importer's reasons have the same names.
BAD_ROWS: Mapping[str, int] = {
    "no e-mail": 24,
    "malformed e-mail": 18,
    "duplicate in the file": 26,
    "already a user": 31,
    "malformed date": 20,
    "date in the future": 8,
    "not UTF-8": 14,
    "line break in a value": 4,
    "too many columns": 12,
    "too few columns": 9,
    "no name": 5,
    "unknown country": 7,
}

SCHEMA_V1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE users (
    id     INTEGER PRIMARY KEY,
    name   TEXT NOT NULL,
    email  TEXT NOT NULL,
    joined TEXT NOT NULL
);
"""

APP_INI = """\
; Read by the server when it starts, and again whenever it is told to reload.
[server]
name = {name}
page_size = 50

[database]
path = app.db
schema = 1

[users]
; The licence allows this many; the server refuses to serve more.
limit = 4000
batch = none
"""


@dataclass(frozen=True, slots=True)
class User:
    """One row, before it is written: all values as text, `joined` as YYYY-MM-DD."""

    name: str
    email: str
    joined: str
    country: str

    def row(self) -> list[str]:
        """Return the values in the order of the CSV file's columns."""
        return [self.name, self.email, self.joined, self.country]


class People:
    """An endless, seeded source of people, no two with the same e-mail address."""

    def __init__(self, seed: int) -> None:
        """Start the sequence that belongs to the seed."""
        self._random = random.Random(seed)  # noqa: S311  # names for an example, nothing to guess
        self._made = 0

    def number(self, below: int) -> int:
        """Return the next number from 0 to below - 1."""
        return int(self._random.random() * below)

    def pick(self, choices: Sequence[_T]) -> _T:
        """Return one of the choices."""
        return choices[self.number(len(choices))]

    def user(self) -> User:
        """Return the next person."""
        self._made += 1
        given, family = self.pick(GIVEN), self.pick(FAMILY)
        day = FIRST_DAY + timedelta(days=self.number((LAST_DAY - FIRST_DAY).days + 1))
        address = f"{ascii_letters(given)}.{ascii_letters(family)}{self._made}@{self.pick(HOSTS)}"
        return User(f"{given} {family}", address, day.isoformat(), self.pick(COUNTRIES))

    def future_day(self) -> str:
        """Return a day on which nobody can have joined yet."""
        return (LAST_DAY + timedelta(days=1 + self.number(900))).isoformat()

    def shuffled(self, rows: list[bytes]) -> list[bytes]:
        """Return the rows in a seeded order."""
        rows = list(rows)
        for last in range(len(rows) - 1, 0, -1):
            other = self.number(last + 1)
            rows[last], rows[other] = rows[other], rows[last]
        return rows


def ascii_letters(text: str) -> str:
    """Return the text in lower-case ASCII letters, accents dropped."""
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS_WITHOUT_DECOMPOSITION))
    return "".join(letter for letter in plain.lower() if letter.isascii() and letter.isalpha())


def csv_line(values: Sequence[str], encoding: str = "utf-8") -> bytes:
    """Return one line of the CSV file, quoted where needed, with the line end that spreadsheets write."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().encode(encoding)


# For each kind: how a good user's line is spoilt; `other` is somebody whose address is taken.
SPOILERS: Mapping[str, Callable[[User, People, User], bytes]] = {
    "no e-mail": lambda user, people, _: csv_line(replace(user, email=people.pick(("", "  "))).row()),
    "malformed e-mail": lambda user, people, _: csv_line(replace(user, email=people.pick(slips(user.email))).row()),
    "duplicate in the file": lambda user, _, other: csv_line(replace(user, email=other.email.upper()).row()),
    "already a user": lambda user, _, other: csv_line(replace(user, email=other.email.title()).row()),
    "malformed date": lambda user, people, _: csv_line(replace(user, joined=people.pick(NO_DAYS)).row()),
    "date in the future": lambda user, people, _: csv_line(replace(user, joined=people.future_day()).row()),
    "not UTF-8": lambda user, people, _: csv_line(replace(user, name=people.pick(LATIN)).row(), "latin-1"),
    "line break in a value": lambda user, *_: csv_line(replace(user, name=user.name.replace(" ", "\n")).row()),
    "too many columns": lambda user, *_: (
        f"{', '.join(reversed(user.name.split()))},{','.join(user.row()[1:])}\r\n".encode()
    ),
    "too few columns": lambda user, *_: csv_line(user.row()[:2]),
    "no name": lambda user, *_: csv_line(replace(user, name="").row()),
    "unknown country": lambda user, people, _: csv_line(
        replace(user, country=people.pick(("Norway", "XX", "D"))).row()
    ),
}


def slips(address: str) -> tuple[str, ...]:
    """Return ways in which people mistype an address."""
    return (address.replace("@", " at "), address.replace("@", ""), "n/a", address + "@")


def bad_line(reason: str, people: People, *, good: Sequence[User], existing: Sequence[User]) -> bytes:
    """Return a line that the importer must reject for the reason."""
    other = people.pick(existing if reason == "already a user" else good)
    return SPOILERS[reason](people.user(), people, other)


def untidy(user: User, people: People) -> list[str]:
    """Return the row as people really type it: still good, at times with blanks, capitals or a comma in the name."""
    name, email, joined, country = user.row()
    match people.number(12):
        case 0:
            return [f" {name}", f"{email} ", joined, country]
        case 1:
            return [name, email.upper(), joined, country.lower()]
        case 2:
            return [", ".join(reversed(name.split())), email, joined, country]
    return [name, email, joined, country]


def write_database(path: Path, users: Sequence[User], site: str) -> None:
    """Write the database as it is before the migration: schema version 1."""
    connection = sqlite3.connect(path)
    try:
        connection.executescript(SCHEMA_V1)
        with connection:
            connection.executemany(
                "INSERT INTO users (name, email, joined) VALUES (?, ?, ?)", ((u.name, u.email, u.joined) for u in users)
            )
            meta = {"schema_version": "1", "users": str(len(users)), "site": site}
            connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta.items())
    finally:
        connection.close()


def make_data(folder: Path, *, seed: int = SEED, existing: int = EXISTING_USERS, rows: int = NEW_ROWS) -> Counter[str]:
    """Write app.db, users.csv and app.ini into the folder and return how many bad rows of each kind the CSV file has.

    Raises FileExistsError where one of the files is already there: data that somebody works with is not replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("app.db", "users.csv", "app.ini"):
        if (folder / name).exists():
            raise FileExistsError(f"{folder / name} is already there: name an empty folder, or remove it first")
    if rows < 2 * sum(BAD_ROWS.values()):
        raise ValueError(f"rows must be at least {2 * sum(BAD_ROWS.values())}, so that most of them are good: {rows}")
    people = People(seed)
    old_users = [people.user() for _ in range(existing)]
    write_database(folder / "app.db", old_users, folder.resolve().name)
    good = [people.user() for _ in range(rows - sum(BAD_ROWS.values()))]
    lines = [csv_line(untidy(user, people)) for user in good]
    for reason, count in BAD_ROWS.items():
        lines += [bad_line(reason, people, good=good, existing=old_users) for _ in range(count)]
    # The byte-order mark and CRLF are what a spreadsheet exports; an importer that trips over them is of no use.
    (folder / "users.csv").write_bytes(b"\xef\xbb\xbf" + csv_line(COLUMNS) + b"".join(people.shuffled(lines)))
    (folder / "app.ini").write_text(APP_INI.format(name=folder.resolve().name), encoding="utf-8", newline="\n")
    return Counter(BAD_ROWS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(
        description="Make a user database, a CSV file of new users and a configuration file."
    )
    parser.add_argument("folder", type=Path, help="where to write app.db, users.csv and app.ini")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed gives other people (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        bad = make_data(options.folder, seed=options.seed)
    except (FileExistsError, ValueError) as error:
        print(f"make_data: {error}", file=sys.stderr)
        return 1
    new = f"users.csv with {NEW_ROWS:,} new ones, {bad.total()} of the rows bad"
    print(f"{options.folder}: app.db with {EXISTING_USERS:,} users, {new}, and app.ini")
    return 0


if __name__ == "__main__":
    sys.exit(main())
