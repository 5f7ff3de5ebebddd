-- A database as a program with schema 1 wrote it. Made once; never to be edited.
PRAGMA application_id = 1112690768;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
INSERT INTO "attempts" VALUES('910a2dec','a',1,'f6d5f09fc74f5a35',1790000000000000,'1d0b14e4','',4711,0,'succeeded',0,0,'','application/octet-stream',X'00FF20726573756C74',0,0,0,1790000000000000,1790000001000000,1790000001000000,6,0,'[]','[]',1705888169);
INSERT INTO "attempts" VALUES('910a2dec','b',1,'8649dc302bf96ce0',1790000000000001,'1d0b14e4','',4711,0,'failed',1,0,'exit code 1','',NULL,0,0,0,1790000000000000,1790000001000000,1790000002000000,0,0,'[]','[]',2742702591);
INSERT INTO "attempts" VALUES('910a2dec','b',2,'4d0027d8c4580389',1790000000000005,'1d0b14e4','',4711,0,'succeeded',0,0,'','',NULL,0,0,0,1790000004000000,1790000005000000,1790000005000000,0,0,'[]','[]',774781963);
INSERT INTO "attempts" VALUES('910a2dec','late',1,'3db252f561b68ff0',1790000000000006,'1d0b14e4','',4711,0,'succeeded',0,0,'','',NULL,0,0,0,1790000005000000,1790000006000000,1790000007000000,0,0,'[]','[]',3700834670);
INSERT INTO "attempts" VALUES('910a2dec','needs-a',1,'0e7f7634d1e28f79',1790000000000003,'1d0b14e4','',4711,0,'succeeded',0,0,'','',NULL,0,0,0,1790000002000000,1790000003000000,1790000004000000,0,0,'[]','[]',1161955756);
INSERT INTO "attempts" VALUES('975835de','fails',1,'ff8351a9219650a6',1790000000000004,'1d0b14e4','',4711,0,'failed',3,0,'exit code 3','',NULL,0,0,0,1790000003000000,1790000004000000,1790000006000000,0,0,'[]','[]',2685553532);
INSERT INTO "attempts" VALUES('975835de','x',1,'c3e8bce9236e5a61',1790000000000002,'1d0b14e4','',4711,0,'succeeded',0,0,'','',NULL,0,0,0,1790000001000000,1790000002000000,1790000003000000,0,0,'[]','[]',570450576);
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
INSERT INTO "meta" VALUES('386e5b05c516482c','workspace',1790000000000000,24,1790000007000000,1790000000000008,10,4,3629254346);
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
INSERT INTO "outputs" VALUES('910a2dec','a',1,0,1,0,X'68656C6C6F0A',3243103548);
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
CREATE TABLE requests (
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_us INTEGER NOT NULL,
    reply BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (client_id, request_id)
) WITHOUT ROWID;
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
INSERT INTO "sessions" VALUES('910a2dec','workspace','first','running','',1,'tasks',0,'continue',1,0,0,'','{}',1790000000000000,1790000000000000,0,0,'',0,1,'[0, 0, 0]','[]',1,0,1,0,1,0,4,0,0,0,24,691868897);
INSERT INTO "sessions" VALUES('975835de','workspace','second','running','',1,'tasks',0,'continue',1,0,0,'','{}',1790000000000000,1790000000000000,0,0,'',0,1,'[0, 0, 0]','[]',2,0,0,0,0,0,1,1,0,1,22,949988931);
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
INSERT INTO "specs" VALUES('910a2dec','a',1,'run a','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000000000000,X'61',3627176354);
INSERT INTO "specs" VALUES('910a2dec','b',2,'run b','["command", "", [], "", 1, 0, 2, 1000, 60000]','[]','[]',1790000000000000,X'62',341001275);
INSERT INTO "specs" VALUES('910a2dec','needs-a',3,'run needs-a','["command", "", [], "", 1, 0, 0, 1000, 60000]','["a"]','[]',1790000000000000,X'6E656564732D61',2535293048);
INSERT INTO "specs" VALUES('975835de','x',4,'run x','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000000000000,X'78',3146699989);
INSERT INTO "specs" VALUES('975835de','fails',5,'run fails','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000000000000,X'6661696C73',1428457378);
INSERT INTO "specs" VALUES('975835de','behind',6,'run behind','["command", "", [], "", 1, 0, 0, 1000, 60000]','["fails"]','[]',1790000000000000,X'626568696E64',891030830);
INSERT INTO "specs" VALUES('910a2dec','late',7,'run late','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[["src", "exclusive", "tree"]]',1790000000000000,X'6C617465',925760069);
INSERT INTO "specs" VALUES('910a2dec','live',8,'run live','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000000000000,X'6C697665',252011448);
INSERT INTO "specs" VALUES('910a2dec','waits',9,'run waits','["command", "", ["nobody"], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000000000000,X'7761697473',259470130);
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
INSERT INTO "tasks" VALUES('910a2dec','a',1,'succeeded',1,0,0,1,0,'[]',1790000001000000,1790000001000000,'1d0b14e4',4711,1790000000000000,'succeeded',0,'','','','',0,0,0,0,'','',12,1495727717);
INSERT INTO "tasks" VALUES('910a2dec','b',2,'succeeded',2,1,0,1,1790000002890000,'["1d0b14e4"]',1790000005000000,1790000005000000,'1d0b14e4',4711,1790000000000005,'succeeded',0,'','','','',0,0,0,0,'','',20,974300745);
INSERT INTO "tasks" VALUES('910a2dec','needs-a',3,'succeeded',1,0,0,1,0,'[]',1790000003000000,1790000004000000,'1d0b14e4',4711,1790000000000003,'succeeded',0,'','','','',0,0,0,0,'','',18,2269539233);
INSERT INTO "tasks" VALUES('975835de','x',4,'succeeded',1,0,0,1,0,'[]',1790000002000000,1790000003000000,'1d0b14e4',4711,1790000000000002,'succeeded',0,'','','','',0,0,0,0,'','',16,1676058229);
INSERT INTO "tasks" VALUES('975835de','fails',5,'failed',1,1,0,1,0,'[]',1790000004000000,1790000006000000,'1d0b14e4',4711,1790000000000004,'failed',3,'exit code 3','EXIT','','',0,0,0,0,'','',22,626710666);
INSERT INTO "tasks" VALUES('975835de','behind',6,'skipped',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'needs fails, which did not succeed','NEED_FAILED','','',0,0,0,0,'','',22,2540254935);
INSERT INTO "tasks" VALUES('910a2dec','late',7,'succeeded',1,0,0,1,0,'[]',1790000006000000,1790000007000000,'1d0b14e4',4711,1790000000000006,'succeeded',0,'','','','',0,0,0,0,'','',24,946125667);
INSERT INTO "tasks" VALUES('910a2dec','live',8,'running',1,0,0,1,0,'[]',1790000007000000,0,'1d0b14e4',4711,1790000000000007,'',NULL,'','','b2475bc8dc1a33cd','',1,1790000006000000,1790000006000000,0,'','',23,3402381429);
INSERT INTO "tasks" VALUES('910a2dec','waits',9,'queued',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'','','','',0,0,0,0,'','',9,1023304981);
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
INSERT INTO "workers" VALUES('1d0b14e4','',0,'',2,'[]','[true, ["h"], false]','','','{}','[]','','busy',0,1,1790000000000000,0,5,2,0,3,24,2114964988);
CREATE UNIQUE INDEX tasks_by_name ON tasks (session_id, task_id);
CREATE INDEX tasks_by_session ON tasks (session_id);
CREATE INDEX tasks_ended ON tasks (session_id, status) WHERE status <> 'assigned' AND status <> 'blocked'
    AND status <> 'cancelling' AND status <> 'queued' AND status <> 'running';
COMMIT;
