//! The unfinished file `<path>.part` and the note `<path>.part.json` that says what it is the beginning of.

use crate::checksum::{Hashes, Wanted, sha256_hex};
use crate::config::ImageConfig;
use crate::watch::{check_cancel, on_thread};
use bytes::Bytes;
use hvnode_core::model::ImageFormat;
use hvnode_core::port::TransferControl;
use hvnode_core::{AgentError, Result, fail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::statvfs::fstatvfs;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, Permissions};
use std::future::Future;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Bytes read or copied between two looks at the cancel flag.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// What an unfinished file is the beginning of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Note {
    /// SHA-256 of the URL: the URL itself may hold secrets.
    url_sha256: String,
    /// Boot of the machine that wrote it. After power loss the file may have its length and not its bytes: it is never resumed then.
    boot_id: String,
    /// The server's strong tag of the content.
    pub(crate) etag: Option<String>,
    /// When the server says it was last changed.
    pub(crate) last_modified: Option<String>,
}

impl Note {
    pub(crate) fn new(url: &str) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { url_sha256: sha256_hex(url), boot_id: boot_id.trim().to_owned(), ..Self::default() }
    }

    /// What to ask the server to compare; without it nothing can be resumed.
    pub(crate) fn validator(&self) -> Option<&str> {
        self.etag.as_deref().or(self.last_modified.as_deref())
    }

    fn is_same_source(&self, other: &Self) -> bool {
        self.url_sha256 == other.url_sha256 && self.boot_id == other.boot_id && !self.boot_id.is_empty()
    }
}

/// The unfinished file. All methods block.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    bytes: u64,
    hashes: Hashes,
    wanted: Option<Wanted>,
    /// What it is the beginning of; kept with it.
    pub(crate) note: Note,
}

impl Part {
    /// Opens what is left of an earlier transfer of the same URL, or an empty file.
    pub(crate) fn open(target: &Path, url: &str, wanted: Option<Wanted>, control: &TransferControl) -> Result<Self> {
        let path = part_path(target);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(own_file_failed)?;
        let note = Note::new(url);
        let mut part = Self { file, path, bytes: 0, hashes: Hashes::new(wanted.as_ref()), wanted, note };
        let earlier = std::fs::read(note_path(target)).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        match earlier {
            Some(earlier) if earlier.is_same_source(&part.note) && earlier.validator().is_some() => {
                part.note = earlier;
                (part.bytes, part.hashes) = hash(&mut part.file, part.wanted.as_ref(), control)?;
            }
            _ => part.restart()?,
        }
        Ok(part)
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Empties it and forgets what it was the beginning of.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.bytes = 0;
        self.hashes = Hashes::new(self.wanted.as_ref());
        self.note = Note { etag: None, last_modified: None, ..self.note.clone() };
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(own_file_failed)
    }

    /// Writes down what it is the beginning of. Only for an empty file: the note must never speak of other bytes.
    pub(crate) fn write_note(&self) -> Result<()> {
        let text = serde_json::to_vec(&self.note).map_err(|error| fail!(Internal, "a note cannot be encoded").caused_by(error))?;
        // <path>.part → <path>.part.json
        let mut path = self.path.as_os_str().to_owned();
        path.push(".json");
        let written = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
        written.and_then(|mut file| file.write_all(&text)).map_err(own_file_failed)
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(own_file_failed)?;
        self.hashes.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Appends what `copy` puts into the file without showing the bytes to us, then hashes all of it.
    pub(crate) fn fill(&mut self, control: &TransferControl, copy: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        copy(&mut self.file)?;
        (self.bytes, self.hashes) = hash(&mut self.file, self.wanted.as_ref(), control)?;
        Ok(())
    }

    /// Refuses to begin what will not fit.
    pub(crate) fn check_space(&self, config: &ImageConfig, more_bytes: u64) -> Result<()> {
        let space = fstatvfs(&self.file).map_err(|errno| own_file_failed(errno.into()))?;
        let free = u128::from(space.blocks_available()) * u128::from(space.fragment_size());
        if u128::from(more_bytes) + u128::from(config.keep_free_bytes) > free { Err(fail!(RepositoryFull)) } else { Ok(()) }
    }

    /// Compares checksums, closes the file and gives `sha256:<hex>`.
    pub(crate) fn verify(self) -> Result<String> {
        self.hashes.verify(self.wanted.as_ref())
    }
}

/// Chunks between who receives and the disk.
const CHUNKS_MAX: usize = 16;
/// Bytes written between two looks at the space that must be left.
const SPACE_CHECK_BYTES: u64 = 64 << 20;

/// A thread that writes and hashes, and where its chunks are put in. The part comes back with how the writing went.
pub(crate) fn writer(
    config: &Arc<ImageConfig>,
    part: Part,
) -> (mpsc::Sender<Bytes>, impl Future<Output = Result<(Part, Result<()>)>> + Send + use<>) {
    let (chunks, mut queue) = mpsc::channel::<Bytes>(CHUNKS_MAX);
    let config = Arc::clone(config);
    let writing = on_thread("image-write", move || {
        let mut part = part;
        let mut next_check = part.bytes() + SPACE_CHECK_BYTES;
        while let Some(chunk) = queue.blocking_recv() {
            let mut written = part.write(&chunk);
            if written.is_ok() && part.bytes() >= next_check {
                // Where the length was not announced, nobody has asked yet.
                written = part.check_space(&config, 0);
                next_check = part.bytes() + SPACE_CHECK_BYTES;
            }
            if let Err(error) = written {
                return Ok((part, Err(error)));
            }
        }
        Ok((part, Ok(())))
    });
    (chunks, writing)
}

/// Path of the unfinished file.
pub(crate) fn part_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn note_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part.json");
    name.into()
}

/// Puts the finished file in place so that it survives power loss; readable by QEMU's user.
pub(crate) fn publish(target: &Path) -> Result<()> {
    let part = part_path(target);
    let folder = target.parent().unwrap_or(Path::new("/"));
    let place = || {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&part)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&part, target)?;
        File::open(folder)?.sync_all()
    };
    place().map_err(own_file_failed)?;
    remove(&note_path(target))
}

/// Removes the unfinished file and its note.
pub(crate) fn discard_part(target: &Path) -> Result<()> {
    // The note goes last: a note without a file is harmless, and so is a file without a note.
    remove(&part_path(target))?;
    remove(&note_path(target))
}

/// Removes a file; fine if there is none.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let shown = path.display();
            Err(fail!(Internal, "{shown} cannot be removed"; "无法删除 {shown}").caused_by(error))
        }
    }
}

/// Reads the whole file; leaves the position at its end.
pub(crate) fn hash(file: &mut File, wanted: Option<&Wanted>, control: &TransferControl) -> Result<(u64, Hashes)> {
    let mut hashes = Hashes::new(wanted);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    file.seek(SeekFrom::Start(0)).map_err(own_file_failed)?;
    loop {
        check_cancel(control)?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hashes)),
            Ok(count) => {
                hashes.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(own_file_failed(error)),
        }
    }
}

/// Counts bytes for whoever watches.
pub(crate) fn report(control: &TransferControl, done_bytes: u64) {
    control.done_bytes.store(done_bytes, Ordering::Relaxed);
}

/// A partial file that nobody has written to for this long belongs to no transfer that runs.
const STRAY_AGE: Duration = Duration::from_secs(3600);

/// Removes partial files of images that are not `known`, and only those: `<uuid>.<format>.part` and their notes.
pub(crate) fn remove_strays(directory: &Path, known: &[Uuid]) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(own_file_failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(own_file_failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_stray(&name, known) && is_old(&entry) {
            remove(&entry.path())?;
            removed.push(name);
        }
    }
    Ok(removed)
}

fn is_stray(name: &str, known: &[Uuid]) -> bool {
    let Some(image) = name.strip_suffix(".part").or_else(|| name.strip_suffix(".part.json")) else { return false };
    let Some((uuid, format)) = image.split_once('.') else { return false };
    let is_ours = ImageFormat::ALL.iter().any(|f| f.word() == format);
    is_ours && Uuid::parse_str(uuid).is_ok_and(|uuid| !known.contains(&uuid))
}

/// Anything that cannot be told counts as young: in doubt it stays.
fn is_old(entry: &std::fs::DirEntry) -> bool {
    let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > STRAY_AGE)
}

/// Errors of our own files: out of space is told apart.
pub(crate) fn own_file_failed(error: std::io::Error) -> AgentError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => fail!(RepositoryFull).caused_by(error),
        _ => {
            fail!(ImageDownloadFailed, "the image file on this node cannot be read or written"; "无法读写本节点的镜像文件").caused_by(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn only_old_partial_files_of_unknown_images_go() {
        let directory = tempfile::tempdir().unwrap();
        let (known, forgotten, young) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let old = SystemTime::now() - STRAY_AGE * 2;
        let names = [
            (format!("{known}.qcow2.part"), old),
            (format!("{forgotten}.qcow2.part"), old),
            (format!("{forgotten}.qcow2.part.json"), old),
            (format!("{forgotten}.qcow2"), old),
            (format!("{forgotten}.other.part"), old),
            ("somebody-elses.part".to_owned(), old),
            (format!("{young}.raw.part"), SystemTime::now()),
        ];
        for (name, time) in &names {
            File::create(directory.path().join(name)).unwrap().set_modified(*time).unwrap();
        }
        let mut removed = remove_strays(directory.path(), &[known]).unwrap();
        removed.sort();
        assert_eq!(removed, [names[1].0.clone(), names[2].0.clone()]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), names.len() - 2);
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_strays() {
        assert_eq!(remove_strays(Path::new("/no/such/folder"), &[]).unwrap(), Vec::<String>::new());
    }
}
