"""`turbomode features`: the feature set."""

import click

from turbomode_assets.cli.json_output import json_option, print_json


@click.group()
def features() -> None:
    """Look at the feature set."""


@features.command("list")
@json_option
def features_list(as_json: bool) -> None:
    """Print every feature: name, family, window, inputs, formula, source."""
    from turbomode_assets.features import describe_features, feature_names, present_set

    if as_json:
        digests = present_set().columns
        rows = describe_features().iter_rows(named=True)
        print_json([row | {"digest": digests[row["name"]]} for row in rows])
        return
    click.echo(f"{len(feature_names())} features, set {present_set().digest[:12]}")
    for row in describe_features().iter_rows(named=True):
        click.echo(
            f"{row['name']:<18}{row['family']:<18}{row['window']:>4} bars  "
            f"{', '.join(row['inputs'])}\n    {row['formula']}\n    {row['source']}"
        )
