-- Workers that are programs of the user's own may have a lease of their own; so far all had the
-- coordinator's. The table is made anew, so that the columns stay in the order of the row type.

CREATE TABLE workers_2 (
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
    lease_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (worker_id)
);

INSERT INTO workers_2
SELECT
    worker_id, host, pid, version, slots, labels_json, kinds_json, pool, session_id, metadata_json,
    capabilities_json, workspace_id, status, draining, generation, registered_at_us, offline_us, succeeded,
    failed, faults, ordinal, 0, revision, checksum
FROM workers;

DROP TABLE workers;
ALTER TABLE workers_2 RENAME TO workers;
