-- A database as a program with schema 3 wrote it. Made once; never to be edited.
PRAGMA application_id = 1112690768;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE "attempts" (
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
INSERT INTO "attempts" VALUES('1d0b14e4','three',1,'c3e8bce9236e5a61',1790000000000002,3,9,14,15,'6e73e372','here',4711,0,'succeeded',0,0,'','',NULL,0,0,0,1790000000000000,1790000002000000,1790000003000000,0,0,'[]','[]',2869884682);
INSERT INTO "attempts" VALUES('910a2dec','again',1,'4d0027d8c4580389',1790000000000005,3,16,19,21,'6e73e372','here',4711,0,'failed',2,0,'exit code 2','',NULL,0,0,0,1790000003000000,1790000003000000,1790000004000000,0,0,'[]','[]',1380713495);
INSERT INTO "attempts" VALUES('910a2dec','crashes',1,'ff8351a9219650a6',1790000000000004,2,16,18,22,'6e73e372','here',4711,0,'failed',1,0,'exit code 1','',NULL,0,0,0,1790000003000000,1790000003000000,1790000004000000,0,0,'[]','[]',3952444527);
INSERT INTO "attempts" VALUES('910a2dec','ok',1,'0e7f7634d1e28f79',1790000000000003,1,16,17,20,'6e73e372','here',4711,0,'succeeded',0,0,'','application/octet-stream',X'00FF20726573756C74',0,0,0,1790000003000000,1790000003000000,1790000004000000,0,0,'["src/a.py", "b \u00fc"]','[]',1767416650);
INSERT INTO "attempts" VALUES('975835de','lost',1,'adfc37bce921c586',1790000000000008,5,32,33,34,'63033b0c','there',4711,0,'lost',NULL,0,'killed','',NULL,0,0,0,1790000011000000,1790000011000000,1790000011000000,0,0,'[]','[]',2746419657);
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
INSERT INTO "events" VALUES(2,1,1790000000000000,1790000000000000,'created','910a2dec','',0,'','Created as ''first''',3099360099);
INSERT INTO "events" VALUES(3,1,1790000000000000,1790000000000000,'started','910a2dec','',0,'','Started',3215159563);
INSERT INTO "events" VALUES(4,1,1790000000000000,1790000000000000,'created','975835de','',0,'','Created as ''second''',3320129970);
INSERT INTO "events" VALUES(5,1,1790000000000000,1790000000000000,'started','975835de','',0,'','Started',650124104);
INSERT INTO "events" VALUES(8,1,1790000000000000,1790000000000000,'registered','','',0,'6e73e372','Registered on here as process 4711 with 3 slots',2992597594);
INSERT INTO "events" VALUES(21,1,1790000004000000,1790000004000000,'requeued','910a2dec','again',1,'6e73e372','Queued again, after a pause of 1.2 s: retry 1 of 1',3539338241);
INSERT INTO "events" VALUES(31,1,1790000011000000,1790000011000000,'registered','','',0,'63033b0c','Registered on there as process 4712 with 1 slot',1088527575);
INSERT INTO "events" VALUES(34,1,1790000011000000,1790000011000000,'lost','975835de','lost',1,'63033b0c','Attempt 1 on worker 63033b0c was lost: killed',350341083);
INSERT INTO "events" VALUES(34,2,1790000011000000,1790000011000000,'requeued','975835de','lost',1,'63033b0c','Queued again, after a pause of 10 s: its worker was lost',1157202716);
INSERT INTO "events" VALUES(34,3,1790000011000000,1790000011000000,'offline','','',0,'63033b0c','Offline: killed',673006770);
INSERT INTO "events" VALUES(35,1,1790000011000000,1790000011000000,'scaled','910a2dec','',0,'','Scaled: 2 workers wanted on here',3094820540);
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
INSERT INTO "lapses" VALUES('adfc37bce921c586','975835de','lost','63033b0c','there',1790000000000008,1790000011000000,1790000021000000,'[["gone", "exclusive", "tree"]]',1748759808);
CREATE TABLE leavings (
    session_id TEXT NOT NULL,
    PRIMARY KEY (session_id)
) WITHOUT ROWID;
INSERT INTO "leavings" VALUES('1d0b14e4');
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
INSERT INTO "meta" VALUES('8eaa71ef3ac868cf','workspace',1790000000000000,36,1790000011000000,1790000000000009,14,6,2658610102);
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
INSERT INTO "outputs" VALUES('910a2dec','holds',1,0,1,0,X'736F206661720A',1541708274);
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
INSERT INTO "pools" VALUES('910a2dec','here',2,1,'[]','[]',35,2540953972);
CREATE TABLE requests (
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_us INTEGER NOT NULL,
    reply BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (client_id, request_id)
) WITHOUT ROWID;
INSERT INTO "requests" VALUES('client','request',X'646967657374',1790003611000000,X'74686520616E73776572',620181976);
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
INSERT INTO "sessions" VALUES('910a2dec','workspace','first','running','',1,'tasks',0,'continue',1,0,2,'','{}',1790000000000000,1790000000000000,0,0,'',0,1,'[0, 0, 0]','[]',1,0,1,0,2,0,1,1,0,0,35,2781133481);
INSERT INTO "sessions" VALUES('975835de','workspace','second','running','',1,'tasks',0,'continue',1,0,0,'','{}',1790000000000000,1790000000000000,0,0,'',0,1,'[0, 0, 0]','[]',2,1,4,0,0,0,0,0,0,0,34,1039981234);
CREATE TABLE "specs" (
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
INSERT INTO "specs" VALUES('910a2dec','ok',4,1,'run ok','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000003000000,16,X'6F6B',2917688121);
INSERT INTO "specs" VALUES('910a2dec','crashes',5,2,'run crashes','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000003000000,16,X'63726173686573',3519166879);
INSERT INTO "specs" VALUES('910a2dec','again',6,3,'run again','["command", "", [], "", 1, 0, 1, 1000, 60000]','[]','[]',1790000003000000,16,X'616761696E',1676675155);
INSERT INTO "specs" VALUES('910a2dec','holds',7,4,'run holds','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[["src", "exclusive", "tree"], ["docs/x.md", "shared", "file"]]',1790000009000000,25,X'686F6C6473',3296098198);
INSERT INTO "specs" VALUES('975835de','waits-1',8,1,'run waits-1','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[["src/a.py", "exclusive", "file"]]',1790000009000000,28,X'77616974732D31',816396918);
INSERT INTO "specs" VALUES('975835de','behind',9,2,'run behind','["command", "", [], "", 1, 0, 0, 1000, 60000]','["waits-1"]','[]',1790000009000000,28,X'626568696E64',3024330166);
INSERT INTO "specs" VALUES('975835de','reads',10,3,'run reads','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[["docs/x.md", "exclusive", "file"]]',1790000009000000,28,X'7265616473',555801395);
INSERT INTO "specs" VALUES('910a2dec','waits-2',11,5,'run waits-2','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[["src/a.py", "exclusive", "file"]]',1790000011000000,29,X'77616974732D32',377916493);
INSERT INTO "specs" VALUES('975835de','no-worker',12,4,'run no-worker','["command", "", ["nobody"], "", 1, 0, 0, 1000, 60000]','[]','[]',1790000011000000,30,X'6E6F2D776F726B6572',82648092);
INSERT INTO "specs" VALUES('975835de','lost',13,5,'run lost','["command", "", [], "", 1, 0, 0, 1000, 60000]','[]','[["gone", "exclusive", "tree"]]',1790000011000000,32,X'6C6F7374',2073044170);
CREATE TABLE "tasks" (
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
INSERT INTO "tasks" VALUES('910a2dec','ok',4,'succeeded',1,0,0,1,0,'[]',1790000003000000,1790000004000000,'6e73e372',4711,1790000000000003,'succeeded',0,'','','','',0,0,0,0,'','',0,0,0,20,2067005302);
INSERT INTO "tasks" VALUES('910a2dec','crashes',5,'failed',1,1,0,1,0,'[]',1790000003000000,1790000004000000,'6e73e372',4711,1790000000000004,'failed',1,'exit code 1','EXIT','','',0,0,0,0,'','',0,0,0,22,1347694425);
INSERT INTO "tasks" VALUES('910a2dec','again',6,'running',2,1,0,1,1790000005160000,'["6e73e372"]',1790000009000000,0,'6e73e372',4711,1790000000000006,'',NULL,'','','3db252f561b68ff0','here',1,1790000009000000,1790000009000000,0,'','',23,24,0,24,3180860913);
INSERT INTO "tasks" VALUES('910a2dec','holds',7,'running',1,0,0,1,0,'[]',1790000009000000,0,'6e73e372',4711,1790000000000007,'',NULL,'','','b2475bc8dc1a33cd','here',1,1790000009000000,1790000009000000,0,'','',25,26,0,26,1915058371);
INSERT INTO "tasks" VALUES('975835de','waits-1',8,'queued',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'','','','',0,0,0,0,'','',0,0,0,28,690847031);
INSERT INTO "tasks" VALUES('975835de','behind',9,'blocked',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'','','','',0,0,0,0,'','',0,0,0,28,52158887);
INSERT INTO "tasks" VALUES('975835de','reads',10,'queued',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'','','','',0,0,0,0,'','',0,0,0,28,3265132055);
INSERT INTO "tasks" VALUES('910a2dec','waits-2',11,'queued',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'','','','',0,0,0,0,'','',0,0,0,29,1061868285);
INSERT INTO "tasks" VALUES('975835de','no-worker',12,'queued',0,0,0,1,0,'[]',0,0,'',0,0,'',NULL,'','','','',0,0,0,0,'','',0,0,0,30,3693491655);
INSERT INTO "tasks" VALUES('975835de','lost',13,'queued',1,0,1,1,1790000021000000,'["63033b0c"]',1790000011000000,1790000011000000,'63033b0c',4711,1790000000000008,'lost',NULL,'killed','','','',0,0,0,0,'','',0,0,0,34,1973833055);
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
INSERT INTO "workers" VALUES('6e73e372','here',4711,'',3,'[]','[true, ["h"], false]','','','{}','[]','','busy',0,1,1790000000000000,0,4,2,0,4,23,836892550);
INSERT INTO "workers" VALUES('63033b0c','there',4712,'',1,'[]','[true, ["h"], false]','','','{}','[]','','offline',0,1,1790000011000000,1790000011000000,0,0,0,5,34,246125020);
CREATE UNIQUE INDEX tasks_by_name ON tasks (session_id, task_id);
CREATE INDEX tasks_by_session ON tasks (session_id);
CREATE INDEX tasks_ended ON tasks (session_id, status) WHERE status <> 'assigned' AND status <> 'blocked'
    AND status <> 'cancelling' AND status <> 'queued' AND status <> 'running';
CREATE INDEX attempts_by_end ON attempts (session_id, ended_revision, task_number, number);
CREATE INDEX events_by_session ON events (session_id);
CREATE INDEX events_by_task ON events (session_id, task_id) WHERE task_id <> '';
CREATE INDEX events_by_worker ON events (worker_id) WHERE worker_id <> '';
COMMIT;
