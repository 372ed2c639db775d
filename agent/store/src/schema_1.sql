-- Objects are JSON in "document"; other columns exist because something filters or sorts by them.
-- UUIDs are lower-case text, times are nanoseconds since 1970.

CREATE TABLE vm (vm_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE volume (volume_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE image (image_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE specification (specification_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE account (user_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE host_settings (id INTEGER PRIMARY KEY CHECK (id = 1), document TEXT NOT NULL) STRICT;

CREATE TABLE token (
    token_hash TEXT PRIMARY KEY,
    user_uuid TEXT NOT NULL,
    expire_time INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_by_user ON token (user_uuid);
CREATE INDEX token_by_expiry ON token (expire_time);

CREATE TABLE job (
    job_uuid TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    verb TEXT NOT NULL,
    resource_uuid TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    request_uuid TEXT,
    create_time INTEGER NOT NULL,
    finish_time INTEGER,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX job_by_time ON job (create_time, job_uuid);
CREATE INDEX job_by_resource ON job (resource_uuid, create_time, job_uuid);
CREATE INDEX job_by_request ON job (request_uuid, create_time, job_uuid) WHERE request_uuid IS NOT NULL;
CREATE INDEX job_open ON job (create_time, job_uuid) WHERE status IN ('queued', 'running');
CREATE INDEX job_by_end ON job (finish_time) WHERE finish_time IS NOT NULL;

CREATE TABLE operation (
    operation_uuid TEXT PRIMARY KEY,
    user_name TEXT NOT NULL,
    resource_type TEXT,
    resource_uuid TEXT,
    resource_name TEXT NOT NULL,
    is_success INTEGER CHECK (is_success IN (0, 1)),
    create_time INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX operation_by_time ON operation (create_time, operation_uuid);
CREATE INDEX operation_by_resource ON operation (resource_uuid, create_time, operation_uuid) WHERE resource_uuid IS NOT NULL;
CREATE INDEX operation_by_user ON operation (user_name, create_time, operation_uuid);
