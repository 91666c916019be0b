"""Tables of the private model memory. Names are a contract; no training rule is stored in any."""

MEMORY_VERSION = 2
"""Version of this schema; a file written by a newer one is refused."""

_SIGNAL_COLUMNS = """
    session DATE NOT NULL,
    symbol VARCHAR NOT NULL,
    signal VARCHAR NOT NULL CHECK (signal IN ('SELL', 'HOLD', 'BUY')),
    p_sell DOUBLE NOT NULL,
    p_hold DOUBLE NOT NULL,
    p_buy DOUBLE NOT NULL,
    model_version VARCHAR NOT NULL,
    feature_digest VARCHAR NOT NULL,
    config_digest VARCHAR NOT NULL,
    store_versions VARCHAR NOT NULL,
    vendor VARCHAR NOT NULL,
    gate_override VARCHAR
"""

TABLES: dict[str, str] = {
    "active_signals": f"{_SIGNAL_COLUMNS}, PRIMARY KEY (symbol)",
    "signal_history": f"{_SIGNAL_COLUMNS}, PRIMARY KEY (session, symbol, model_version)",
    "trades": """
        trade_id VARCHAR PRIMARY KEY,
        symbol VARCHAR NOT NULL,
        side VARCHAR NOT NULL CHECK (side IN ('SELL', 'BUY')),
        quantity DOUBLE NOT NULL,
        signal_session DATE NOT NULL,
        model_version VARCHAR NOT NULL,
        entry_session DATE NOT NULL,
        entry_price DOUBLE NOT NULL,
        exit_session DATE,
        exit_price DOUBLE
    """,
    "feature_store": """
        feature_digest VARCHAR PRIMARY KEY,
        feature_names VARCHAR NOT NULL,
        first_used_as_of DATE NOT NULL
    """,
    "price_data": """
        session DATE NOT NULL,
        symbol VARCHAR NOT NULL,
        close DOUBLE NOT NULL,
        vendor VARCHAR NOT NULL,
        PRIMARY KEY (session, symbol)
    """,
    "sector_stats": """
        session DATE NOT NULL,
        sector VARCHAR NOT NULL,
        symbols INTEGER NOT NULL,
        buys INTEGER NOT NULL,
        sells INTEGER NOT NULL,
        mean_p_buy DOUBLE NOT NULL,
        mean_p_sell DOUBLE NOT NULL,
        PRIMARY KEY (session, sector)
    """,
    "drift_monitoring": """
        session DATE NOT NULL,
        model_version VARCHAR NOT NULL,
        feature VARCHAR NOT NULL,
        psi DOUBLE NOT NULL,
        expected_psi DOUBLE NOT NULL,
        rows INTEGER NOT NULL,
        verdict VARCHAR NOT NULL CHECK (verdict IN ('stable', 'warn', 'alert')),
        PRIMARY KEY (session, feature)
    """,
    "model_metadata": """
        model_version VARCHAR PRIMARY KEY,
        as_of_session DATE NOT NULL,
        trained_at TIMESTAMPTZ NOT NULL,
        feature_digest VARCHAR NOT NULL,
        config_version VARCHAR NOT NULL,
        config_digest VARCHAR NOT NULL,
        vendor VARCHAR NOT NULL,
        metrics VARCHAR NOT NULL,
        gate_override VARCHAR
    """,
    "training_runs": """
        model_version VARCHAR NOT NULL,
        dagster_run_id VARCHAR NOT NULL,
        as_of_session DATE NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        finished_at TIMESTAMPTZ NOT NULL,
        rows INTEGER NOT NULL,
        symbols INTEGER NOT NULL,
        seed BIGINT NOT NULL,
        data_digest VARCHAR NOT NULL,
        store_versions VARCHAR NOT NULL,
        PRIMARY KEY (model_version, dagster_run_id)
    """,
    "config_audit_log": """
        loaded_at TIMESTAMPTZ NOT NULL,
        file VARCHAR NOT NULL,
        version VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        purpose VARCHAR NOT NULL
    """,
    "model_performance": """
        model_version VARCHAR NOT NULL,
        model VARCHAR NOT NULL,
        metric VARCHAR NOT NULL,
        value DOUBLE,
        PRIMARY KEY (model_version, model, metric)
    """,
}

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: tuple(
        f"ALTER TABLE {table} ADD COLUMN gate_override VARCHAR"
        for table in ("active_signals", "signal_history", "model_metadata")
    ),
}
"""What brings a file of a version to the next one."""
