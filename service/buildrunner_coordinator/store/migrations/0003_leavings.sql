-- Sessions that were removed and of which there may be rows below yet: large ones go a piece at a time.
CREATE TABLE leavings (
    session_id TEXT NOT NULL,
    PRIMARY KEY (session_id)
) WITHOUT ROWID;
