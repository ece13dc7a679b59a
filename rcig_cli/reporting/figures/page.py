"""One HTML page that needs nothing else: pictures inside it, no scripts, no network.

Whatever comes from outside (names, settings) is text here, and is escaped where it is written.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Literal

_FORMATS = {b"\x89PNG": "image/png", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Picture:
    """A picture with what it says to those who don't see it.

    Attributes
    ----------
    content
        A PNG or GIF.
    alt, caption
        In words: what is on it, and what to see there.
    size
        ``(width, height)``, in pixels.
    """

    content: bytes
    alt: str
    caption: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes
    ----------
    caption
        What it is of.
    head
        The names of its columns; empty for none.
    rows
        Each as long as the head; the first of each names the row.
    kind
        ``numbers`` keep to one line, ``remarks`` but for their last column; ``facts`` may be wrapped.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: Literal["numbers", "remarks", "facts"] = "facts"


@dataclass(frozen=True)
class Commands:
    """Lines to be typed."""

    lines: Sequence[str]


Part = str | Picture | Sheet | Commands


@dataclass(frozen=True)
class Section:
    """Something with a heading; ``anchor`` is a word of its own."""

    anchor: str
    heading: str
    parts: Sequence[Part] = field(default_factory=tuple)


def render_page(title: str, lead: Sequence[str], sections: Sequence[Section], foot: str) -> str:
    """Write a page.

    Parameters
    ----------
    title, foot
        Its heading, and what stands below everything.
    lead
        Paragraphs under the heading.
    sections
        In their order.

    Returns
    -------
    str
        HTML.
    """
    links = (f'<li><a href="#{escape(each.anchor)}">{escape(each.heading)}</a></li>' for each in sections)
    return _template().substitute(
        title=escape(title),
        lead="\n".join(f'<p class="lead">{escape(text)}</p>' for text in lead),
        links="\n".join(links),
        sections="\n".join(_section(each) for each in sections),
        foot=escape(foot),
    )


@cache
def _template() -> Template:
    return Template((files(__package__) / "page.html").read_text("utf-8"))


def _section(section: Section) -> str:
    anchor = escape(section.anchor)
    inner = "\n".join(_part(part) for part in section.parts)
    return (
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(section.heading)}</h2>\n'
        f"{inner}\n</section>"
    )


def _part(part: Part) -> str:
    if isinstance(part, Picture):
        return _figure(part)
    if isinstance(part, Sheet):
        return _table(part)
    if isinstance(part, Commands):
        return f'<pre tabindex="0"><code>{escape(chr(10).join(part.lines))}</code></pre>'
    return f"<p>{escape(part)}</p>"


def _figure(picture: Picture) -> str:
    """A picture, which scrolls in a narrow window; one that moves is left out where less motion is wanted."""
    kind = next(kind for start, kind in _FORMATS.items() if picture.content.startswith(start))
    source = f"data:{kind};base64,{base64.b64encode(picture.content).decode('ascii')}"
    width, height = picture.size
    image = f'<img src="{source}" alt="{escape(picture.alt)}" width="{width}" height="{height}">'
    region = f'<div class="scroll wide" tabindex="0" role="group" aria-label="{escape(picture.alt)}">'
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    if kind == "image/gif":
        note = '<p class="still soft">It moves, so it is left out: this browser is set to less motion.</p>'
        return f'<figure class="moving">{region}{image}</div>{caption}</figure>\n{note}'
    return f"<figure>{region}{image}</div>{caption}</figure>"


def _table(sheet: Sheet) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in sheet.head)
    rows = "\n".join(_row(row) for row in sheet.rows)
    table = (f"<thead><tr>{head}</tr></thead>" if head else "") + f"<tbody>\n{rows}\n</tbody>"
    # A caption of the table itself would be as narrow as the table, and scroll with it.
    return (
        f'<figure><figcaption class="above">{escape(sheet.caption)}</figcaption>'
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(sheet.caption)}">'
        f'<table class="{sheet.kind}">{table}</table></div></figure>'
    )


def _row(row: Sequence[str]) -> str:
    first, *rest = row
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    return f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
