//! Our three storage pools and the files in them. All through libvirt, so that this process needs no right to the directories.

use crate::config::PoolDirectories;
use crate::fault::{is_broken_connection, refused};
use crate::xml::{self, PoolOwner, VolumeXml};
use hvnode_core::model::{MEBIBYTE, PoolSpace};
use hvnode_core::port::{CONSOLE_POOL, IMAGES_POOL, VOLUMES_POOL, VolumeSpec};
use hvnode_core::{Result, fail};
use parking_lot::RwLock;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;

/// Bytes sent through a stream at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How long a refresh waits for volumes being made in the same pool; libvirt refuses it meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);
/// Rest between tries to refresh.
const REFRESH_REST: Duration = Duration::from_millis(50);
/// Less free space than this makes a failure count as "full".
const FULL_BYTES: u64 = MEBIBYTE;
/// Who may enter a pool's directory: its owner, and by known names QEMU's user.
const DIRECTORY_MODE: u32 = 0o711;

#[derive(Debug)]
struct Entry {
    name: &'static str,
    path: PathBuf,
    owner: Option<PoolOwner>,
    /// Held for reading while a volume is made, for writing while the pool is refreshed.
    lock: RwLock<()>,
}

/// Our pools.
#[derive(Debug)]
pub(crate) struct Pools {
    entries: [Entry; 3],
}

impl Pools {
    /// Pools in these directories.
    ///
    /// # Errors
    /// `ParameterInvalid` unless they are absolute and different.
    pub(crate) fn new(directories: &PoolDirectories) -> Result<Self> {
        let paths = [&directories.images, &directories.volumes, &directories.console];
        let is_text = |path: &Path| path.to_str().is_some_and(|text| text.chars().all(|c| !c.is_control()));
        let is_distinct = paths[0] != paths[1] && paths[1] != paths[2] && paths[0] != paths[2];
        if !is_distinct || paths.iter().any(|path| !path.is_absolute() || !is_text(path)) {
            return Err(fail!(
                ParameterInvalid,
                "pool directories must be three different absolute paths without control characters";
                "存储池目录须为三个不同的、不含控制字符的绝对路径"
            ));
        }
        // Images are fetched by this process itself; everything else is touched by libvirt and QEMU only.
        let owner = PoolOwner { mode: DIRECTORY_MODE, user: nix::unistd::getuid().as_raw(), group: nix::unistd::getgid().as_raw() };
        let entry = |name, path: &PathBuf, owner| Entry { name, path: path.clone(), owner, lock: RwLock::new(()) };
        Ok(Self {
            entries: [entry(IMAGES_POOL, paths[0], Some(owner)), entry(VOLUMES_POOL, paths[1], None), entry(CONSOLE_POOL, paths[2], None)],
        })
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| fail!(ParameterInvalid, "not a pool of this node"; "不是本节点的存储池"))
    }

    /// Makes sure all three exist, are active, start with libvirt, and have their directory.
    ///
    /// # Errors
    /// `AlreadyExist` if a pool of that name lies elsewhere; libvirt's as `Internal`.
    pub(crate) fn ensure_all(&self, connect: &Connect) -> Result<()> {
        self.entries.iter().try_for_each(|entry| entry.ensure(connect).map(drop))
    }

    /// Space of all three.
    ///
    /// # Errors
    /// libvirt's as `Internal`.
    pub(crate) fn space(&self, connect: &Connect) -> Result<Vec<PoolSpace>> {
        let space = |entry: &Entry| {
            let info = entry.open(connect)?.info().map_err(refused!(Internal))?;
            Ok(PoolSpace {
                pool_name: entry.name.to_owned(),
                path: entry.path.to_string_lossy().into_owned(),
                capacity_bytes: info.capacity,
                available_bytes: info.available,
            })
        };
        self.entries.iter().map(space).collect()
    }

    /// Directory of one of them.
    ///
    /// # Errors
    /// `ParameterInvalid` if it is not ours.
    pub(crate) fn directory(&self, pool_name: &str) -> Result<&Path> {
        Ok(&self.entry(pool_name)?.path)
    }

    /// A volume by name, `None` if there is none, also after a refresh.
    ///
    /// # Errors
    /// `ParameterInvalid` for a bad name; libvirt's as `Internal`.
    pub(crate) fn find(&self, connect: &Connect, pool_name: &str, file_name: &str) -> Result<Option<StorageVol>> {
        check_file_name(file_name)?;
        let entry = self.entry(pool_name)?;
        // Most often it is there, in a pool that is active, and this is enough.
        if let Ok(volume) = entry.handle(connect).and_then(|pool| pool.lookup_storage_vol_by_name(file_name)) {
            return Ok(Some(volume));
        }
        let pool = entry.open(connect)?;
        if let Some(volume) = known(&pool, file_name)? {
            return Ok(Some(volume));
        }
        entry.refresh(&pool)?;
        known(&pool, file_name)
    }

    /// Makes a disk.
    ///
    /// # Errors
    /// `VolumeAlreadyExist` if one of that name differs, `StorageFull`, `ParameterInvalid`; libvirt's as `Internal`.
    pub(crate) fn ensure_volume(&self, connect: &Connect, spec: &VolumeSpec) -> Result<()> {
        let backing = spec.backing.as_ref().map(|(path, format)| (path.as_str(), format.as_str()));
        let wanted = VolumeXml { name: &spec.file_name, capacity_bytes: spec.storage_bytes, format: "qcow2", backing };
        self.ensure(connect, &spec.pool_name, &wanted)
    }

    /// Makes an empty raw file unless there is a file of that name, whatever is in it.
    ///
    /// # Errors
    /// As [`Pools::ensure_volume`].
    pub(crate) fn ensure_log(&self, connect: &Connect, file_name: &str) -> Result<()> {
        self.ensure(connect, CONSOLE_POOL, &VolumeXml { name: file_name, capacity_bytes: 0, format: "raw", backing: None })
    }

    fn ensure(&self, connect: &Connect, pool_name: &str, wanted: &VolumeXml<'_>) -> Result<()> {
        check_file_name(wanted.name)?;
        let entry = self.entry(pool_name)?;
        // Most often there is no such file yet, and the pool is active.
        if let Ok(pool) = entry.handle(connect)
            && entry.create(&pool, wanted)?.is_ok()
        {
            return Ok(());
        }
        let pool = entry.open(connect)?;
        if let Some(volume) = known(&pool, wanted.name)? {
            return check_same(&volume, wanted);
        }
        let Err(error) = entry.create(&pool, wanted)? else { return Ok(()) };
        // The file may be there without libvirt knowing, left by a crash or made by somebody else.
        entry.refresh(&pool)?;
        match known(&pool, wanted.name)? {
            Some(volume) => check_same(&volume, wanted),
            None => Err(entry.failure(&pool, FULL_BYTES, error)),
        }
    }

    /// Makes a raw file with this content, in the place of one of that name.
    ///
    /// # Errors
    /// `StorageFull`, `ParameterInvalid`; libvirt's as `Internal`.
    pub(crate) fn ensure_file(&self, connect: &Connect, pool_name: &str, file_name: &str, content: &[u8]) -> Result<()> {
        self.remove(connect, pool_name, file_name)?;
        let entry = self.entry(pool_name)?;
        let pool = entry.open(connect)?;
        let length = content.len() as u64;
        let wanted = VolumeXml { name: file_name, capacity_bytes: length, format: "raw", backing: None };
        let uploaded = match entry.create(&pool, &wanted)? {
            Ok(volume) => upload(connect, &volume, content).inspect_err(|_| drop(volume.delete(0))),
            Err(error) => Err(error),
        };
        uploaded.map_err(|error| entry.failure(&pool, length.saturating_add(FULL_BYTES), error))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `ParameterInvalid`; libvirt's as `Internal`.
    pub(crate) fn remove(&self, connect: &Connect, pool_name: &str, file_name: &str) -> Result<()> {
        let Some(volume) = self.find(connect, pool_name, file_name)? else { return Ok(()) };
        match volume.delete(0) {
            Err(error) if !error.code().is(ErrorNumber::NoStorageVolume) => Err(refused!(Internal)(error)),
            _ => Ok(()),
        }
    }

    /// File names, after a refresh.
    ///
    /// # Errors
    /// `ParameterInvalid`; libvirt's as `Internal`.
    pub(crate) fn list(&self, connect: &Connect, pool_name: &str) -> Result<Vec<String>> {
        let entry = self.entry(pool_name)?;
        let pool = entry.open(connect)?;
        entry.refresh(&pool)?;
        let volumes = pool.list_all_volumes(0).map_err(refused!(Internal))?;
        volumes.iter().map(|volume| volume.name().map_err(refused!(Internal))).collect()
    }
}

impl Entry {
    /// The pool as libvirt has it, active or not.
    fn handle(&self, connect: &Connect) -> Result<StoragePool, Error> {
        connect.lookup_storage_pool_by_name(self.name)
    }

    /// The pool, active; made or started where it is not.
    fn open(&self, connect: &Connect) -> Result<StoragePool> {
        match self.handle(connect) {
            Ok(pool) if pool.is_active().unwrap_or(false) => Ok(pool),
            _ => self.ensure(connect),
        }
    }

    fn ensure(&self, connect: &Connect) -> Result<StoragePool> {
        let pool = match self.handle(connect) {
            Ok(pool) => pool,
            Err(error) if error.code().is(ErrorNumber::NoStoragePool) => self.define(connect)?,
            Err(error) => return Err(refused!(Internal)(error)),
        };
        self.check_path(&pool)?;
        // A refresh fails, and stops the pool, if the directory is gone.
        if pool.is_active().map_err(refused!(Internal))? && self.refresh(&pool).is_err() {
            tracing::warn!(pool = self.name, "the pool's directory cannot be read; making it again");
        }
        if !pool.is_active().map_err(refused!(Internal))? {
            pool.build(0).map_err(refused!(Internal))?;
            match pool.create(0) {
                // Somebody else was faster.
                Err(error) if error.code().is(ErrorNumber::OperationInvalid) => {}
                other => other.map_err(refused!(Internal))?,
            }
        }
        if !pool.autostart().map_err(refused!(Internal))? {
            pool.set_autostart(true).map_err(refused!(Internal))?;
        }
        Ok(pool)
    }

    fn define(&self, connect: &Connect) -> Result<StoragePool> {
        let xml = xml::pool_xml(self.name, &self.path, self.owner)?;
        connect.define_storage_pool_xml(&xml, 0).map_err(refused!(Internal))
    }

    fn check_path(&self, pool: &StoragePool) -> Result<()> {
        let xml = pool.xml_desc(0).map_err(refused!(Internal))?;
        let found = xml::pool_target_path(&xml)?.unwrap_or_default();
        // Compared by components, so that a slash at the end makes no difference.
        if Path::new(&found) == self.path {
            return Ok(());
        }
        let (name, wanted) = (self.name, self.path.display().to_string());
        Err(fail!(
            AlreadyExist,
            "libvirt has a pool {name} in {found}; this node's configuration says {wanted}. Remove the pool or change the configuration";
            "libvirt 中存储池 {name} 位于 {found},而本节点配置为 {wanted}。请删除该存储池或修改配置"
        ))
    }

    /// Makes a volume; libvirt's refusal is the inner result.
    fn create(&self, pool: &StoragePool, wanted: &VolumeXml<'_>) -> Result<Result<StorageVol, Error>> {
        let xml = xml::volume_xml(wanted)?;
        let _guard = self.lock.try_read_for(PATIENCE).ok_or_else(|| self.busy())?;
        Ok(StorageVol::create_xml(pool, &xml, 0))
    }

    /// Lets libvirt look at the directory again.
    fn refresh(&self, pool: &StoragePool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let _guard = self.lock.try_write_for(PATIENCE).ok_or_else(|| self.busy())?;
        loop {
            match pool.refresh(0) {
                Ok(()) => return Ok(()),
                // Other clients make volumes too. The number is that of many faults, so it is only worth a few tries.
                Err(error) if error.code().is(ErrorNumber::InternalError) && !is_broken_connection(&error) && Instant::now() < deadline => {
                    std::thread::park_timeout(REFRESH_REST);
                }
                Err(error) => return Err(refused!(Internal)(error)),
            }
        }
    }

    fn busy(&self) -> hvnode_core::AgentError {
        let name = self.name;
        fail!(ResourceBusy, "storage pool {name} is busy making volumes"; "存储池 {name} 正忙于创建卷")
    }

    /// A failure to write: `StorageFull` if there is less space than was needed. libvirt has no number for that.
    fn failure(&self, pool: &StoragePool, needed_bytes: u64, error: Error) -> hvnode_core::AgentError {
        let _ = self.refresh(pool);
        if pool.info().is_ok_and(|info| info.available < needed_bytes) {
            return fail!(StorageFull).caused_by(error);
        }
        refused!(Internal)(error)
    }
}

/// The volume as far as libvirt knows without looking.
fn known(pool: &StoragePool, file_name: &str) -> Result<Option<StorageVol>> {
    match pool.lookup_storage_vol_by_name(file_name) {
        Ok(volume) => Ok(Some(volume)),
        Err(error) if error.code().is(ErrorNumber::NoStorageVolume) => Ok(None),
        Err(error) => Err(refused!(Internal)(error)),
    }
}

/// A volume that is there is fine if it could be the one wanted. Raw files may have grown.
fn check_same(volume: &StorageVol, wanted: &VolumeXml<'_>) -> Result<()> {
    let found = xml::parse_volume(&volume.xml_desc(0).map_err(refused!(Internal))?)?;
    let backing = wanted.backing.map(|(path, _)| Path::new(path));
    let is_same_size = wanted.format == "raw" || found.capacity_bytes == wanted.capacity_bytes.next_multiple_of(512);
    if found.format == wanted.format && is_same_size && found.backing_path.as_deref().map(Path::new) == backing {
        return Ok(());
    }
    let name = wanted.name;
    Err(
        fail!(VolumeAlreadyExist, "a file {name} of another size, format or origin is in the pool"; "存储池中已有大小、格式或来源不同的文件 {name}"),
    )
}

/// Refuses what is not one plain file name.
fn check_file_name(name: &str) -> Result<()> {
    let is_plain = !name.is_empty() && name.len() <= 255 && name != "." && name != "..";
    if is_plain && !name.chars().any(|c| c == '/' || c.is_control()) {
        return Ok(());
    }
    Err(
        fail!(ParameterInvalid, "a file name in a pool is 1-255 bytes without / and control characters"; "存储池中的文件名须为 1-255 字节,不含 / 和控制字符"),
    )
}

fn upload(connect: &Connect, volume: &StorageVol, content: &[u8]) -> Result<(), Error> {
    let stream = Stream::new(connect, 0)?;
    volume.upload(&stream, 0, content.len() as u64, 0)?;
    for chunk in content.chunks(CHUNK_BYTES) {
        let mut rest = chunk;
        while !rest.is_empty() {
            match stream.send(rest).map(usize::try_from) {
                Ok(Ok(sent)) if sent > 0 => rest = &rest[sent.min(rest.len())..],
                Ok(_) => {
                    let error = Error::last_error();
                    let _ = stream.abort();
                    return Err(error);
                }
                Err(error) => {
                    let _ = stream.abort();
                    return Err(error);
                }
            }
        }
    }
    stream.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::ErrorCode;

    fn directories(images: &str, volumes: &str, console: &str) -> PoolDirectories {
        PoolDirectories { images: images.into(), volumes: volumes.into(), console: console.into() }
    }

    #[test]
    fn pool_directories_must_be_absolute_and_different() {
        assert!(Pools::new(&directories("/a", "/b", "/c")).is_ok());
        for bad in [directories("a", "/b", "/c"), directories("/a", "/a", "/c"), directories("/a", "/b", "/c\n")] {
            assert_eq!(Pools::new(&bad).unwrap_err().code(), ErrorCode::ParameterInvalid);
        }
    }

    #[test]
    fn only_plain_file_names_reach_libvirt() {
        for bad in ["", ".", "..", "a/b", "../x", "a\nb", &"x".repeat(256)] {
            assert_eq!(check_file_name(bad).unwrap_err().code(), ErrorCode::ParameterInvalid, "{bad:?}");
        }
        assert!(check_file_name("a b-ü.qcow2").is_ok());
    }

    #[test]
    fn a_pool_of_our_name_elsewhere_is_refused_with_both_paths() {
        let connect = Connect::open(Some("test:///default")).unwrap();
        let pools = Pools::new(&directories("/one/images", "/one/volumes", "/one/console")).unwrap();
        let elsewhere = xml::pool_xml(IMAGES_POOL, Path::new("/elsewhere"), None).unwrap();
        let pool = connect.define_storage_pool_xml(&elsewhere, 0).unwrap();
        let error = pools.ensure_all(&connect).unwrap_err();
        assert_eq!(error.code(), ErrorCode::AlreadyExist);
        assert!(error.message().contains("/elsewhere") && error.message().contains("/one/images"));
        pool.undefine().unwrap();
    }
}
