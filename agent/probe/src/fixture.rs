//! A tree of files like the kernel's, for tests.

use crate::read::Root;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A folder with `proc` and `sys`, removed with the test.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// A machine without swap, huge pages, control groups and guests.
    pub(crate) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.write("proc/swaps", "Filename Type Size Used Priority\n");
        tree.write("proc/self/mountinfo", "");
        tree.write("proc/net/dev", "Inter-|\n face |\n");
        tree.write("proc/1/comm", "systemd\n");
        tree.write("proc/1/cmdline", "/sbin/init\0");
        tree
    }

    pub(crate) fn root(&self) -> Root {
        Root::new(self.0.path().into())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if Path::is_dir(&path) { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }

    /// A QEMU with two virtual processors.
    pub(crate) fn qemu(&self, process_id: u32, vm_uuid: Uuid, start_ticks: u64) {
        let dir = format!("proc/{process_id}");
        self.write(&format!("{dir}/comm"), "qemu-system-x86\n");
        self.write(&format!("{dir}/cmdline"), format!("/usr/bin/qemu-system-x86_64\0-name\0guest=a\0-uuid\0{vm_uuid}\0"));
        self.write(&format!("{dir}/io"), "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n");
        self.write(&format!("{dir}/status"), "VmRSS:\t 9 kB\nVmSwap:\t 3 kB\nHugetlbPages:\t 2048 kB\n");
        self.write(&format!("{dir}/cgroup"), "0::/\n");
        self.thread(process_id, process_id, "qemu-system-x86", "7 7 7");
        self.thread(process_id, process_id + 2, "CPU 1/KVM", "2000 200 20");
        self.thread(process_id, process_id + 1, "CPU 0/KVM", "1000 100 10");
        self.thread(process_id, process_id + 3, "worker", "1 1 1");
        self.stat(process_id, start_ticks, 4);
    }

    pub(crate) fn stat(&self, process_id: u32, start_ticks: u64, threads: u32) {
        let line = format!("{process_id} (qemu (x) S 1) S 1 1 1 0 -1 0 0 0 0 0 300 200 0 0 20 0 {threads} 0 {start_ticks} 0 10 0\n");
        self.write(&format!("proc/{process_id}/stat"), line);
    }

    pub(crate) fn thread(&self, process_id: u32, thread_id: u32, name: &str, schedstat: &str) {
        self.write(&format!("proc/{process_id}/task/{thread_id}/comm"), format!("{name}\n"));
        self.write(&format!("proc/{process_id}/task/{thread_id}/schedstat"), format!("{schedstat}\n"));
    }
}
