"""Reading a page back: its elements, what it shows, and the figures it carries."""

import html.parser
import json
from dataclasses import dataclass, field

VOID = {"meta", "link"}


@dataclass
class Read(html.parser.HTMLParser):
    """Elements with attributes in order, text as shown, and values of `data` elements."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self):
        return "".join(self.pieces)

    @property
    def values(self):
        return {attributes["value"] for tag, attributes in self.elements if tag == "data"}


def read_page(page):
    read = Read()
    read.feed(page)
    read.close()
    assert read.open == []
    return read


def leaves(value):
    """Numbers and texts of a JSON document; null and truth are no figures."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [] if value is None or isinstance(value, bool) else [value]


def missing_from(read, figures):
    """Leaves of the JSON that the page neither shows nor carries."""
    shown = read.text
    return [
        leaf
        for leaf in leaves(json.loads(figures))
        if not (
            repr(leaf) in read.values
            if isinstance(leaf, float | int)
            else leaf in shown or leaf in read.values
        )
    ]
