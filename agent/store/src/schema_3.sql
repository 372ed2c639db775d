-- What only one outward API knows: zones, key pairs, tags.

CREATE TABLE dialect_record (
    dialect TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (dialect, kind, id)
) STRICT, WITHOUT ROWID;
