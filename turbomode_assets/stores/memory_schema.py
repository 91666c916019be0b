"""Tables of the private model memory. Names are a contract; no training rule is stored in any."""

MEMORY_VERSION = 3
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
    gate_override VARCHAR,
    role VARCHAR
"""
"""`role` is champion or challenger; null, written before there were challengers, is champion."""

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
        cause VARCHAR,
        configuration VARCHAR,
        environment VARCHAR,
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
    "promotions": """
        sequence BIGINT PRIMARY KEY,
        decided_at TIMESTAMPTZ NOT NULL,
        decision VARCHAR NOT NULL CHECK (decision IN
            ('promoted', 'refused', 'promoted_by_hand', 'rolled_back', 'withdrawn')),
        model_version VARCHAR NOT NULL,
        effective_session DATE CHECK ((effective_session IS NULL) = (decision = 'refused')),
        replaced VARCHAR,
        decided_by VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        rules VARCHAR NOT NULL
    """,
    "rare_events": """
        session DATE NOT NULL,
        symbol VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        magnitude DOUBLE NOT NULL,
        threshold DOUBLE NOT NULL,
        PRIMARY KEY (session, symbol, kind)
    """,
    "error_replay": """
        symbol VARCHAR NOT NULL,
        decision_session DATE NOT NULL,
        known_session DATE NOT NULL,
        model_version VARCHAR NOT NULL,
        predicted TINYINT NOT NULL,
        label TINYINT NOT NULL,
        confidence DOUBLE NOT NULL,
        PRIMARY KEY (symbol, decision_session)
    """,
}

# Three tables are made as they are declared above: when one of them changes, write out here what it
# was in version 3, or the steps after this one would meet a table that is ahead of them.
_SECOND_TO_THIRD = (
    *(
        f"CREATE TABLE {name} ({TABLES[name]})"
        for name in ("promotions", "rare_events", "error_replay")
    ),
    *(
        f"ALTER TABLE training_runs ADD COLUMN {name} VARCHAR"
        for name in ("cause", "configuration", "environment")
    ),
    *(
        f"ALTER TABLE {table} ADD COLUMN role VARCHAR"
        for table in ("active_signals", "signal_history")
    ),
)

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: tuple(
        f"ALTER TABLE {table} ADD COLUMN gate_override VARCHAR"
        for table in ("active_signals", "signal_history", "model_metadata")
    ),
    2: _SECOND_TO_THIRD,
}
"""What brings a file of a version to the next one."""
