//! The control group of a VM: pressure inside it, and what the kernel killed there. Both versions, and the two side by side.

use crate::mounts::Mount;
use crate::parse;
use crate::read::{Buffer, Dir, Root};
use hvnode_core::model::Pressure;
use std::path::PathBuf;

/// Where control groups of interest are mounted, the latest mount first: in a container it may hide that of the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hierarchies {
    unified: Vec<Mount>,
    memory: Vec<Mount>,
}

/// The directories of one VM's own group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
}

impl Hierarchies {
    pub(crate) fn new(mounts: &[Mount]) -> Self {
        let has_memory = |mount: &Mount| mount.kind == "cgroup" && mount.options.split(',').any(|option| option == "memory");
        Self {
            unified: mounts.iter().rev().filter(|mount| mount.kind == "cgroup2").cloned().collect(),
            memory: mounts.iter().rev().filter(|mount| has_memory(mount)).cloned().collect(),
        }
    }

    /// The group of a process by its `/proc/<pid>/cgroup`; absent where it shares its groups with others.
    pub(crate) fn group(&self, root: &Root, text: &str) -> Option<Group> {
        let (mut unified, mut memory) = (None, None);
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let Some(own) = own_path(path) else { continue };
            if controllers.is_empty() {
                // libvirt sorts the threads into groups further in: the VM is all of them
                unified = directory(root, &self.unified, own);
            } else if controllers.split(',').any(|controller| controller == "memory") {
                // version 1 counts a kill in the very group of the process alone
                memory = directory(root, &self.memory, path);
            }
        }
        (unified.is_some() || memory.is_some()).then_some(Group { unified, memory })
    }
}

/// The path up to the component that stands for one VM: a scope of systemd, or libvirt's own form without systemd.
fn own_path(path: &str) -> Option<&str> {
    let is_own = |part: &str| part.starts_with("machine-qemu") && part.ends_with(".scope") || part.ends_with(".libvirt-qemu");
    let mut end = 0;
    for part in path.split('/') {
        end += part.len();
        if is_own(part) {
            return Some(&path[..end]);
        }
        end += 1;
    }
    None
}

/// The directory of a group, through the first mount that shows it.
fn directory(root: &Root, mounts: &[Mount], path: &str) -> Option<PathBuf> {
    // a path that climbs out lies outside of what this process may see
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let below = |mount: &Mount| {
        let rest = if mount.root == "/" { path } else { path.strip_prefix(mount.root.as_str()).filter(|rest| rest.starts_with('/'))? };
        Some(root.path(&mount.mount_point).join(rest.trim_start_matches('/')))
    };
    mounts.iter().filter_map(below).find(|path| path.is_dir())
}

impl Group {
    /// Pressure and kills. Absent where the group is gone: the VM may have another one now.
    pub(crate) fn read(&self, buffer: &mut Buffer) -> Option<(Pressure, Option<u64>)> {
        let unified = self.unified.as_deref().and_then(Dir::open);
        let memory = self.memory.as_deref().and_then(Dir::open);
        if unified.is_none() && memory.is_none() {
            return None;
        }
        let mut number = |dir: &Option<Dir>, file| parse::keyed(&dir.as_ref()?.text(file, buffer)?, "oom_kill");
        let kills = number(&unified, "memory.events").or_else(|| number(&memory, "memory.oom_control"));
        let mut stall = |file| parse::stall(&unified.as_ref()?.text(file, buffer)?);
        let pressure = Pressure { cpu: stall("cpu.pressure"), memory: stall("memory.pressure"), io: stall("io.pressure") };
        Some((pressure, kills))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_group_of_the_vms_own_counts() {
        let scope = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope";
        assert_eq!(own_path(&format!("{scope}/libvirt/emulator")), Some(scope));
        assert_eq!(own_path(scope), Some(scope));
        assert_eq!(own_path("/machine/qemu-6-web.libvirt-qemu/emulator"), Some("/machine/qemu-6-web.libvirt-qemu"));
        assert_eq!(own_path("/outer/machine/qemu-6-web.libvirt-qemu"), Some("/outer/machine/qemu-6-web.libvirt-qemu"));
        for shared in ["/", "", "/machine.slice", "/user.slice/user-0.slice", "/system.slice/libvirtd.service", "/machine-qemu"] {
            assert_eq!(own_path(shared), None, "{shared}");
        }
    }

    #[test]
    fn paths_are_found_below_the_part_that_is_mounted() {
        let tree = crate::fixture::Tree::new();
        tree.write("sys/fs/cgroup/a/b/cpu.pressure", "");
        tree.write("sys/fs/cgroup/b/cpu.pressure", "");
        let mount = |root: &str, mount_point: &str| {
            crate::mounts::parse(&format!("1 1 0:30 {root} {mount_point} rw - cgroup2 cgroup2 rw")).remove(0)
        };
        let at = |mounts: &[Mount], path| directory(&tree.root(), mounts, path);
        let whole = mount("/", "/sys/fs/cgroup");
        let part = mount("/a", "/sys/fs/cgroup");
        let hidden = mount("/..", "/sys/fs/cgroup");
        let elsewhere = mount("/", "/elsewhere");
        assert_eq!(at(std::slice::from_ref(&whole), "/a/b"), Some(tree.path("sys/fs/cgroup/a/b")));
        assert_eq!(at(std::slice::from_ref(&part), "/a/b"), Some(tree.path("sys/fs/cgroup/b")));
        assert_eq!(at(&[elsewhere, hidden, whole.clone()], "/a/b"), Some(tree.path("sys/fs/cgroup/a/b")));
        assert_eq!(at(&[part], "/ab/c"), None);
        assert_eq!(at(&[whole], "/../a"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_without_panic(text in "(?s).{0,120}", lines in "([0-9]{1,2}:[a-z,=]{0,8}:/[a-z./\\-]{0,40}\n){0,6}") {
            let hierarchies = Hierarchies::new(&crate::mounts::parse("1 1 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"));
            let root = Root::new("/".into());
            hierarchies.group(&root, &text);
            hierarchies.group(&root, &lines);
            own_path(&text);
        }
    }
}
