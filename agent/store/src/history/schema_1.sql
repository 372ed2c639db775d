-- Averages of usage. A bucket is a number of periods since 1970; a resolution is 0 for minutes, 1 for quarters of an hour; a point is
-- in the compact form that it has in memory. Subjects are numbered here, so that a key takes a few bytes.

CREATE TABLE subject (id INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE) STRICT;

CREATE TABLE point (
    resolution INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    point BLOB NOT NULL,
    PRIMARY KEY (resolution, subject, bucket)
) STRICT, WITHOUT ROWID;
