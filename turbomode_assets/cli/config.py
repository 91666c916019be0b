"""`turbomode config`: the configuration files."""

import click

from turbomode_assets.config.loader import FILES, digest_of, load_file
from turbomode_assets.config.schemas import json_schema, schema_file
from turbomode_assets.orchestration.resources.settings import SettingsResource


@click.group()
def config() -> None:
    """Check the configuration files, or write their JSON Schemas."""


@config.command("check")
def config_check() -> None:
    """Load every configuration file and print its version and digest."""
    folder = SettingsResource().configs
    for name in FILES:
        section = load_file(folder, name)
        click.echo(f"{name}: version {section.version}, digest {digest_of(section)[:12]}")


@config.command("schemas")
def config_schemas() -> None:
    """Write the JSON Schema of every configuration file beside it."""
    folder = SettingsResource().configs
    for name, model in FILES.items():
        path = folder / schema_file(name)
        path.write_text(json_schema(model), encoding="utf-8")
        click.echo(f"wrote {path}")
