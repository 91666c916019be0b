"""The `turbomode` command: what Dagster's own command line does not do."""

from pathlib import Path

import click
from dotenv import load_dotenv
from rich.console import Console

from turbomode_assets.cli.backfill import backfill
from turbomode_assets.cli.demo import demo
from turbomode_assets.cli.printing import print_signals
from turbomode_assets.cli.status import status
from turbomode_assets.config.loader import FILES, digest_of, load_file
from turbomode_assets.config.schemas import json_schema, schema_file
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.features import describe_features, feature_names, feature_set_digest
from turbomode_assets.resources.settings import SettingsResource


class ExplainedGroup(click.Group):
    """Prints refusals as their three lines instead of a traceback."""

    def invoke(self, context: click.Context) -> object:
        """Run the command; a refusal exits with 1."""
        try:
            return super().invoke(context)
        except TurbomodeError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=ExplainedGroup)
def main() -> None:
    """Raw market data to trading signals that can be trusted and explained."""
    load_dotenv(Path.cwd() / ".env")


for _command in (demo, backfill, status):
    main.add_command(_command)


@main.command()
def signals() -> None:
    """Print the newest signals of the tenant."""
    print_signals(Console(), SettingsResource())


@main.group()
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


@main.group()
def features() -> None:
    """Look at the feature set."""


@features.command("list")
def features_list() -> None:
    """Print every feature: name, family, window, inputs, formula, source."""
    click.echo(f"{len(feature_names())} features, set {feature_set_digest()[:12]}")
    for row in describe_features().iter_rows(named=True):
        click.echo(
            f"{row['name']:<18}{row['family']:<18}{row['window']:>4} bars  "
            f"{', '.join(row['inputs'])}\n    {row['formula']}\n    {row['source']}"
        )
