//! The serial console's log: a file in the console pool that libvirt's log daemon writes, bounds and rotates.

use crate::fault::refused;
use crate::storage::Pools;
use hvnode_core::port::CONSOLE_POOL;
use hvnode_core::{Result, fail};
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::Error;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;

/// Most bytes read at once, whatever is asked.
const READ_BYTES_MAX: u64 = 16 << 20;
/// Rotated files we look for: libvirt's log daemon keeps three unless told otherwise.
const ROTATED_MAX: u32 = 3;
/// Bytes taken from a stream at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Name of a VM's log in the pool.
pub(crate) fn log_name(vm_uuid: Uuid) -> String {
    format!("{vm_uuid}.log")
}

/// Name after `index` + 1 rotations.
fn rotated_name(vm_uuid: Uuid, index: u32) -> String {
    format!("{vm_uuid}.log.{index}")
}

/// The last bytes of a VM's console, oldest first.
///
/// # Errors
/// `VmConsoleUnavailable` if there is no log or it cannot be read.
pub(crate) fn read_log(connect: &Connect, pools: &Pools, vm_uuid: Uuid, bytes_max: u64) -> Result<Vec<u8>> {
    let wanted = bytes_max.min(READ_BYTES_MAX);
    let Some(log) = pools.find(connect, CONSOLE_POOL, &log_name(vm_uuid))? else {
        return Err(
            fail!(VmConsoleUnavailable, "it has no console log; VMs made by this node have one"; "没有控制台日志;由本节点创建的虚拟机才有"),
        );
    };
    let mut text = tail(connect, &log, wanted).map_err(refused!(VmConsoleUnavailable))?;
    for index in 0..ROTATED_MAX {
        let missing = wanted.saturating_sub(text.len() as u64);
        if missing == 0 {
            break;
        }
        if is_surely_absent(pools, vm_uuid, index)? {
            break;
        }
        let Some(older) = pools.find(connect, CONSOLE_POOL, &rotated_name(vm_uuid, index))? else { break };
        let mut older = tail(connect, &older, missing).map_err(refused!(VmConsoleUnavailable))?;
        older.append(&mut text);
        text = older;
    }
    Ok(text)
}

/// Removes a VM's log and what was rotated away from it.
///
/// # Errors
/// libvirt's as `Internal`.
pub(crate) fn remove_log(connect: &Connect, pools: &Pools, vm_uuid: Uuid) -> Result<()> {
    // The newest last: see `is_surely_absent`.
    for index in (0..ROTATED_MAX).rev() {
        if !is_surely_absent(pools, vm_uuid, index)? {
            pools.remove(connect, CONSOLE_POOL, &rotated_name(vm_uuid, index))?;
        }
    }
    pools.remove(connect, CONSOLE_POOL, &log_name(vm_uuid))
}

/// True if we see from here that there is no such rotated file: we see the log itself, so we look at the directory libvirt uses. It
/// saves libvirt from reading the whole directory to find out.
fn is_surely_absent(pools: &Pools, vm_uuid: Uuid, index: u32) -> Result<bool> {
    let directory = pools.directory(CONSOLE_POOL)?;
    let is_there = |name: String| directory.join(name).try_exists().ok();
    Ok(is_there(log_name(vm_uuid)) == Some(true) && is_there(rotated_name(vm_uuid, index)) == Some(false))
}

/// The last bytes of a file. It may grow meanwhile, or be rotated away; both give less, not an error.
fn tail(connect: &Connect, volume: &StorageVol, bytes_max: u64) -> Result<Vec<u8>, Error> {
    // For a raw file libvirt asks the file system each time.
    let size = volume.info()?.capacity;
    let length = size.min(bytes_max);
    if length == 0 {
        return Ok(Vec::new());
    }
    let stream = Stream::new(connect, 0)?;
    volume.download(&stream, size - length, length, 0)?;
    let mut text = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    while (text.len() as u64) < length {
        match stream.recv(&mut chunk).map(usize::try_from) {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => text.extend_from_slice(&chunk[..count.min(CHUNK_BYTES)]),
            // -2 would mean "nothing yet", which a blocking stream does not say, -3 a hole, which was not asked for.
            Ok(Err(_)) => {
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
    stream.finish()?;
    Ok(text)
}
