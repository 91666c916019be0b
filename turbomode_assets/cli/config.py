"""`turbomode config`: the configuration files."""

import difflib
import shutil
from pathlib import Path

import click

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.config.loader import FILES, digest_of, load_file
from turbomode_assets.config.schemas import json_schema, schema_file
from turbomode_assets.config.upgrades import present_form, upgraded_text
from turbomode_assets.settings import Settings


@click.group()
def config() -> None:
    """Check the configuration files, upgrade them, or write their JSON Schemas."""


@config.command("check")
@json_option
def config_check(as_json: bool) -> None:
    """Load every configuration file and print its version and digest."""
    folder = Settings().configs
    loaded = {name: load_file(folder, name) for name in FILES}
    if as_json:
        print_json(
            [
                {"file": name, "version": section.version, "digest": digest_of(section)}
                for name, section in loaded.items()
            ]
        )
        return
    for name, section in loaded.items():
        click.echo(f"{name}: version {section.version}, digest {digest_of(section)[:12]}")


@config.command("upgrade")
@click.option("--write", is_flag=True, help="Rewrite the files; without it they are only shown.")
def config_upgrade(write: bool) -> None:
    """Show what the present form of each file changes in it, and rewrite it where asked to."""
    folder, found = Settings().configs, False
    for name in FILES:  # nothing is written beside a file that is not whole
        load_file(folder, name)
    for name in FILES:
        path = folder / name
        before = path.read_text(encoding="utf-8")
        after = upgraded_text(name, before, where=str(path))
        if after == before:
            continue
        found = True
        names = (f"{name}, as it is", f"{name}, form {present_form(name)}")
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
        click.echo("\n".join(lines))
        if write:
            _replace(path.resolve(), after)
            click.echo(f"wrote {path}")
    if not found:
        click.echo("every file has the present form")


def _replace(path: Path, text: str) -> None:
    """Replace a file's text in one step; who may read it stays."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    shutil.copymode(path, partial)
    partial.replace(path)


@config.command("schemas")
def config_schemas() -> None:
    """Write the JSON Schema of every configuration file beside it."""
    folder = Settings().configs
    for name, model in FILES.items():
        path = folder / schema_file(name)
        path.write_text(json_schema(model), encoding="utf-8")
        click.echo(f"wrote {path}")
