-- The first schema. Columns and their order are those of the row types in domain/changes.py; the
-- checksum of each row is computed by store/rows.py. Times that end in _at_us are for people
-- (microseconds since 1970), the other ones that end in _us are core time.

PRAGMA application_id = 1112690768; -- 'BRPP' in ASCII, so that a foreign file is recognised

CREATE TABLE meta (
    store_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    next_fence INTEGER NOT NULL,
    next_index INTEGER NOT NULL,
    next_order INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (store_id)
);

CREATE TABLE sessions (
    session_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    ending_as TEXT NOT NULL,
    open INTEGER NOT NULL,
    driver TEXT NOT NULL,
    declared_tasks INTEGER NOT NULL,
    failure_action TEXT NOT NULL,
    failure_limit INTEGER NOT NULL,
    max_parallel INTEGER NOT NULL,
    wanted_workers INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    metadata_json TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    started_at_us INTEGER NOT NULL,
    ended_at_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    locks_released INTEGER NOT NULL,
    run INTEGER NOT NULL,
    reported_json TEXT NOT NULL,
    modified_files_json TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    assigned INTEGER NOT NULL,
    running INTEGER NOT NULL,
    cancelling INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id)
);

-- The ordinal of a task is unique over all sessions and never changes: as the row's own number it makes
-- an update one search, and reading in order of submission a walk.
CREATE TABLE specs (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    ordinal INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    traits_json TEXT NOT NULL,
    needs_json TEXT NOT NULL,
    files_json TEXT NOT NULL,
    submitted_at_us INTEGER NOT NULL,
    spec BLOB NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE TABLE tasks (
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
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE UNIQUE INDEX tasks_by_name ON tasks (session_id, task_id);

-- With the ordinal that every index entry ends in: a session's tasks in order of submission.
CREATE INDEX tasks_by_session ON tasks (session_id);

-- Ended tasks only: a task enters it once, and its way through the live states hardly costs anything here.
-- Comparisons, since a list would be made into a table anew for every row that is written.
CREATE INDEX tasks_ended ON tasks (session_id, status) WHERE status <> 'assigned' AND status <> 'blocked'
    AND status <> 'cancelling' AND status <> 'queued' AND status <> 'running';

-- Written once, read by task: kept in the order of their key, without a second tree.
CREATE TABLE attempts (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempt_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
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
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id, task_id, number)
) WITHOUT ROWID;

CREATE TABLE outputs (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    dropped_bytes INTEGER NOT NULL,
    data BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id, task_id, number, offset)
) WITHOUT ROWID;

CREATE TABLE workers (
    worker_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    slots INTEGER NOT NULL,
    labels_json TEXT NOT NULL,
    kinds_json TEXT NOT NULL,
    pool TEXT NOT NULL,
    session_id TEXT NOT NULL,
    metadata_json TEXT NOT NULL,
    capabilities_json TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    status TEXT NOT NULL,
    draining INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    registered_at_us INTEGER NOT NULL,
    offline_us INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (worker_id)
);

CREATE TABLE pools (
    session_id TEXT NOT NULL,
    host TEXT NOT NULL,
    wanted INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    labels_json TEXT NOT NULL,
    handler_modules_json TEXT NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id, host)
) WITHOUT ROWID;

CREATE TABLE lapses (
    attempt_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    worker_id TEXT NOT NULL,
    host TEXT NOT NULL,
    fence INTEGER NOT NULL,
    acquired_at_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    files_json TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (attempt_id)
) WITHOUT ROWID;

CREATE TABLE requests (
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_us INTEGER NOT NULL,
    reply BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (client_id, request_id)
) WITHOUT ROWID;
