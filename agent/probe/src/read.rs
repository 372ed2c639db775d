//! Reading the kernel's small files cheaply: relative to an open directory, into one buffer that is used again and again.
//!
//! What cannot be read is absent. A file may vanish between any two calls, with its process or its device.

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// First size of a buffer: more than most of these files hold.
const BUFFER_BYTES: usize = 8 << 10;
/// No file of interest is larger; what is beyond is not read.
const FILE_BYTES_MAX: usize = 8 << 20;

/// Where `proc` and `sys` are: the machine's own root, but in tests.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The path of what the kernel knows under `absolute`.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// A whole file, as text. For the host's files, of which there are few.
    pub(crate) fn read(&self, absolute: &str) -> Option<String> {
        let mut buffer = Buffer::default();
        let bytes = Dir::open(&self.0)?.read(absolute.trim_start_matches('/'), &mut buffer).ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Room for one file.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER_BYTES])
    }
}

/// An open directory: what is read through it belongs to the process or group it was opened for, even if the name is given to another one
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

impl Dir {
    pub(crate) fn open(path: &Path) -> Option<Self> {
        nix::fcntl::open(path, Self::FLAGS, Mode::empty()).ok().map(Self)
    }

    pub(crate) fn open_in(&self, name: &str) -> Option<Self> {
        openat(&self.0, name, Self::FLAGS, Mode::empty()).ok().map(Self)
    }

    const FLAGS: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

    /// A whole file.
    pub(crate) fn read<'a>(&self, name: &str, buffer: &'a mut Buffer) -> Result<&'a [u8], Errno> {
        self.fill(name, buffer, false)
    }

    /// A file that the kernel hands out in one piece: spares the call that would only find its end.
    pub(crate) fn read_small<'a>(&self, name: &str, buffer: &'a mut Buffer) -> Result<&'a [u8], Errno> {
        self.fill(name, buffer, true)
    }

    /// The same as text.
    pub(crate) fn text<'a>(&self, name: &str, buffer: &'a mut Buffer) -> Option<Cow<'a, str>> {
        self.read_small(name, buffer).ok().map(String::from_utf8_lossy)
    }

    fn fill<'a>(&self, name: &str, Buffer(bytes): &'a mut Buffer, in_one_piece: bool) -> Result<&'a [u8], Errno> {
        // not to wait for the other end should a name lead to a pipe
        let file = openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?;
        let mut length = 0;
        loop {
            match nix::unistd::read(&file, &mut bytes[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error),
            }
            let is_full = length == bytes.len();
            if is_full && length >= FILE_BYTES_MAX || in_one_piece && !is_full {
                break;
            }
            if is_full {
                bytes.resize(length * 2, 0);
            }
        }
        Ok(&bytes[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_longer_than_the_buffer_are_read_whole_and_missing_ones_are_absent() {
        let folder = tempfile::tempdir().unwrap();
        let long = "line\n".repeat(10_000);
        std::fs::write(folder.path().join("long"), &long).unwrap();
        std::fs::write(folder.path().join("short"), "x").unwrap();
        let (dir, mut buffer) = (Dir::open(folder.path()).unwrap(), Buffer::default());
        assert_eq!(dir.read("long", &mut buffer).unwrap(), long.as_bytes());
        assert_eq!(dir.read("short", &mut buffer).unwrap(), b"x");
        assert_eq!(dir.read_small("long", &mut buffer).unwrap(), long.as_bytes());
        assert_eq!(dir.read("none", &mut buffer).unwrap_err(), Errno::ENOENT);
        assert!(Dir::open(&folder.path().join("none")).is_none() && Dir::open(&folder.path().join("short")).is_none());
        assert_eq!(Root::new(folder.path().into()).read("/short").as_deref(), Some("x"));
    }
}
