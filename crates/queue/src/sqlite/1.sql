-- Small columns come first: a scan then need not follow a long request or result.
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    priority INTEGER NOT NULL,
    owner TEXT,
    -- Before its equals: 1 for a job that was given back, 2 for one that must run alone.
    front INTEGER NOT NULL DEFAULT 0,
    -- Place among equals, fair between owners.
    turn INTEGER NOT NULL,
    -- 1: waits for its next try.
    delayed INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    -- Times its worker stopped without an answer.
    deaths INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    parked INTEGER NOT NULL DEFAULT 0,
    -- Of the last event, once it has ended.
    sequence INTEGER,
    worker TEXT,
    deadline INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    model TEXT NOT NULL,
    nonce TEXT NOT NULL,
    request_id TEXT NOT NULL,
    idempotency_key TEXT,
    fingerprint TEXT,
    -- JSON from here on.
    webhook TEXT,
    progress TEXT,
    error TEXT,
    -- Of an earlier try.
    last_error TEXT,
    request TEXT NOT NULL,
    result TEXT
) STRICT;

CREATE INDEX jobs_waiting ON jobs (lane, priority DESC, front DESC, turn) WHERE state = 'queued' AND delayed = 0;
CREATE INDEX jobs_delayed ON jobs (lane) WHERE state = 'queued' AND delayed = 1;
CREATE INDEX jobs_active ON jobs (owner) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_running ON jobs (lane) WHERE state = 'running';
CREATE INDEX jobs_deadline ON jobs (deadline) WHERE state = 'queued' AND deadline IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_parked ON jobs (id) WHERE parked = 1;
CREATE INDEX jobs_owner ON jobs (owner, id);

CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    webhook TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    -- When `due_at` was set: a clock before it has jumped back, and the delivery is due.
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (due_at);

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    key TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('openings', 0);
