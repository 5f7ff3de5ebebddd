-- Path locks by hand and by program, the order of those who wait for them, audits and their patches. The
-- tables that get columns are made anew as in 0002, so that the columns stay in the order of the row types.
--
-- Nobody has a place in the order yet: it begins at 1. No attempt was audited, and no checkout was seen to
-- ignore case.

CREATE TABLE meta_2 (
    store_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    next_fence INTEGER NOT NULL,
    next_index INTEGER NOT NULL,
    next_order INTEGER NOT NULL,
    next_ticket INTEGER NOT NULL,
    folds_case INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (store_id)
);

INSERT INTO meta_2
SELECT
    store_id, workspace_id, epoch, revision, last_us, next_fence, next_index, next_order, 1, 0, checksum
FROM meta;

CREATE TABLE tasks_2 (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    ordinal INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    run INTEGER NOT NULL,
    not_before_us INTEGER NOT NULL,
    avoid_json TEXT NOT NULL,
    started_at_us INTEGER NOT NULL,
    ended_at_us INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    exit_code INTEGER,
    error TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    host TEXT NOT NULL,
    generation INTEGER NOT NULL,
    assigned_at_us INTEGER NOT NULL,
    assigned_us INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    stop_as TEXT NOT NULL,
    stop_reason TEXT NOT NULL,
    assigned_revision INTEGER NOT NULL,
    started_revision INTEGER NOT NULL,
    given_back INTEGER NOT NULL,
    ticket INTEGER NOT NULL,
    waits_since_us INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);

INSERT INTO tasks_2
SELECT
    session_id, task_id, ordinal, status, attempts, failures, crashes, run, not_before_us, avoid_json,
    started_at_us, ended_at_us, worker_id, pid, fence, outcome, exit_code, error, reason, attempt_id, host,
    generation, assigned_at_us, assigned_us, slot, stop_as, stop_reason, assigned_revision, started_revision,
    given_back, 0, 0, revision, checksum
FROM tasks;

CREATE TABLE attempts_2 (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempt_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    task_number INTEGER NOT NULL,
    assigned_revision INTEGER NOT NULL,
    started_revision INTEGER NOT NULL,
    ended_revision INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    exit_code INTEGER,
    signal INTEGER NOT NULL,
    error TEXT NOT NULL,
    result_type TEXT NOT NULL,
    result BLOB,
    user_cpu_us INTEGER NOT NULL,
    system_cpu_us INTEGER NOT NULL,
    max_rss_bytes INTEGER NOT NULL,
    assigned_at_us INTEGER NOT NULL,
    started_at_us INTEGER NOT NULL,
    ended_at_us INTEGER NOT NULL,
    output_bytes INTEGER NOT NULL,
    output_dropped_bytes INTEGER NOT NULL,
    modified_files_json TEXT NOT NULL,
    warnings_json TEXT NOT NULL,
    patch_bytes INTEGER NOT NULL,
    patch_dropped_bytes INTEGER NOT NULL,
    branch TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    merged INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id, task_id, number)
) WITHOUT ROWID;

INSERT INTO attempts_2
SELECT
    session_id, task_id, number, attempt_id, fence, task_number, assigned_revision, started_revision,
    ended_revision, worker_id, host, pid, slot, outcome, exit_code, signal, error, result_type, result,
    user_cpu_us, system_cpu_us, max_rss_bytes, assigned_at_us, started_at_us, ended_at_us, output_bytes,
    output_dropped_bytes, modified_files_json, warnings_json, 0, 0, '', '', 0, checksum
FROM attempts;

DROP TABLE meta;
DROP TABLE tasks;
DROP TABLE attempts;
ALTER TABLE meta_2 RENAME TO meta;
ALTER TABLE tasks_2 RENAME TO tasks;
ALTER TABLE attempts_2 RENAME TO attempts;

-- As in 0001 and 0002, where they are explained; they went with their tables.
CREATE UNIQUE INDEX tasks_by_name ON tasks (session_id, task_id);
CREATE INDEX tasks_by_session ON tasks (session_id);
CREATE INDEX tasks_ended ON tasks (session_id, status) WHERE status <> 'assigned' AND status <> 'blocked'
    AND status <> 'cancelling' AND status <> 'queued' AND status <> 'running';
CREATE INDEX attempts_by_end ON attempts (session_id, ended_revision, task_number, number);

-- Written once, read one at a time. A patch may be large, so its key has a tree of its own beside the rows.
CREATE TABLE patches (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    patch BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id, task_id, number)
);

CREATE TABLE grants (
    grant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    files_json TEXT NOT NULL,
    acquired_at_us INTEGER NOT NULL,
    acquired_us INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL,
    host TEXT NOT NULL,
    until_us INTEGER NOT NULL,
    suspended INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (grant_id)
) WITHOUT ROWID;

CREATE TABLE lock_requests (
    waiter_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    files_json TEXT NOT NULL,
    ticket INTEGER NOT NULL,
    since_at_us INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    deadline_us INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL,
    host TEXT NOT NULL,
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (waiter_id)
) WITHOUT ROWID;

-- For the removal of many sessions at once: each finds its own without a look at what others hold.
CREATE INDEX grants_by_session ON grants (session_id);
CREATE INDEX lock_requests_by_session ON lock_requests (session_id);

-- Written when somebody had to wait, and only then. The number is the place within the revision.
CREATE TABLE lock_times (
    revision INTEGER NOT NULL,
    number INTEGER NOT NULL,
    us INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    host TEXT NOT NULL,
    span_us INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (revision, number)
) WITHOUT ROWID;

-- Both end in the key of the table: what is asked for is the newest part of one of them, in order.
CREATE INDEX lock_times_by_time ON lock_times (at_us);
CREATE INDEX lock_times_by_session ON lock_times (session_id, at_us);
