-- A database as version 1 of the schema wrote it: made by the hvnoded of that time, then dumped. Never changed: newer ones must read it.
PRAGMA application_id = 1752591972;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE vm (vm_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO vm VALUES('00000000-0000-0000-0000-000000000001','{"vm_uuid":"00000000-0000-0000-0000-000000000001","vm_name":"数据库 1","domain_name":"d","description":"a\nb","cpu_cores":1,"memory_bytes":18446744073709551615,"specification":null,"image":null,"tenant_uuid":"00000000-0000-0000-0000-000000000000","user_name":"u","boot":{"kind":"kernel","kernel_path":"/k","initrd_path":null,"command_line":"console=ttyS0"},"firmware":"uefi","architecture":"x86_64","auto_start":true,"locked":false,"volumes":["00000000-0000-0000-0000-000000000007"],"nics":[],"metadata":{"k":"v"},"origin":"adopted","phase":"ready","create_time":1000000000,"update_time":2000000000,"start_time":null,"error":{"code":"VmStartFailed","detail":{"en":"no","cn":"不"},"places":[{"file":"mod.rs","function":"vm","line":112}]}}');
INSERT INTO vm VALUES('00000000-0000-0000-0000-000000000002','{"vm_uuid":"00000000-0000-0000-0000-000000000002","vm_name":"数据库 2","domain_name":"d","description":"a\nb","cpu_cores":1,"memory_bytes":18446744073709551615,"specification":{"uuid":"00000000-0000-0000-0000-000000000004","name":"small"},"image":{"uuid":"00000000-0000-0000-0000-000000000003","name":"debian"},"tenant_uuid":"00000000-0000-0000-0000-000000000000","user_name":"u","boot":{"kind":"disk"},"firmware":"uefi","architecture":"x86_64","auto_start":true,"locked":false,"volumes":["00000000-0000-0000-0000-000000000007"],"nics":[{"interface_uuid":"00000000-0000-0000-0000-00000000000b","network_uuid":"00000000-0000-0000-0000-00000000000c","network_name":"default","is_host_bridge":false,"mac_address":"52:54:00:01:02:03","ip_address":"192.168.122.5","model":"virtio"}],"metadata":{"k":"v"},"origin":"adopted","phase":"ready","create_time":1000000000,"update_time":2000000000,"start_time":null,"error":null}');
CREATE TABLE volume (volume_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO volume VALUES('00000000-0000-0000-0000-000000000007','{"volume_uuid":"00000000-0000-0000-0000-000000000007","volume_name":"root","description":"","status":"in_use","storage_bytes":1073741824,"format":"qcow2","pool_name":"hvnode-volumes","file_name":"a.qcow2","path":"/a.qcow2","image_uuid":null,"is_root":true,"vm_uuid":"00000000-0000-0000-0000-000000000001","device":"vda","bus":"virtio","tenant_uuid":"00000000-0000-0000-0000-000000000000","create_time":1000000000,"update_time":1000000000}');
CREATE TABLE image (image_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO image VALUES('00000000-0000-0000-0000-000000000003','{"image_uuid":"00000000-0000-0000-0000-000000000003","image_name":"debian","description":"","status":"ready","format":"qcow2","storage_bytes":5,"virtual_bytes":6,"checksum":"sha256:00","firmware":null,"os_type":"","os_version":"","architecture":"x86_64","url":"http://images/a","path":"/i","create_time":1000000000,"update_time":1000000000,"error":null}');
CREATE TABLE specification (specification_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO specification VALUES('00000000-0000-0000-0000-000000000004','{"specification_uuid":"00000000-0000-0000-0000-000000000004","specification_name":"small","description":"","cpu_cores":1,"memory_bytes":1073741824,"storage_bytes":0,"create_time":1000000000}');
CREATE TABLE account (user_uuid TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO account VALUES('00000000-0000-0000-0000-000000000005','{"user_uuid":"00000000-0000-0000-0000-000000000005","user_name":"user5","role":"operator","password_hash":"$argon2id$","create_time":1000000000}');
CREATE TABLE host_settings (id INTEGER PRIMARY KEY CHECK (id = 1), document TEXT NOT NULL) STRICT;
INSERT INTO host_settings VALUES(1,'{"description":"d","cpu_ratio":4.0,"memory_ratio":1.5,"reserved_memory_bytes":1}');
CREATE TABLE token (
    token_hash TEXT PRIMARY KEY,
    user_uuid TEXT NOT NULL,
    expire_time INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO token VALUES('0000000000000000000000000000000000000000000000000000000000000006','00000000-0000-0000-0000-000000000005',6000000000,'{"token_hash":"0000000000000000000000000000000000000000000000000000000000000006","user_uuid":"00000000-0000-0000-0000-000000000005","dialect":"native","create_time":0,"expire_time":6000000000}');
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
INSERT INTO job VALUES('00000000-0000-0000-0000-000000000008','running','start_vm','00000000-0000-0000-0000-0000000003e8','vm 8',NULL,8000000000,NULL,'{"job_uuid":"00000000-0000-0000-0000-000000000008","verb":"start_vm","resource":{"kind":"vm","uuid":"00000000-0000-0000-0000-0000000003e8"},"resource_name":"vm 8","input":{"deep":[1,{"x":null}]},"caller":{"user_uuid":"00000000-0000-0000-0000-000000000000","user_name":"hvnoded","role":"admin","tenant_uuid":"7d5a2f1e-0000-4000-8000-000000000001","dialect":"internal","client_address":"internal","request_id":""},"request_uuid":null,"request_hash":null,"operation_uuid":"00000000-0000-0000-0000-000000000009","status":"running","progress_percent":3,"steps":[{"name":"define_domain","status":"started","time":9000000000}],"is_cancel_requested":false,"is_after_restart":false,"error":null,"result":null,"create_time":8000000000,"start_time":null,"finish_time":null}');
INSERT INTO job VALUES('00000000-0000-0000-0000-000000000009','failed','start_vm','00000000-0000-0000-0000-0000000003e8','vm 9',NULL,9000000000,9000000000,'{"job_uuid":"00000000-0000-0000-0000-000000000009","verb":"start_vm","resource":{"kind":"vm","uuid":"00000000-0000-0000-0000-0000000003e8"},"resource_name":"vm 9","input":{"deep":[1,{"x":null}]},"caller":{"user_uuid":"00000000-0000-0000-0000-000000000000","user_name":"hvnoded","role":"admin","tenant_uuid":"7d5a2f1e-0000-4000-8000-000000000001","dialect":"internal","client_address":"internal","request_id":""},"request_uuid":null,"request_hash":null,"operation_uuid":"00000000-0000-0000-0000-00000000000a","status":"failed","progress_percent":3,"steps":[],"is_cancel_requested":false,"is_after_restart":false,"error":{"code":"VmStartFailed","detail":{"en":"no","cn":"不"},"places":[{"file":"make_v1.rs","function":"make","line":17}]},"result":null,"create_time":9000000000,"start_time":null,"finish_time":9000000000}');
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
INSERT INTO operation VALUES('00000000-0000-0000-0000-000000000009','hvnoded','vm','00000000-0000-0000-0000-0000000003e8','vm 9',NULL,9000000000,'{"operation_uuid":"00000000-0000-0000-0000-000000000009","caller":{"user_uuid":"00000000-0000-0000-0000-000000000000","user_name":"hvnoded","role":"admin","tenant_uuid":"7d5a2f1e-0000-4000-8000-000000000001","dialect":"internal","client_address":"internal","request_id":""},"action":"/v1/vm/start","resource_type":"vm","resource_uuid":"00000000-0000-0000-0000-0000000003e8","resource_name":"vm 9","request":null,"error":null,"job_uuid":null,"create_time":9000000000,"finish_time":null}');
CREATE INDEX token_by_user ON token (user_uuid);
CREATE INDEX token_by_expiry ON token (expire_time);
CREATE INDEX job_by_time ON job (create_time, job_uuid);
CREATE INDEX job_by_resource ON job (resource_uuid, create_time, job_uuid);
CREATE INDEX job_by_request ON job (request_uuid, create_time, job_uuid) WHERE request_uuid IS NOT NULL;
CREATE INDEX job_open ON job (create_time, job_uuid) WHERE status IN ('queued', 'running');
CREATE INDEX job_by_end ON job (finish_time) WHERE finish_time IS NOT NULL;
CREATE INDEX operation_by_time ON operation (create_time, operation_uuid);
CREATE INDEX operation_by_resource ON operation (resource_uuid, create_time, operation_uuid) WHERE resource_uuid IS NOT NULL;
CREATE INDEX operation_by_user ON operation (user_name, create_time, operation_uuid);
COMMIT;
