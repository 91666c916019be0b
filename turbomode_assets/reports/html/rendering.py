"""Rendering templates: everything is escaped that is not markup already."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from turbomode_assets.reports.html import words

TEMPLATES = Path(__file__).with_name("templates")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A page loads nothing and runs nothing: its own security policy forbids both to the browser."""
FILTERS = (
    *(words.count, words.day, words.duration, words.minute, words.number, words.percent),
    *(words.price, words.signed_percent, words.word, words.figure),
)


def render(template: str, *folders: Path, **values: object) -> str:
    """Render a template that lies in one of the folders, or among those of every page."""
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in FILTERS}
    return environment.get_template(template).render(policy=POLICY, **values)
