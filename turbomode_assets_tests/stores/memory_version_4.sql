-- Model memory as version 4 of its schema wrote it.

CREATE TABLE memory_schema (version INTEGER, tenant VARCHAR);
INSERT INTO memory_schema VALUES (4, 'alpha');

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
    exit_price DOUBLE
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
    PRIMARY KEY (session, feature)
);

CREATE TABLE drift_verdicts (
    session DATE PRIMARY KEY,
    model_version VARCHAR NOT NULL,
    features INTEGER NOT NULL,
    exceeding INTEGER NOT NULL,
    share DOUBLE NOT NULL,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('stable', 'warn', 'alert')),
    retrain BOOLEAN NOT NULL
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

INSERT INTO signal_history VALUES
    (DATE '2017-11-09', 'AAA', 'BUY', 0.2, 0.3, 0.5, 'm1', 'f1', 'c1', '{}', 'simulated', NULL,
     'champion'),
    (DATE '2017-11-10', 'AAA', 'SELL', 0.5, 0.3, 0.2, 'm1', 'f1', 'c1', '{}', 'simulated', NULL,
     'champion');
INSERT INTO active_signals FROM signal_history WHERE session = DATE '2017-11-10';
INSERT INTO drift_monitoring VALUES
    (DATE '2017-11-09', 'm1', 'kmid', 0.02, 0.01, 24, 'stable', 0.01, 0.02, 0.1, 0.1, 0.1, false),
    (DATE '2017-11-10', 'm1', 'kmid', 0.4, 0.01, 24, 'alert', 0.3, 0.4, 0.1, 0.1, 0.1, true);
INSERT INTO drift_verdicts VALUES
    (DATE '2017-11-09', 'm1', 1, 0, 0.0, 'stable', false),
    (DATE '2017-11-10', 'm1', 1, 1, 1.0, 'alert', true);
INSERT INTO trades VALUES
    ('t1', 'AAA', 'BUY', 10, DATE '2017-11-08', 'm1', DATE '2017-11-09', 100, NULL, NULL);
