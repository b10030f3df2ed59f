"""The page of a dossier: one HTML file that needs nothing else, and that nothing in a record can add a word of HTML to.

Every value is escaped where it is put in; the policy in the page's head lets only this page's own script and style act,
by their hashes, and nothing be loaded or sent. Each value carries the JSON pointer of where it stands in the data, so
that the page's script can compare the two.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from hearth.evidence._dossier_data import embedded_text, make_seal
from hearth.evidence._dossier_show import at_pointer, last_key, pointer, shown
from hearth.evidence._dossier_view import view_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

    from hearth.signing import SigningKey

__all__ = ["frame", "made_by_this_version", "make_dossier", "render_page"]

_HERE = Path(__file__).parent
_FOLDER = _HERE / "dossier"
_SCRIPTS = ("reading.js", "forms.js", "checks.js", "main.js")
_MADE_BY = ("_dossier_page.py", "_dossier_view.py", "_dossier_show.py", "_dossier_checks.py")
_POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
)


@cache
def frame() -> str:
    """Return the SHA-256 (hex) of all that a page is made with: of one frame and the same data, pages are the same."""
    found = hashlib.sha256()
    for path in (*sorted(_FOLDER.iterdir()), *(_HERE / name for name in _MADE_BY)):
        if path.is_file():
            data = path.read_bytes()
            found.update(f"{path.name} {len(data)}\n".encode() + data)
    return found.hexdigest()


def made_by_this_version(document: Mapping[str, Any]) -> bool:
    """Whether the data say that their page was made with what this version has."""
    return bool(document["page"] == frame())


def make_dossier(document: dict[str, Any], key: SigningKey | None = None) -> bytes:
    """Return the page of these data, signed where a key is given."""
    document = {**document, "page": frame()}
    return render_page(document, make_seal(embedded_text(document), document, key))


def render_page(document: dict[str, Any], seal: dict[str, Any]) -> bytes:
    """Return the page of these data with this seal."""
    start = document["record"]["timestamp_start"]

    def value(place: str, how: str = "text", tag: str = "span", kind: str = "") -> Markup:
        found = at_pointer(document, place)
        words = shown(last_key(place)) if how == "key" else shown(found, how, start=start)
        called = Markup(' class="{}"').format(kind) if kind else ""
        shape = Markup(' data-as="{}"').format(how) if how != "text" else ""
        return Markup('<{0} data-at="{1}"{2}{3}>{4}</{0}>').format(Markup(tag), place, shape, called, words)  # noqa: S704

    style, script = _style(), _script()
    page = _template().render(
        d=document,
        seal=seal,
        r=document["record"],
        view=view_of(document),
        v=value,
        ptr=pointer,
        words=lambda place, how="text": shown(at_pointer(document, place), how, start=start),
        policy=_POLICY.format(script=_hash(script), style=_hash(style)),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        data=Markup(embedded_text(document)),  # noqa: S704 - JSON without < > &
        sealed=Markup(embedded_text(seal)),  # noqa: S704 - as data
    )
    return page.encode()


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["isdict"] = lambda one: isinstance(one, dict)
    return environment.get_template("page.html")


@cache
def _style() -> str:
    return (_FOLDER / "style.css").read_text("utf-8")


@cache
def _script() -> str:
    parts = [(_FOLDER / name).read_text("utf-8") for name in _SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
