"""The page: whole HTML, nothing from outside, and nothing of what it is told becomes markup."""

import io
from html.parser import HTMLParser

from PIL import Image

from rcig_cli.reporting.figures.page import Commands, Picture, Section, Sheet, render_page

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = '<script>alert("x")</script> & $title \' "'


class Reader(HTMLParser):
    """Collects tags and text, and checks that what is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.ids = [], [], [], set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids |= {value for name, value in attributes if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def assert_self_contained(text):
    """Nothing is fetched: no address but data, no script, no style or font from elsewhere."""
    reader = Reader(text)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
        assert "srcset" not in attributes
    return reader


def encoded(kind):
    file = io.BytesIO()
    Image.new("RGB", (4, 3)).save(file, kind)
    return file.getvalue()


def example():
    picture = Picture(encoded("PNG"), f"alt {HOSTILE}", f"caption {HOSTILE}", (4, 3))
    moving = Picture(encoded("GIF"), "moves", "it moves", (4, 3))
    sheet = Sheet(HOSTILE, ("name", HOSTILE), [(HOSTILE, "1"), ("b", HOSTILE)])
    parts = [HOSTILE, picture, moving, sheet, Commands([f"rcig show {HOSTILE}", "second"])]
    return render_page(
        HOSTILE, [HOSTILE], [Section("first", HOSTILE, parts), Section("second", "Two")], HOSTILE
    )


def test_it_is_whole_and_fetches_nothing():
    reader = assert_self_contained(example())
    assert reader.named("html") == [{"lang": "en"}]
    assert len(reader.named("h1")) == 1
    assert [link["href"] for link in reader.named("a")] == ["#first", "#second"]
    assert {"first", "second"} <= reader.ids
    assert all(part["aria-labelledby"] in reader.ids for part in reader.named("section"))


def test_nothing_that_is_told_becomes_markup():
    text = example()
    reader = Reader(text)
    assert reader.named("script") == []
    assert "<script" not in text
    for tag in ("h1", "h2", "td", "th", "figcaption", "code", "p", "title"):
        assert reader.named(tag)
    assert "".join(reader.text).count('<script>alert("x")</script>') == 13
    assert reader.named("img")[0]["alt"] == f"alt {HOSTILE}"


def test_pictures_are_inside_with_their_size_and_words():
    still, moving = Reader(example()).named("img")
    assert still["src"].startswith("data:image/png;base64,")
    assert moving["src"].startswith("data:image/gif;base64,")
    for image in (still, moving):
        assert (image["width"], image["height"]) == ("4", "3")
        assert image["alt"]


def test_it_is_made_for_light_and_dark_for_print_and_for_less_motion():
    text = example()
    for query in ("prefers-color-scheme: dark", "prefers-reduced-motion: reduce", "@media print"):
        assert query in text
