-- The history: revisions of what attempts went through, each task's place in its session, and the table
-- of events. The tables that get columns are made anew, so that the columns stay in the order of the row
-- types; what is small goes before what may be large. The program puts new checksums under the rows that
-- it carries over, once it has verified the old ones.
--
-- What 0001 did not keep is filled in as well as it is known. A submission is as old as the database.
-- The last attempt of a task was over, at the latest, at the task's last revision; an earlier one at
-- revision 1. All that an attempt went through before its end is given the revision of its end.

CREATE TABLE specs_2 (
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    ordinal INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    title TEXT NOT NULL,
    traits_json TEXT NOT NULL,
    needs_json TEXT NOT NULL,
    files_json TEXT NOT NULL,
    submitted_at_us INTEGER NOT NULL,
    submitted_revision INTEGER NOT NULL,
    spec BLOB NOT NULL,
    checksum INTEGER NOT NULL
);

INSERT INTO specs_2
SELECT
    session_id, task_id, ordinal, row_number() OVER (PARTITION BY session_id ORDER BY ordinal), title,
    traits_json, needs_json, files_json, submitted_at_us, 1, spec, checksum
FROM specs;

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
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);

INSERT INTO tasks_2
SELECT
    session_id, task_id, ordinal, status, attempts, failures, crashes, run, not_before_us, avoid_json,
    started_at_us, ended_at_us, worker_id, pid, fence, outcome, exit_code, error, reason, attempt_id, host,
    generation, assigned_at_us, assigned_us, slot, stop_as, stop_reason,
    CASE WHEN attempt_id <> '' THEN revision ELSE 0 END,
    CASE WHEN attempt_id <> '' AND started_at_us > 0 THEN revision ELSE 0 END,
    0, revision, checksum
FROM tasks;

-- Written once, read by task, or by end.
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
    checksum INTEGER NOT NULL,
    PRIMARY KEY (session_id, task_id, number)
) WITHOUT ROWID;

INSERT INTO attempts_2
SELECT
    a.session_id, a.task_id, a.number, a.attempt_id, a.fence, coalesce(s.number, 0), 0, 0,
    CASE WHEN t.attempt_id = '' AND t.attempts = a.number THEN t.revision ELSE 1 END,
    a.worker_id, a.host, a.pid, a.slot, a.outcome, a.exit_code, a.signal, a.error, a.result_type, a.result, a.user_cpu_us, a.system_cpu_us,
    a.max_rss_bytes, a.assigned_at_us, a.started_at_us, a.ended_at_us, a.output_bytes,
    a.output_dropped_bytes, a.modified_files_json, a.warnings_json, a.checksum
FROM attempts a
LEFT JOIN tasks t ON t.session_id = a.session_id AND t.task_id = a.task_id
LEFT JOIN specs_2 s ON s.ordinal = t.ordinal;

UPDATE attempts_2 SET assigned_revision = ended_revision;
UPDATE attempts_2 SET started_revision = ended_revision WHERE started_at_us > 0;

DROP TABLE specs;
DROP TABLE tasks;
DROP TABLE attempts;
ALTER TABLE specs_2 RENAME TO specs;
ALTER TABLE tasks_2 RENAME TO tasks;
ALTER TABLE attempts_2 RENAME TO attempts;

-- As in 0001, where they are explained; they went with their table.
CREATE UNIQUE INDEX tasks_by_name ON tasks (session_id, task_id);
CREATE INDEX tasks_by_session ON tasks (session_id);
CREATE INDEX tasks_ended ON tasks (session_id, status) WHERE status <> 'assigned' AND status <> 'blocked'
    AND status <> 'cancelling' AND status <> 'queued' AND status <> 'running';

-- A session's ended attempts in the order of their ends: what is read of it is always one range.
CREATE INDEX attempts_by_end ON attempts (session_id, ended_revision, task_number, number);

-- What happened, in words, where no other row tells it. The number is the place within the revision.
CREATE TABLE events (
    revision INTEGER NOT NULL,
    number INTEGER NOT NULL,
    us INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    session_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    message TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (revision, number)
) WITHOUT ROWID;

-- Each ends in the key of the table, and so in the order of what happened. The first one serves a session,
-- one of its tasks, and the removal of old events of workers alone, whose session is empty.
CREATE INDEX events_by_session ON events (session_id);
CREATE INDEX events_by_task ON events (session_id, task_id) WHERE task_id <> '';
CREATE INDEX events_by_worker ON events (worker_id) WHERE worker_id <> '';
