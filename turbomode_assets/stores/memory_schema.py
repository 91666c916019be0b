"""Tables of the private model memory. Names are a contract; no training rule is stored in any."""

MEMORY_VERSION = 7
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
    role VARCHAR,
    confidence DOUBLE,
    rank INTEGER,
    entry_session DATE,
    entry_price_estimate DOUBLE,
    profit_take_price DOUBLE,
    stop_loss_price DOUBLE,
    expiry_session DATE
"""
"""`role` is champion or challenger; null, written before there were challengers, is champion.

What is traded on a signal (from `confidence` on) is null where it was written before it was kept.
"""

TABLES: dict[str, str] = {
    "active_signals": f"{_SIGNAL_COLUMNS}, PRIMARY KEY (symbol)",
    "signal_history": f"{_SIGNAL_COLUMNS}, PRIMARY KEY (session, symbol, model_version)",
    "signal_outcomes": """
        session DATE NOT NULL,
        symbol VARCHAR NOT NULL,
        model_version VARCHAR NOT NULL,
        role VARCHAR NOT NULL,
        signal VARCHAR NOT NULL CHECK (signal IN ('SELL', 'HOLD', 'BUY')),
        label TINYINT NOT NULL,
        exit_reason VARCHAR NOT NULL,
        entry_session DATE NOT NULL,
        exit_session DATE NOT NULL,
        entry_price DOUBLE NOT NULL,
        exit_price DOUBLE NOT NULL,
        return DOUBLE CHECK ((return IS NULL) = (signal = 'HOLD')),
        outcome VARCHAR CHECK (outcome IN ('win', 'loss', 'expired')),
        known_session DATE NOT NULL,
        PRIMARY KEY (session, symbol, model_version),
        CHECK ((outcome IS NULL) = (signal = 'HOLD'))
    """,
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
        exit_price DOUBLE,
        exit_reason VARCHAR,
        cost_usd DOUBLE,
        profit_usd DOUBLE,
        return DOUBLE
    """,
    "backtest_equity": """
        session DATE PRIMARY KEY,
        equity DOUBLE NOT NULL,
        cash DOUBLE NOT NULL,
        gross_exposure DOUBLE NOT NULL,
        net_exposure DOUBLE NOT NULL,
        turnover DOUBLE NOT NULL,
        drawdown DOUBLE NOT NULL
    """,
    "backtest_figures": """
        session DATE PRIMARY KEY,
        figures VARCHAR NOT NULL,
        config_digest VARCHAR NOT NULL,
        store_versions VARCHAR NOT NULL
    """,
    "feature_store": """
        feature_digest VARCHAR PRIMARY KEY,
        feature_names VARCHAR NOT NULL,
        first_used_as_of DATE NOT NULL,
        columns VARCHAR
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
        kl DOUBLE,
        ks DOUBLE,
        psi_maximum DOUBLE,
        kl_maximum DOUBLE,
        ks_maximum DOUBLE,
        exceeds BOOLEAN,
        subject VARCHAR,
        mean DOUBLE,
        mean_least DOUBLE,
        mean_most DOUBLE,
        step DOUBLE,
        step_limit DOUBLE,
        moved BOOLEAN,
        PRIMARY KEY (session, feature)
    """,
    "drift_verdicts": """
        session DATE PRIMARY KEY,
        model_version VARCHAR NOT NULL,
        features INTEGER NOT NULL,
        exceeding INTEGER NOT NULL,
        share DOUBLE NOT NULL,
        verdict VARCHAR NOT NULL CHECK (verdict IN ('stable', 'warn', 'alert')),
        retrain BOOLEAN NOT NULL,
        predictions_verdict VARCHAR,
        outcomes_verdict VARCHAR
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
    "alerts": """
        fingerprint VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        severity VARCHAR NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
        title VARCHAR NOT NULL,
        detail VARCHAR NOT NULL,
        remedy VARCHAR NOT NULL,
        first_seen TIMESTAMPTZ NOT NULL,
        last_seen TIMESTAMPTZ NOT NULL,
        times INTEGER NOT NULL,
        sent_at TIMESTAMPTZ,
        ended_at TIMESTAMPTZ,
        acknowledged_at TIMESTAMPTZ,
        acknowledged_by VARCHAR,
        sent_severity VARCHAR,
        over_sent_at TIMESTAMPTZ,
        claimed_until TIMESTAMPTZ,
        PRIMARY KEY (fingerprint, first_seen)
    """,
}

# Tables that a step makes are made as they are declared above: when one of them changes, write out
# in that step what it was then, or the steps after it would meet a table that is ahead of them.
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

# Before there were verdicts on sessions, an alert on a feature said that it exceeds. The share that
# alarms was, and is, a rule of the configuration that the model was trained with; of a model
# without a recorded one, the sessions get no verdict until their drift is measured again.
_THIRD_TO_FOURTH = (
    *(f"CREATE TABLE {name} ({TABLES[name]})" for name in ("signal_outcomes", "drift_verdicts")),
    *(
        f"ALTER TABLE drift_monitoring ADD COLUMN {name} DOUBLE"
        for name in ("kl", "ks", "psi_maximum", "kl_maximum", "ks_maximum")
    ),
    "ALTER TABLE drift_monitoring ADD COLUMN exceeds BOOLEAN",
    "UPDATE drift_monitoring SET exceeds = (verdict = 'alert')",
    """
    INSERT INTO drift_verdicts BY NAME
    WITH limits AS (
        SELECT model_version,
            CAST(configuration -> '$.drift_detection.alarm_share' AS DOUBLE) AS alarm_share
        FROM training_runs
        QUALIFY row_number() OVER (PARTITION BY model_version ORDER BY finished_at DESC) = 1
    ), measured AS (
        SELECT session, any_value(model_version) AS model_version, count(*) AS features,
            count(*) FILTER (exceeds) AS exceeding
        FROM drift_monitoring GROUP BY session
    )
    SELECT session, model_version, features, exceeding, exceeding / features AS share,
        CASE WHEN share >= alarm_share THEN 'alert' WHEN exceeding > 0 THEN 'warn'
            ELSE 'stable' END AS verdict,
        share >= alarm_share AS retrain
    FROM measured JOIN limits USING (model_version) WHERE alarm_share IS NOT NULL
    """,
)

_FOURTH_TO_FIFTH = (
    *(
        f"CREATE TABLE {name} ({TABLES[name]})"
        for name in ("backtest_equity", "backtest_figures", "alerts")
    ),
    *(
        f"ALTER TABLE {table} ADD COLUMN {column}"
        for table in ("active_signals", "signal_history")
        for column in (
            "confidence DOUBLE",
            "rank INTEGER",
            "entry_session DATE",
            "entry_price_estimate DOUBLE",
            "profit_take_price DOUBLE",
            "stop_loss_price DOUBLE",
            "expiry_session DATE",
        )
    ),
    *(
        f"ALTER TABLE trades ADD COLUMN {column}"
        for column in (
            "exit_reason VARCHAR",
            "cost_usd DOUBLE",
            "profit_usd DOUBLE",
            "return DOUBLE",
        )
    ),
    "ALTER TABLE drift_monitoring ADD COLUMN subject VARCHAR",
    "UPDATE drift_monitoring SET subject = 'feature'",
    # A file that came here from an older version already has these.
    "ALTER TABLE drift_verdicts ADD COLUMN IF NOT EXISTS predictions_verdict VARCHAR",
    "ALTER TABLE drift_verdicts ADD COLUMN IF NOT EXISTS outcomes_verdict VARCHAR",
)

_FIFTH_TO_SIXTH = (
    *(
        f"ALTER TABLE drift_monitoring ADD COLUMN {name} DOUBLE"
        for name in ("mean", "mean_least", "mean_most", "step", "step_limit")
    ),
    "ALTER TABLE drift_monitoring ADD COLUMN moved BOOLEAN",
)

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: tuple(
        f"ALTER TABLE {table} ADD COLUMN gate_override VARCHAR"
        for table in ("active_signals", "signal_history", "model_metadata")
    ),
    2: _SECOND_TO_THIRD,
    3: _THIRD_TO_FOURTH,
    4: _FOURTH_TO_FIFTH,
    5: _FIFTH_TO_SIXTH,
    6: ("ALTER TABLE feature_store ADD COLUMN columns VARCHAR",),
}
"""What brings a file of a version to the next one."""
