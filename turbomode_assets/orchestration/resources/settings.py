"""The settings, as a resource that Dagster hands to assets and to other resources."""

import dagster as dg

from turbomode_assets.settings import Settings


class SettingsResource(Settings, dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type
    """Paths and configuration of one tenant; what is not given here comes from the environment."""
