"""What a secret looks like within a text: keys of known makers, and values behind telling words.

Every search is linear in the length of the text: a key is looked for only where a run of its characters begins, its
quantifiers give nothing back, and a value is looked for only behind a key that tells.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from hearth.record._about import is_about, is_failure, is_status
from hearth.record._telling import is_surely_telling, is_telling

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COMMAND_SIGNS", "KEY_SIGNS", "SIGNATURE", "SQL_PASSWORD", "TAG", "find_secrets", "secret_arguments"]

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# Makers' keys. Each must hold sixteen letters, digits or underscores in a row, so that `suspicious` cannot miss it; the
# kinds that may lack such a run are looked for by their beginning.
_SHORT_KEYS = r"gl(?:pat|rt)-[\w-]{16,}+|AIza[\w-]{30,}+|dckr_pat_[\w-]{16,}+"
_LONG_KEYS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_\w{16,}+|npm_[A-Za-z0-9]{20,}+|pypi-[\w-]{16,}+"
    r"|xox[a-z]-[\w-]{10,}+|xapp-[\w-]{10,}+|hf_[A-Za-z0-9]{20,}+|hvs\.[\w-]{16,}+|dop_v1_[a-f0-9]{16,}+"
    r"|ya29\.[\w-]{16,}+|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}+|sk-[\w-]{16,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{16,}+|shp(?:at|ca|pa|ss|tka)_[A-Za-z0-9]{16,}+"
    r"|eyJ[\w-]{6,}+\.[\w-]{6,}+(?:\.[\w-]*+)?"
)
_KEYS = re.compile(rf"(?<![A-Za-z0-9])(?:(?P<short>{_SHORT_KEYS})|{_LONG_KEYS})", re.ASCII)
_RUN = re.compile(r"\w{16}", re.ASCII)
KEY_SIGNS = (
    "AKIA", "ASIA", "ABIA", "ACCA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-",
    "xox", "xapp-", "hf_", "hvs.", "dop_v1_", "AIza", "ya29.", "k_live_", "k_test_", "sk-", "SG.", "AGE-SECRET", "eyJ",
    "glrt-", "dckr_pat_", "shpat_", "shpca_", "shppa_", "shpss_", "shptka_", "hooks.slack",
)  # fmt: skip

# Behind a telling word: a quoted value (the quotes escaped, or not), or what goes on to the next blank or quote.
_VALUE = re.compile(
    r"(?P<b>\\{1,15})\"(?P<e>.*?)(?<!\\)(?P=b)\"|\"(?P<d>(?:[^\"\\]|\\.)++)\"|'(?P<s>(?:[^'\\]|\\.)++)'|\\*+[\"']?(?P<u>[^\s\"'&;|<>\\]++)",
    re.ASCII | re.DOTALL,
)
_KEYED = re.compile(
    r"(?<![\w.-])[\d.-]*+(?P<key>[A-Za-z_][\w.-]*+)\\*+[\"']?\s{0,4}+(?P<op>=>|:=|[:=])\s{0,4}+", re.ASCII
)
_OPTION = re.compile(r"(?<![\w-])--?(?P<key>[A-Za-z][\w-]{2,}+)\s{1,4}+", re.ASCII)
# A password may hold an unescaped slash; what begins like a port is none.
_URL = re.compile(r"(?<=[A-Za-z0-9])://[^\s/:@'\"]{0,512}+:(?!\d{1,5}/)(?P<secret>[^\s'\"]{1,512})@", re.ASCII)
_TELLING_OPTION = re.compile(r"--?[A-Za-z][\w-]{2,}", re.ASCII)
_PAIR = 2
_TOKEN_URL = re.compile(r"(?<=[A-Za-z0-9])://(?P<secret>[\w-]{20,512}+)@", re.ASCII)
# The last part of a webhook of Slack, which alone lets one write, is a run of twenty-four.
_SLACK = re.compile(
    r"hooks\.slack(?:-gov)?\.com\\*+/(?:services|workflows|triggers)\\*+/(?P<secret>[\w-]++(?:\\*+/[\w-]++)*+)",
    re.ASCII,
)
SIGNATURE = "sig="
_SIGNED_URL = re.compile(r"(?:[?&;]|\\u0026)sig=(?P<secret>[^\s&;\"'<>\\]++)", re.ASCII)
SQL_PASSWORD = re.compile(
    r"\b(?:password|identified\s{1,4}+by(?:\s{1,4}+password)?)\s{1,4}+\\*+'(?P<secret>(?:[^'\\]|''|\\.)++)'",
    re.ASCII | re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?<![A-Za-z0-9])(?:authorization|cookie)\\*+[\"']?\s{0,4}+[:=]\s{0,4}+\\*+[\"']?"
    r"(?:(?:bearer|basic|digest|token|negotiate|apikey)\s{1,4}+)?(?P<secret>[^\r\n\"'\\]++)",
    re.ASCII | re.IGNORECASE,
)
_BEARER = re.compile(r"\b[Bb]earer\s{1,4}+(?P<secret>(?=[^\s\"']*[0-9._~+/=-])[^\s\"',;<>\\]{6,}+)", re.ASCII)
TAG = re.compile(r"<(?P<key>[A-Za-z_][\w.:-]*+)(?:\s[^<>]{0,400}+)?>(?P<secret>[^<>]++)</", re.ASCII)
# Behind a command's option: quoted (by then the quote is behind us), or what goes on to the next blank or quote.
_ARGUMENT = r"\\*+[\"']?(?P<secret>(?<=\")[^\"]++|(?<=')[^']++|[^\s\"']++)"
_SAME_COMMAND = r"(?:[^|;&\n]|\\\n){0,400}?"
_COMMANDS = (
    # Not `date -u +%H:%M`.
    re.compile(
        r"(?<![\w-])(?:-u|--user|--proxy-user)[\s=]{1,4}+[\"']?(?!\+%)[^\s:\"']++:(?P<secret>[^\s\"']++)", re.ASCII
    ),
    # Of curl also glued, and behind other letters; `&` stands in its URLs.
    re.compile(
        r"\bcurl\b(?:[^\n]|\\\n){0,400}?\s-[A-Za-z]{0,8}?[uU][\s=]{0,4}+[\"']?[^\s:\"'/-][^\s:\"'/]*+:(?P<secret>[^\s\"'/][^\s\"']*+)",
        re.ASCII,
    ),
    re.compile(rf"\b(?:mysql|mariadb)\w*\b{_SAME_COMMAND}\s-p(?P<secret>[^\s\"'-][^\s\"']*+)", re.ASCII),
    re.compile(rf"\bsshpass\s{{1,4}}+-p\s{{0,4}}+{_ARGUMENT}", re.ASCII),
    # `-p` alone means many things: only where somebody logs in to a registry.
    re.compile(
        r"\b(?:docker|podman|buildah|nerdctl|skopeo|oras|helm)\b(?:\\\n|(?!\blogin\b)[^|;&\n]){0,100}+\blogin\b"
        rf"{_SAME_COMMAND}\s-p[\s=]{{0,4}}+{_ARGUMENT}",
        re.ASCII,
    ),
    re.compile(rf"\b(?:redis|valkey|keydb)-cli\b{_SAME_COMMAND}\s-a\s{{1,4}}+{_ARGUMENT}", re.ASCII),
    # Of openssl: `-passin pass:…`, `-passout`, `-pass`.
    re.compile(
        r"(?<![\w-])--?[A-Za-z]{0,8}pass(?:in|out|word)?[\s=]{1,4}+\\*+[\"']?pass:"
        r"(?P<secret>(?<=\"pass:)[^\"]++|(?<='pass:)[^']++|[^\s\"']++)",
        re.ASCII,
    ),
    # Of Samba: `-U name%password`.
    re.compile(r"(?<![\w-])(?:-U|--user(?:name)?)[\s=]{0,4}+[\"']?[^\s\"'%]++%(?P<secret>[^\s\"']++)", re.ASCII),
)
COMMAND_SIGNS = (
    "-u", "-U", "curl", "sshpass", "mysql", "mariadb", "login", "-cli", "pass:",
)  # fmt: skip
_REFERENCE = re.compile(
    r"(?:\$(?:[A-Za-z_]\w*|\{[^}]*\}|\([^)]*\)|\d)|%\w+%|\*+|(?i:none|null|true|false|bearer|basic|digest|negotiate))[,)}\]]*"
    r"|\{\{.*|\[redacted:.*",
    re.ASCII | re.DOTALL,
)


def find_secrets(text: str) -> list[tuple[int, int]]:
    """Return the spans `(start, end)` of secrets within a text, in order and without overlap."""
    spans: list[tuple[int, int]] = []
    if "PRIVATE KEY" in text:
        spans += [match.span() for match in _PEM.finditer(text)]
    if any(sign in text for sign in KEY_SIGNS):
        spans += [match.span() for match in _KEYS.finditer(text) if match["short"] or _RUN.search(match[0])]
    spans += _in_addresses(text)
    if "'" in text:
        spans += _secrets(SQL_PASSWORD, text)
    if "=" in text or ":" in text:
        spans += _behind(_KEYED, text)
        spans += (
            span for span in _secrets(_HEADER, text) if not is_status("", text[slice(*span)].rstrip(), text, span[1])
        )
    if "-" in text:
        spans += _behind(_OPTION, text)
        for pattern in _COMMANDS:
            spans += _secrets(pattern, text)
    if "earer " in text or "earer\t" in text:
        spans += _secrets(_BEARER, text)
    if "</" in text:
        spans += (
            match.span("secret")
            for match in TAG.finditer(text)
            if is_telling(match["key"]) and match["secret"].strip() and not _is_reference(match["secret"])
        )
    return _merged(spans)


def _in_addresses(text: str) -> Iterator[tuple[int, int]]:
    if "://" in text and "@" in text:
        yield from _secrets(_URL, text)
        yield from _secrets(_TOKEN_URL, text)
    if SIGNATURE in text:
        yield from _secrets(_SIGNED_URL, text)
    if "hooks.slack" in text:
        yield from (match.span("secret") for match in _SLACK.finditer(text) if _RUN.search(match["secret"]))


def secret_arguments(texts: list[str]) -> set[int]:
    """Return the positions of secrets in a command's arguments: `["--password", "…"]`, `["curl", "-u", "name:…"]`.

    What a text shows by itself (`--password=…`) is not among them; `find_secrets` finds that. A list of two texts of
    which the first tells (`["X-Api-Key", "…"]`) is taken as a pair.
    """
    if len(texts) == _PAIR and is_telling(texts[0]) and not _is_reference(texts[1]) and not is_about(*texts):
        return {1}
    found: set[int] = set()
    for position, (option, value) in enumerate(pairwise(texts), 1):
        if (
            _TELLING_OPTION.fullmatch(option)
            and is_telling(option)
            and value[:1] != "-"
            and not (_is_reference(value) or is_about(option, value))
        ):
            found.add(position)
    # The commands that take a secret behind a short option, or glued to one.
    joined = " ".join(texts)
    ends = list(accumulate(len(text) + 1 for text in texts))
    for pattern in _COMMANDS:
        found.update(bisect_right(ends, start) for start, _ in _secrets(pattern, joined))
    return found


def _is_reference(value: str) -> bool:
    """Whether a value only stands for one (`$TOKEN`, `${TOKEN}`, `%TOKEN%`), or for none (`null`, `***`)."""
    return _REFERENCE.fullmatch(value) is not None


def _secrets(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    return (
        match.span("secret")
        for match in pattern.finditer(text)
        if not _is_reference(match["secret"]) and not text.endswith("[redacted:", 0, match.start("secret"))
    )


def _behind(keys: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while (match := keys.search(text, position)) is not None:
        # From here on again, as the value may itself be `key=value`; the key's last character stays in view.
        position = match.end("key")
        if not (_tells_in_prose(match["key"]) if match.groupdict().get("op") == ":" else is_telling(match["key"])):
            continue
        value = _VALUE.match(text, match.end())
        if value is None:
            continue
        group = next(name for name in "edsu" if value[name] is not None)
        if _is_reference(value[group]):
            continue
        start, end = value.span(group)
        if keys is _KEYED and (
            is_status(match["key"], value[group], text, end) or (match["op"] == ":" and is_failure(text, start))
        ):
            continue
        if group == "u":
            end = start + len(value["u"].rstrip(",)}]")) or end
        if is_about(match["key"], text[start:end]):
            continue
        yield start, end
        position = max(position, value.end())


def _tells_in_prose(key: str) -> bool:
    # `suspicious` looks for a colon behind a letter, digit or underscore.
    return key[-1] not in ".-" and is_surely_telling(key)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
