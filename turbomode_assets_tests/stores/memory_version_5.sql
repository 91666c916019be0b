-- Model memory as version 5 of its schema wrote it.

CREATE TABLE memory_schema (version INTEGER, tenant VARCHAR);
INSERT INTO memory_schema VALUES (5, 'alpha');

CREATE TABLE active_signals (
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
    expiry_session DATE,
    PRIMARY KEY (symbol)
);

CREATE TABLE signal_history (
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
    expiry_session DATE,
    PRIMARY KEY (session, symbol, model_version)
);

CREATE TABLE signal_outcomes (
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
);

CREATE TABLE trades (
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
);

CREATE TABLE backtest_equity (
    session DATE PRIMARY KEY,
    equity DOUBLE NOT NULL,
    cash DOUBLE NOT NULL,
    gross_exposure DOUBLE NOT NULL,
    net_exposure DOUBLE NOT NULL,
    turnover DOUBLE NOT NULL,
    drawdown DOUBLE NOT NULL
);

CREATE TABLE backtest_figures (
    session DATE PRIMARY KEY,
    figures VARCHAR NOT NULL,
    config_digest VARCHAR NOT NULL,
    store_versions VARCHAR NOT NULL
);

CREATE TABLE feature_store (
    feature_digest VARCHAR PRIMARY KEY,
    feature_names VARCHAR NOT NULL,
    first_used_as_of DATE NOT NULL
);

CREATE TABLE price_data (
    session DATE NOT NULL,
    symbol VARCHAR NOT NULL,
    close DOUBLE NOT NULL,
    vendor VARCHAR NOT NULL,
    PRIMARY KEY (session, symbol)
);

CREATE TABLE sector_stats (
    session DATE NOT NULL,
    sector VARCHAR NOT NULL,
    symbols INTEGER NOT NULL,
    buys INTEGER NOT NULL,
    sells INTEGER NOT NULL,
    mean_p_buy DOUBLE NOT NULL,
    mean_p_sell DOUBLE NOT NULL,
    PRIMARY KEY (session, sector)
);

CREATE TABLE drift_monitoring (
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
    PRIMARY KEY (session, feature)
);

CREATE TABLE drift_verdicts (
    session DATE PRIMARY KEY,
    model_version VARCHAR NOT NULL,
    features INTEGER NOT NULL,
    exceeding INTEGER NOT NULL,
    share DOUBLE NOT NULL,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('stable', 'warn', 'alert')),
    retrain BOOLEAN NOT NULL,
    predictions_verdict VARCHAR,
    outcomes_verdict VARCHAR
);

CREATE TABLE model_metadata (
    model_version VARCHAR PRIMARY KEY,
    as_of_session DATE NOT NULL,
    trained_at TIMESTAMPTZ NOT NULL,
    feature_digest VARCHAR NOT NULL,
    config_version VARCHAR NOT NULL,
    config_digest VARCHAR NOT NULL,
    vendor VARCHAR NOT NULL,
    metrics VARCHAR NOT NULL,
    gate_override VARCHAR
);

CREATE TABLE training_runs (
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
);

CREATE TABLE config_audit_log (
    loaded_at TIMESTAMPTZ NOT NULL,
    file VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL
);

CREATE TABLE model_performance (
    model_version VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE,
    PRIMARY KEY (model_version, model, metric)
);

CREATE TABLE promotions (
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
);

CREATE TABLE rare_events (
    session DATE NOT NULL,
    symbol VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    magnitude DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL,
    PRIMARY KEY (session, symbol, kind)
);

CREATE TABLE error_replay (
    symbol VARCHAR NOT NULL,
    decision_session DATE NOT NULL,
    known_session DATE NOT NULL,
    model_version VARCHAR NOT NULL,
    predicted TINYINT NOT NULL,
    label TINYINT NOT NULL,
    confidence DOUBLE NOT NULL,
    PRIMARY KEY (symbol, decision_session)
);

CREATE TABLE alerts (
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
);

INSERT INTO drift_monitoring BY NAME
    SELECT DATE '2017-11-10' AS session, 'm1' AS model_version, * FROM (VALUES
        ('kmid', 'feature', 0.4, 0.01, 24, 'alert', 0.3, 0.4, 0.1, 0.1, 0.1, true),
        ('p_buy', 'prediction', 0.02, 0.01, 24, 'stable', 0.01, 0.02, 0.1, 0.1, 0.1, false)
    ) AS measured (feature, subject, psi, expected_psi, rows, verdict, kl, ks, psi_maximum,
        kl_maximum, ks_maximum, exceeds);
INSERT INTO drift_verdicts VALUES
    (DATE '2017-11-10', 'm1', 1, 1, 1.0, 'alert', true, 'stable', NULL);
