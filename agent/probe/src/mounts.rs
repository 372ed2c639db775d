//! What is mounted: the file systems worth reporting, and where the control groups are.

use std::collections::HashMap;

/// Most file systems reported: a host with thousands of mounts must not fill every sample.
const FILE_SYSTEMS_MAX: usize = 128;

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mount {
    /// The kernel's number of the file system.
    pub(crate) device_number: String,
    /// The part of the file system that is mounted.
    pub(crate) root: String,
    pub(crate) mount_point: String,
    pub(crate) kind: String,
    pub(crate) source: String,
    /// Options of the file system; of control groups, their controllers.
    pub(crate) options: String,
}

/// How a file system is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// A disk of this host.
    Local,
    /// A server, or a program, that may be gone.
    Remote,
}

/// All mounts. Lines that make no sense are left out.
pub(crate) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let mut file_system = file_system.split(' ');
    Some(Mount {
        device_number: mount.next()?.to_owned(),
        root: unescape(mount.next()?),
        mount_point: unescape(mount.next()?),
        kind: file_system.next()?.to_owned(),
        source: unescape(file_system.next()?),
        options: file_system.next().unwrap_or_default().to_owned(),
    })
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The file systems worth reporting, each once however often it is mounted, in the order of their mounting.
///
/// Those without a disk or server behind them (proc, tmpfs, …) are left out: what they take is memory, and is told as such. So are images that
/// are always full. The root is told whatever it is.
pub(crate) fn file_systems(mounts: &[Mount]) -> Vec<(&Mount, Reach)> {
    // a mount hides the earlier ones at its place
    let last: HashMap<&str, usize> = mounts.iter().enumerate().map(|(position, mount)| (mount.mount_point.as_str(), position)).collect();
    let mut chosen: Vec<(&Mount, Reach)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (position, mount) in mounts.iter().enumerate() {
        let Some(reach) = reach(mount).filter(|_| last.get(mount.mount_point.as_str()) == Some(&position)) else { continue };
        if let Some(place) = places.get(mount.device_number.as_str()) {
            // the whole of it stands for a part of it that was bound somewhere
            let (other, _) = &mut chosen[*place];
            if other.root != "/" && mount.root == "/" {
                *other = mount;
            }
        } else if chosen.len() < FILE_SYSTEMS_MAX {
            places.insert(&mount.device_number, chosen.len());
            chosen.push((mount, reach));
        }
    }
    chosen
}

fn reach(mount: &Mount) -> Option<Reach> {
    let kind = mount.kind.as_str();
    if kind.starts_with("fuse.") {
        // programs that show other files anew, or the state of something
        let is_view = ["fuse.lxcfs", "fuse.gvfsd-fuse", "fuse.portal", "fuse.snapfuse", "fuse.squashfuse"].contains(&kind);
        return (!is_view).then_some(Reach::Remote);
    }
    match kind {
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "virtiofs" | "ceph" | "glusterfs" | "lustre" | "beegfs" | "gpfs" | "ocfs2"
        | "gfs2" | "orangefs" | "afs" | "coda" | "fuse" | "fuseblk" => Some(Reach::Remote),
        "squashfs" | "iso9660" | "udf" | "erofs" | "cramfs" | "romfs" => None,
        "zfs" | "btrfs" | "bcachefs" => Some(Reach::Local),
        _ if mount.mount_point == "/" && kind != "rootfs" => Some(Reach::Local),
        // bound from a device file of /dev itself
        "devtmpfs" | "tmpfs" | "ramfs" | "overlay" => None,
        _ if mount.source.starts_with("/dev/") => Some(Reach::Local),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = r"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 254:1 /sub /srv/bound rw - xfs /dev/vdb rw
31 27 254:1 / /srv/whole\040disk rw shared:7 master:2 - xfs /dev/vdb rw
32 27 254:0 /var/lib /mnt/again rw - ext4 /dev/vda rw
33 27 0:40 / /mnt/nfs rw - nfs4 server:/export rw,addr=192.0.2.1
34 27 0:41 / /mnt/below rw - ext4 /dev/vdc rw
35 34 0:42 / /mnt/below rw - cifs //server/share rw
36 27 0:43 / /run rw - tmpfs tmpfs rw
37 27 0:44 / /data rw - btrfs /dev/vdd rw
38 27 0:44 /home /home rw - btrfs /dev/vdd rw
39 27 0:45 / /tank rw - zfs tank rw
40 27 7:0 / /snap/core ro - squashfs /dev/loop0 ro
41 27 0:46 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw
42 27 0:47 / /mnt/ssh rw - fuse.sshfs host: rw
43 27 0:48 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
nonsense
44 27 0:49 / /mnt/auto rw - autofs systemd-1 rw
";

    #[test]
    fn real_file_systems_are_chosen_once_and_remote_ones_are_told_apart() {
        let mounts = parse(TABLE);
        let chosen: Vec<_> = file_systems(&mounts).into_iter().map(|(mount, reach)| (mount.mount_point.as_str(), reach)).collect();
        let expected = [
            ("/", Reach::Local),
            ("/srv/whole disk", Reach::Local),
            ("/mnt/nfs", Reach::Remote),
            ("/mnt/below", Reach::Remote),
            ("/data", Reach::Local),
            ("/tank", Reach::Local),
            ("/mnt/ssh", Reach::Remote),
        ];
        assert_eq!(chosen, expected);
    }

    #[test]
    fn the_root_is_told_whatever_it_is() {
        let mounts = parse("1 0 0:1 / / rw - rootfs rootfs rw\n2 1 0:2 / / rw - overlay overlay rw\n");
        assert_eq!(file_systems(&mounts).len(), 1);
        assert_eq!(file_systems(&mounts)[0].0.kind, "overlay");
    }

    #[test]
    fn the_number_of_file_systems_is_bounded() {
        let table: String = (0..1000).map(|n| format!("1 1 8:{n} / /mnt/{n} rw - ext4 /dev/sd{n} rw\n")).collect();
        assert_eq!(file_systems(&parse(&table)).len(), FILE_SYSTEMS_MAX);
    }

    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c\011\012"), "/a b\\c\t\n");
        assert_eq!(unescape(r"/a\04"), r"/a\04");
        assert_eq!(unescape(r"/a\777\"), r"/a\777\");
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_without_panic(text in "(?s).{0,200}", lines in "([0-9 :/a-z\\\\\\-]{0,60}\n){0,8}") {
            file_systems(&parse(&text));
            file_systems(&parse(&lines));
            unescape(&text);
        }
    }
}
