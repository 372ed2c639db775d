//! What the `virt` crate lacks or does unsoundly: events, close callbacks, statistics of many domains, leases, states. And calls of the
//! system that nobody wraps: an empty KVM machine, the allocator's settings, and giving memory back.
//!
//! Rules: a callback's opaque value is a number, never a pointer, so nothing can dangle and nothing needs freeing; no panic leaves a
//! callback; everything libvirt allocates is copied and freed before the function returns.
#![allow(unsafe_code, reason = "the only file of this workspace that calls C")]

use crate::event::{Notice, deliver};
use crate::state::RawState;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::network::Network;
use virt_sys as sys;

/// Names the receiver of a connection's callbacks; see [`crate::event`].
pub(crate) type Token = usize;

/// Reads the uuid of a domain that libvirt hands to a callback and tells the receiver. Never unwinds.
fn tell_domain(domain: sys::virDomainPtr, opaque: *mut c_void, notice: impl FnOnce(Uuid) -> Notice) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let mut bytes = [0u8; sys::VIR_UUID_BUFLEN as usize];
        // SAFETY: libvirt passes a valid domain that lives as long as the callback; the buffer has the documented length.
        let status = unsafe { sys::virDomainGetUUID(domain, bytes.as_mut_ptr()) };
        if status == 0 {
            deliver(opaque.addr(), notice(Uuid::from_bytes(bytes)));
        }
    }));
}

extern "C" fn on_lifecycle(_: sys::virConnectPtr, domain: sys::virDomainPtr, event: c_int, detail: c_int, opaque: *mut c_void) -> c_int {
    tell_domain(domain, opaque, |uuid| Notice::Lifecycle { uuid, event: event.cast_unsigned(), detail: detail.cast_unsigned() });
    0
}

extern "C" fn on_reboot(_: sys::virConnectPtr, domain: sys::virDomainPtr, opaque: *mut c_void) {
    tell_domain(domain, opaque, Notice::Reboot);
}

extern "C" fn on_io_error(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _path: *const c_char,
    _alias: *const c_char,
    action: c_int,
    _reason: *const c_char,
    opaque: *mut c_void,
) {
    let has_stopped = action.cast_unsigned() == sys::VIR_DOMAIN_EVENT_IO_ERROR_PAUSE;
    tell_domain(domain, opaque, |uuid| if has_stopped { Notice::IoError(uuid) } else { Notice::Other(uuid) });
}

extern "C" fn on_watchdog(_: sys::virConnectPtr, domain: sys::virDomainPtr, action: c_int, opaque: *mut c_void) {
    let is_reset = action.cast_unsigned() == sys::VIR_DOMAIN_EVENT_WATCHDOG_RESET;
    tell_domain(domain, opaque, |uuid| if is_reset { Notice::WatchdogReset(uuid) } else { Notice::Other(uuid) });
}

extern "C" fn on_agent(_: sys::virConnectPtr, domain: sys::virDomainPtr, _state: c_int, _reason: c_int, opaque: *mut c_void) {
    tell_domain(domain, opaque, Notice::Other);
}

extern "C" fn on_device(_: sys::virConnectPtr, domain: sys::virDomainPtr, _alias: *const c_char, opaque: *mut c_void) {
    tell_domain(domain, opaque, Notice::Other);
}

extern "C" fn on_metadata(_: sys::virConnectPtr, domain: sys::virDomainPtr, _kind: c_int, _uri: *const c_char, opaque: *mut c_void) {
    tell_domain(domain, opaque, Notice::Other);
}

extern "C" fn on_network(_: sys::virConnectPtr, _: sys::virNetworkPtr, _event: c_int, _detail: c_int, opaque: *mut c_void) {
    let _ = catch_unwind(AssertUnwindSafe(|| deliver(opaque.addr(), Notice::Network)));
}

extern "C" fn on_close(_: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    let _ = catch_unwind(AssertUnwindSafe(|| deliver(opaque.addr(), Notice::Closed)));
}

/// The callback type libvirt declares for every kind of domain event; the real one depends on the event's number.
type AnyDomainCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
/// The same for networks.
type AnyNetworkCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virNetworkPtr, *mut c_void);

macro_rules! any_callback {
    ($function:expr, $from:ty, $to:ty) => {{
        let function: $from = $function;
        // SAFETY: libvirt casts the pointer back to the type that belongs to the event's number before it calls it; the pairs of number
        // and type in `DOMAIN_EVENTS` and in `Registration::network` are those of libvirt's headers.
        unsafe { std::mem::transmute::<$from, $to>(function) }
    }};
}

type LifecycleCallback = extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type TwoNumbersCallback = extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void);
type NumberCallback = extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *mut c_void);
type TextCallback = extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
type NumberTextCallback = extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);
type IoErrorCallback =
    extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *const c_char, c_int, *const c_char, *mut c_void);
type NetworkCallback = extern "C" fn(sys::virConnectPtr, sys::virNetworkPtr, c_int, c_int, *mut c_void);

/// Every domain event we listen to.
fn domain_events() -> [(u32, AnyDomainCallback); 8] {
    [
        (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, any_callback!(on_lifecycle, LifecycleCallback, AnyDomainCallback)),
        (sys::VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot),
        (sys::VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, any_callback!(on_io_error, IoErrorCallback, AnyDomainCallback)),
        (sys::VIR_DOMAIN_EVENT_ID_WATCHDOG, any_callback!(on_watchdog, NumberCallback, AnyDomainCallback)),
        (sys::VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, any_callback!(on_agent, TwoNumbersCallback, AnyDomainCallback)),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, any_callback!(on_device, TextCallback, AnyDomainCallback)),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, any_callback!(on_device, TextCallback, AnyDomainCallback)),
        (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, any_callback!(on_metadata, NumberTextCallback, AnyDomainCallback)),
    ]
}

/// Callbacks of one connection. Taken back when dropped; libvirt keeps the connection's memory until then.
#[derive(Debug)]
pub(crate) struct Registration {
    connect: Connect,
    domain: Vec<c_int>,
    network: Option<c_int>,
    has_close: bool,
}

impl Registration {
    /// Listens for the end of `connect`, and for its events too if `with_events`.
    ///
    /// # Errors
    /// libvirt's, for the lifecycle event only. Drivers without the other kinds are used without them.
    pub(crate) fn new(connect: &Connect, token: Token, with_events: bool) -> Result<Self, Error> {
        let opaque = ptr::without_provenance_mut(token);
        let mut this = Self { connect: connect.clone(), domain: Vec::new(), network: None, has_close: false };
        // SAFETY: the connection is valid; the callback is a function, the opaque value a number and no free function is needed.
        let status = unsafe { sys::virConnectRegisterCloseCallback(connect.as_ptr(), Some(on_close), opaque, None) };
        this.has_close = status == 0;
        if !with_events {
            return Ok(this);
        }
        for (kind, callback) in domain_events() {
            // SAFETY: as above; a null domain means all domains, and the callback fits the kind.
            let id = unsafe {
                let connect = connect.as_ptr();
                sys::virConnectDomainEventRegisterAny(connect, ptr::null_mut(), kind.cast_signed(), Some(callback), opaque, None)
            };
            if id >= 0 {
                this.domain.push(id);
            } else if kind == sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE {
                return Err(Error::last_error());
            }
        }
        let callback = any_callback!(on_network, NetworkCallback, AnyNetworkCallback);
        let kind = sys::VIR_NETWORK_EVENT_ID_LIFECYCLE.cast_signed();
        // SAFETY: as above; a null network means all networks.
        let id = unsafe { sys::virConnectNetworkEventRegisterAny(connect.as_ptr(), ptr::null_mut(), kind, Some(callback), opaque, None) };
        this.network = (id >= 0).then_some(id);
        Ok(this)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: the connection is valid while `self.connect` holds it, and each number came from a registration on it. An error (the
        // connection is dead) leaves nothing to do: libvirt removes its local callback first.
        unsafe {
            let connect = self.connect.as_ptr();
            for id in self.domain.drain(..) {
                sys::virConnectDomainEventDeregisterAny(connect, id);
            }
            if let Some(id) = self.network.take() {
                sys::virConnectNetworkEventDeregisterAny(connect, id);
            }
            if self.has_close {
                sys::virConnectUnregisterCloseCallback(connect, Some(on_close));
            }
        }
    }
}

/// State and reason of a domain. `virt::domain::Domain::state` drops libvirt's error.
///
/// # Errors
/// libvirt's.
pub(crate) fn domain_state(domain: &Domain) -> Result<RawState, Error> {
    let (mut state, mut reason) = (0, 0);
    // SAFETY: the domain is valid and both pointers are to live integers.
    let status = unsafe { sys::virDomainGetState(domain.as_ptr(), &raw mut state, &raw mut reason, 0) };
    if status < 0 {
        return Err(Error::last_error());
    }
    Ok(RawState { state: state.cast_unsigned(), reason: reason.cast_unsigned() })
}

/// One value of a statistics record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StatValue {
    /// Any of libvirt's integer types.
    Number(u64),
    /// Text.
    Text(String),
}

/// Statistics of one domain, by libvirt's dotted names.
#[derive(Debug, Clone)]
pub(crate) struct DomainStats {
    /// Which domain.
    pub(crate) uuid: Uuid,
    /// libvirt's number of its run; absent while it is off.
    pub(crate) run_id: Option<u32>,
    /// `state.state`, `cpu.time`, `net.0.rx.bytes`, …
    pub(crate) values: HashMap<String, StatValue>,
}

/// Statistics of every domain in one call. `virt::connect::Connect::all_domain_stats` leaks every record.
///
/// # Errors
/// libvirt's.
pub(crate) fn all_domain_stats(connect: &Connect, groups: u32, flags: u32) -> Result<Vec<DomainStats>, Error> {
    let mut records: *mut sys::virDomainStatsRecordPtr = ptr::null_mut();
    // SAFETY: the connection is valid; on success libvirt fills `records` with `count` records and a final null.
    let count = unsafe { sys::virConnectGetAllDomainStats(connect.as_ptr(), groups, &raw mut records, flags) };
    // SAFETY: `records` is what the call left there for `count`.
    unsafe { take_records(records, count) }
}

/// Statistics of these domains, all of the same connection, in one call. Those that are gone are left out.
///
/// # Errors
/// libvirt's.
pub(crate) fn domain_stats(domains: &[Domain], groups: u32, flags: u32) -> Result<Vec<DomainStats>, Error> {
    if domains.is_empty() {
        return Ok(Vec::new());
    }
    let mut records: *mut sys::virDomainStatsRecordPtr = ptr::null_mut();
    // SAFETY: the array holds domains that live as long as `domains` and ends in null; on success libvirt fills `records` as above.
    let count = unsafe {
        let mut pointers: Vec<_> = domains.iter().map(|domain| domain.as_ptr()).chain([ptr::null_mut()]).collect();
        sys::virDomainListGetStats(pointers.as_mut_ptr(), groups, &raw mut records, flags)
    };
    // SAFETY: `records` is what the call left there for `count`.
    unsafe { take_records(records, count) }
}

/// Copies records and frees them.
///
/// # Safety
/// `records` holds `count` valid records and a final null, and nobody else frees it; it is not looked at where `count` is negative.
unsafe fn take_records(records: *mut sys::virDomainStatsRecordPtr, count: c_int) -> Result<Vec<DomainStats>, Error> {
    let Ok(count) = usize::try_from(count) else { return Err(Error::last_error()) };
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: `index < count`, so the record and its `nparams` parameters are valid until the list is freed below.
        let (domain, params) = unsafe {
            let record = &**records.add(index);
            let length = usize::try_from(record.nparams).unwrap_or(0);
            (record.dom, if length == 0 { &[][..] } else { std::slice::from_raw_parts(record.params, length) })
        };
        let mut bytes = [0u8; sys::VIR_UUID_BUFLEN as usize];
        // SAFETY: the record holds a valid domain; the buffer has the documented length. The number of the run comes with the record.
        let (status, run_id) = unsafe { (sys::virDomainGetUUID(domain, bytes.as_mut_ptr()), sys::virDomainGetID(domain)) };
        if status == 0 {
            let run_id = (run_id != u32::MAX).then_some(run_id);
            all.push(DomainStats { uuid: Uuid::from_bytes(bytes), run_id, values: params.iter().filter_map(stat_value).collect() });
        }
    }
    // SAFETY: the list came from libvirt, is freed once, and nothing borrowed from it is left.
    unsafe { sys::virDomainStatsRecordListFree(records) };
    Ok(all)
}

fn stat_value(param: &sys::virTypedParameter) -> Option<(String, StatValue)> {
    // SAFETY: `type_` says which member of the union is set, strings are never null and end in a null byte, as does the field name.
    unsafe {
        let number = |n: i64| u64::try_from(n).ok().map(StatValue::Number);
        let value = match param.type_.cast_unsigned() {
            sys::VIR_TYPED_PARAM_INT => number(i64::from(param.value.i))?,
            sys::VIR_TYPED_PARAM_UINT => StatValue::Number(u64::from(param.value.ui)),
            sys::VIR_TYPED_PARAM_LLONG => number(param.value.l)?,
            sys::VIR_TYPED_PARAM_ULLONG => StatValue::Number(param.value.ul),
            sys::VIR_TYPED_PARAM_BOOLEAN => StatValue::Number(u64::from(param.value.b != 0)),
            sys::VIR_TYPED_PARAM_STRING => StatValue::Text(text(param.value.s)?),
            _ => return None,
        };
        Some((text(param.field.as_ptr())?, value))
    }
}

/// # Safety
/// Null, or a string that ends in a null byte.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// A lease as libvirt tells it: Ethernet address and IP address.
///
/// # Errors
/// libvirt's.
pub(crate) fn dhcp_leases(network: &Network) -> Result<Vec<(String, String)>, Error> {
    let mut leases: *mut sys::virNetworkDHCPLeasePtr = ptr::null_mut();
    // SAFETY: the network is valid, a null address means all, and libvirt fills `leases` with `count` pointers.
    let count = unsafe { sys::virNetworkGetDHCPLeases(network.as_ptr(), ptr::null(), &raw mut leases, 0) };
    let Ok(count) = usize::try_from(count) else { return Err(Error::last_error()) };
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: `index < count`; each lease is valid, read, then freed once.
        unsafe {
            let lease = *leases.add(index);
            all.extend(text((*lease).mac).zip(text((*lease).ipaddr)));
            sys::virNetworkDHCPLeaseFree(lease);
        }
    }
    // SAFETY: the array itself was allocated by libvirt with malloc; null is fine.
    unsafe { libc::free(leases.cast()) };
    Ok(all)
}

/// Asks the kernel for an empty virtual machine and gives it back at once. `file` is /dev/kvm.
///
/// # Errors
/// Why the kernel has none to give.
pub(crate) fn create_empty_kvm_machine(file: &File) -> std::io::Result<()> {
    /// `_IO(KVMIO, 0x01)`.
    const KVM_CREATE_VM: libc::Ioctl = 0xAE01;
    // SAFETY: the descriptor is open; this request takes a plain number (0: the default machine type) and no pointer.
    let machine = unsafe { libc::ioctl(file.as_raw_fd(), KVM_CREATE_VM, 0) };
    if machine < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(machine) });
    Ok(())
}

/// Blocks from this size on are given back to the system as soon as they are freed. A log-in takes 19 MiB, a list of a thousand VMs less
/// than one.
#[cfg(target_env = "gnu")]
const GIVEN_BACK_BYTES: c_int = 1 << 20;
/// Most heaps; glibc makes eight for each processor, and each keeps what was freed in it.
#[cfg(target_env = "gnu")]
const HEAPS_MAX: c_int = 4;

/// Makes the C library's allocator fit a daemon that runs for months and is idle most of the time. By itself it takes the largest block
/// that was ever freed as a hint to keep such blocks, in every thread's heap: four log-ins at once, and 60 MiB stay for ever. To be called
/// before any thread starts; does nothing on other C libraries.
#[cfg(target_env = "gnu")]
pub fn keep_memory_small() {
    // SAFETY: these settings only change where and how long the allocator keeps memory, and no other thread is there to see them change.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_BYTES);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX);
    }
    note_what_is_loaded();
}

/// Other C libraries give memory of the heaps back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn keep_memory_small() {
    note_what_is_loaded();
}

/// Code and constants that were there when the program began: its own, and those of the libraries it is linked with. They stay where they
/// are as long as it runs; libraries that are opened later could go.
static LOADED: OnceLock<Vec<Range<usize>>> = OnceLock::new();

/// Gives back to the system what lies unused in the heaps, and lets go of the pages of code and constants that were loaded with the program.
/// Most of those were needed for the start alone; those that are used again come back one by one from the page cache. Lets go of none unless
/// [`keep_memory_small`] was called at the beginning.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches only free memory of the heaps, under their own locks.
    unsafe {
        libc::malloc_trim(0);
    }
    let map = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let loaded = LOADED.get().map_or(&[][..], Vec::as_slice);
    for Range { start, end } in unwritten(&map).filter(|range| loaded.contains(range)) {
        // SAFETY: a private mapping of a file that is never unmapped, is not writable, and has no page that differs from the file: what is let
        // go is read again from the file as soon as it is touched, this very code included. A refusal leaves everything as it is.
        let _refused = unsafe { libc::madvise(ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
    }
}

/// Remembers what is loaded now.
fn note_what_is_loaded() {
    let map = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    LOADED.get_or_init(|| map.lines().filter_map(pages_of).collect());
}

/// Of a memory map with its numbers (`smaps`): code and constants of which no page was ever written to.
fn unwritten(map: &str) -> impl Iterator<Item = Range<usize>> {
    let mut range = None;
    map.lines().filter_map(move |line| {
        match line.strip_prefix("Anonymous:") {
            None if line.contains('-') => range = pages_of(line),
            None => {}
            Some(written) if written.trim() == "0 kB" => return range.take(),
            Some(_) => range = None,
        }
        None
    })
}

/// The range of a line of the memory map, `5581…-5582… r-xp 00400000 fe:00 1234   /usr/sbin/hvnoded`, if it is code of a file, or what lies
/// before it from the file's beginning: constants. What is read-only further back was written to when the file was loaded.
fn pages_of(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (permissions, offset, _device, _inode) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_of_file = fields.next()?.starts_with('/');
    let is_beginning = offset.bytes().all(|digit| digit == b'0');
    let address = |text| usize::from_str_radix(text, 16).ok();
    if is_of_file && (permissions == "r-xp" || (permissions == "r--p" && is_beginning)) {
        Some(address(start)?..address(end)?)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_and_constants_of_files_are_let_go_of() {
        let line = |rest: &str| format!("55d0c0400000-55d0c0c00000 {rest}");
        let range = Some(0x55d0_c040_0000..0x55d0_c0c0_0000);
        // The last: a new version lies in its place already.
        for rest in [
            "r-xp 00400000 fe:00 131   /usr/sbin/hvnoded",
            "r--p 00000000 fe:00 9 /usr/lib/libvirt.so.0",
            "r-xp 00400000 fe:00 131  /x (deleted)",
        ] {
            assert_eq!(pages_of(&line(rest)), range, "{rest}");
        }
        let others = [
            "r--p 00400000 fe:00 131   /usr/sbin/hvnoded",
            "rw-p 00000000 fe:00 131   /usr/sbin/hvnoded",
            "r-xs 00000000 fe:00 131   /usr/sbin/hvnoded",
            "r-xp 00000000 00:00 0     [vdso]",
            "r-xp 00000000 00:00 0",
        ];
        for rest in others {
            assert_eq!(pages_of(&line(rest)), None, "{rest}");
        }
    }

    #[test]
    fn code_that_was_written_to_is_kept() {
        let map = "1000-2000 r-xp 00000000 fe:00 1 /a\nRss:  4 kB\nAnonymous:             0 kB\nVmFlags: rd ex mr-mw\n\
                   2000-3000 r-xp 00001000 fe:00 1 /a\nAnonymous:             4 kB\n\
                   3000-4000 rw-p 00002000 fe:00 1 /a\nAnonymous:             0 kB\n";
        let (kept, next) = {
            let mut all = unwritten(map);
            (all.next(), all.next())
        };
        assert_eq!((kept, next), (Some(0x1000..0x2000), None));
    }

    #[test]
    fn code_that_was_let_go_of_leaves_memory_and_runs_all_the_same() {
        note_what_is_loaded();
        let loaded = LOADED.get().unwrap();
        assert!(loaded.iter().any(|range| range.contains(&(note_what_is_loaded as *const () as usize))), "{loaded:?}");
        let resident = || -> usize {
            let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::env::current_exe().unwrap();
            let is_code = |line: &&str| line.contains(" r-xp ") && line.ends_with(&*program.to_string_lossy());
            let mut lines = text.lines().skip_while(|line| !is_code(line));
            let line = lines.find(|line| line.starts_with("Rss:")).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let sort = || -> Vec<String> {
            let mut words: Vec<String> = (0..100).map(|number| format!("{:03}", (number * 37) % 100)).collect();
            words.sort();
            words
        };
        let (before, first) = (resident(), sort());
        give_memory_back();
        let (after, again) = (resident(), sort());
        assert!(after < before, "{before} KiB before, {after} KiB after");
        assert_eq!(first, again);
    }
}
