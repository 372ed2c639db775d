-- The event stream. AUTOINCREMENT: a cursor is never given twice, also not after the rows that had it are gone.
-- The cursor in a document means nothing.

CREATE TABLE event (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_time ON event (time);

-- The newest status event of every VM that is not gone. Apart from the stream, because it outlives what is pruned there.
CREATE TABLE last_vm_event (
    vm_uuid TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
