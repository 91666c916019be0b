"""Run configuration of what stands behind the GREEN gate."""

import dagster as dg


class GateConfiguration(dg.Config):
    """Why data below the GREEN threshold may be used; logged and shown."""

    gate_override: str | None = None
