//! The compact form of a point of usage, for history in memory and on disk: about 50 bytes for an idle VM, 75 for a busy one.
//!
//! The time is not in it: what keeps points has it in its key, and gives it back for reading. Numbers are kept as finely as a curve needs:
//! percents to 0.01, rates to 0.001 per second and five digits, memory to a KiB, processor time to a millisecond. What is more than zero
//! stays so, and what is absent stays absent.

use super::{CpuModes, DiskRates, MemoryView, NicRates, UsagePoint};
use crate::model::{MacAddress, Timestamp};

/// First byte. Another version is not read.
const VERSION: u8 = 1;
/// Largest percentage, in hundredths.
const PERCENT_MAX: u64 = 10_000;
/// Rates have at most five digits and a power of ten below sixteen: three bytes as a varint.
const DIGITS_MAX: u64 = 99_999;
/// What QEMU's addresses begin with.
const QEMU_PREFIX: [u8; 3] = [0x52, 0x54, 0x00];

/// Bits that say which fields follow, in this order.
mod flag {
    pub(super) const CPU_TIME: u16 = 1;
    pub(super) const CPU_USAGE: u16 = 1 << 1;
    pub(super) const CPU_DELAY: u16 = 1 << 2;
    pub(super) const CPU_MODES: u16 = 1 << 3;
    pub(super) const MEMORY: u16 = 1 << 4;
    pub(super) const MEMORY_USED: u16 = 1 << 5;
    pub(super) const MEMORY_AVAILABLE: u16 = 1 << 6;
    pub(super) const MEMORY_RESIDENT: u16 = 1 << 7;
    pub(super) const SWAP_IN: u16 = 1 << 8;
    pub(super) const SWAP_OUT: u16 = 1 << 9;
    pub(super) const GUEST_VIEW: u16 = 1 << 10;
    pub(super) const ALL: u16 = (1 << 11) - 1;
}

/// The compact form of `point`, without its time.
pub fn encode(point: &UsagePoint) -> Vec<u8> {
    let mut out = Encoder { bytes: Vec::with_capacity(96), flags: 0 };
    out.bytes.extend([VERSION, 0, 0]);
    out.option(flag::CPU_TIME, point.cpu_time_nanoseconds, |out, time| out.integer(time / 1_000_000));
    out.option(flag::CPU_USAGE, point.cpu_usage_percent, Encoder::percent);
    out.option(flag::CPU_DELAY, point.cpu_delay_percent, Encoder::percent);
    out.option(flag::CPU_MODES, point.cpu_modes, |out, modes| {
        for percent in [modes.user_percent, modes.system_percent, modes.iowait_percent, modes.steal_percent] {
            out.percent(percent);
        }
    });
    out.option(flag::MEMORY, point.memory_bytes, Encoder::memory);
    out.option(flag::MEMORY_USED, point.memory_used_bytes, Encoder::memory);
    out.option(flag::MEMORY_AVAILABLE, point.memory_available_bytes, Encoder::memory);
    out.option(flag::MEMORY_RESIDENT, point.memory_resident_bytes, Encoder::memory);
    out.option(flag::SWAP_IN, point.swap_in_bytes, Encoder::rate);
    out.option(flag::SWAP_OUT, point.swap_out_bytes, Encoder::rate);
    if point.memory_view == MemoryView::Guest {
        out.flags |= flag::GUEST_VIEW;
    }
    out.list(&point.core_usage_percents, |out, percent| out.percent(*percent));
    out.list(&point.disks, |out, disk| {
        out.text(&disk.device);
        out.rates(&[disk.read_bytes, disk.write_bytes, disk.read_requests, disk.write_requests]);
    });
    out.list(&point.nics, Encoder::nic);
    let [low, high] = out.flags.to_le_bytes();
    (out.bytes[1], out.bytes[2]) = (low, high);
    out.bytes
}

/// The point that [`encode`] gave `bytes` for, at `time`. `None` for another version and for what is damaged.
pub fn decode(bytes: &[u8], time: Timestamp) -> Option<UsagePoint> {
    let (&[VERSION, low, high], rest) = bytes.split_first_chunk()? else { return None };
    let flags = u16::from_le_bytes([low, high]);
    let mut rest = Decoder { rest, flags };
    let point = UsagePoint {
        time,
        // Fields are read in the order they stand in.
        cpu_time_nanoseconds: rest.option(flag::CPU_TIME, |rest| rest.integer()?.checked_mul(1_000_000))?,
        cpu_usage_percent: rest.option(flag::CPU_USAGE, Decoder::percent)?,
        cpu_delay_percent: rest.option(flag::CPU_DELAY, Decoder::percent)?,
        cpu_modes: rest.option(flag::CPU_MODES, Decoder::cpu_modes)?,
        memory_bytes: rest.option(flag::MEMORY, Decoder::memory)?,
        memory_used_bytes: rest.option(flag::MEMORY_USED, Decoder::memory)?,
        memory_available_bytes: rest.option(flag::MEMORY_AVAILABLE, Decoder::memory)?,
        memory_resident_bytes: rest.option(flag::MEMORY_RESIDENT, Decoder::memory)?,
        swap_in_bytes: rest.option(flag::SWAP_IN, Decoder::rate)?,
        swap_out_bytes: rest.option(flag::SWAP_OUT, Decoder::rate)?,
        memory_view: if flags & flag::GUEST_VIEW == 0 { MemoryView::Host } else { MemoryView::Guest },
        core_usage_percents: rest.list(Decoder::percent)?,
        disks: rest.list(Decoder::disk)?,
        nics: rest.list(Decoder::nic)?,
    };
    (rest.rest.is_empty() && flags & !flag::ALL == 0).then_some(point)
}

/// A number that is not negative, in steps of `1 / scale`. More than zero never becomes zero; what is no number does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and gives zero for what is no number
fn steps(number: f64, scale: f64) -> u64 {
    ((number * scale).round() as u64).max(u64::from(number > 0.0))
}

struct Encoder {
    bytes: Vec<u8>,
    flags: u16,
}

impl Encoder {
    /// Seven bits a byte, lowest first; the top bit says that more follow.
    fn integer(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    fn option<T>(&mut self, flag: u16, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        if let Some(value) = value {
            self.flags |= flag;
            put(self, value);
        }
    }

    fn list<T>(&mut self, values: &[T], put: impl Fn(&mut Self, &T)) {
        self.integer(values.len() as u64);
        values.iter().for_each(|value| put(self, value));
    }

    fn text(&mut self, text: &str) {
        self.integer(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn percent(&mut self, percent: f64) {
        self.integer(steps(percent, 100.0).min(PERCENT_MAX));
    }

    fn memory(&mut self, bytes: u64) {
        self.integer(bytes >> 10);
    }

    fn rate(&mut self, per_second: f64) {
        let (mut digits, mut power) = (steps(per_second, 1000.0), 0);
        while digits > DIGITS_MAX {
            digits = digits / 10 + u64::from(digits % 10 >= 5);
            power += 1;
        }
        self.integer(digits << 4 | power);
    }

    /// At most eight rates: a bit for each that is not zero, and then those.
    fn rates(&mut self, rates: &[f64]) {
        let present = rates.iter().rev().fold(0, |bits: u8, rate| bits << 1 | u8::from(*rate > 0.0));
        self.bytes.push(present);
        rates.iter().filter(|rate| **rate > 0.0).for_each(|rate| self.rate(*rate));
    }

    fn nic(&mut self, nic: &NicRates) {
        self.text(&nic.interface_name);
        let octets = nic.mac_address.map(|address| address.0);
        let stored = match &octets {
            None => &[][..],
            Some(octets) => octets.strip_prefix(&QEMU_PREFIX).unwrap_or(octets),
        };
        self.integer(stored.len() as u64);
        self.bytes.extend(stored);
        self.rates(&[
            nic.receive_bytes,
            nic.send_bytes,
            nic.receive_packets,
            nic.send_packets,
            nic.receive_errors,
            nic.send_errors,
            nic.receive_drops,
            nic.send_drops,
        ]);
    }
}

/// Every method gives `None` where the bytes are not what it reads.
struct Decoder<'a> {
    rest: &'a [u8],
    flags: u16,
}

impl<'a> Decoder<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn integer(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn option<T>(&mut self, flag: u16, get: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flags & flag == 0 { Some(None) } else { get(self).map(Some) }
    }

    /// A wrong count ends with the bytes, and nothing is set aside for it before: every entry takes at least one.
    fn list<T>(&mut self, mut get: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.integer()?;
        (0..count).map(|_| get(self)).collect()
    }

    fn octets(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.integer()?).ok()?;
        let (octets, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(octets)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    #[allow(clippy::cast_precision_loss)] // below 53 bits
    fn percent(&mut self) -> Option<f64> {
        let hundredths = self.integer()?;
        (hundredths <= PERCENT_MAX).then(|| hundredths as f64 / 100.0)
    }

    fn cpu_modes(&mut self) -> Option<CpuModes> {
        Some(CpuModes {
            user_percent: self.percent()?,
            system_percent: self.percent()?,
            iowait_percent: self.percent()?,
            steal_percent: self.percent()?,
        })
    }

    fn memory(&mut self) -> Option<u64> {
        self.integer()?.checked_mul(1 << 10)
    }

    #[allow(clippy::cast_precision_loss)] // below 53 bits
    fn rate(&mut self) -> Option<f64> {
        let stored = self.integer()?;
        let (digits, power) = (stored >> 4, u8::try_from(stored & 0xf).ok()?);
        (digits <= DIGITS_MAX).then(|| digits as f64 * 10_f64.powi(power.into()) / 1000.0)
    }

    fn rates<const COUNT: usize>(&mut self) -> Option<[f64; COUNT]> {
        let present = self.byte()?;
        let mut rates = [0.0; COUNT];
        for (bit, rate) in rates.iter_mut().enumerate() {
            if present >> bit & 1 == 1 {
                *rate = self.rate()?;
            }
        }
        Some(rates)
    }

    fn disk(&mut self) -> Option<DiskRates> {
        let device = self.text()?.into();
        let [read_bytes, write_bytes, read_requests, write_requests] = self.rates()?;
        Some(DiskRates { device, read_bytes, write_bytes, read_requests, write_requests })
    }

    fn nic(&mut self) -> Option<NicRates> {
        let interface_name = self.text()?.into();
        let mac_address = match *self.octets()? {
            [] => None,
            [a, b, c] => Some(MacAddress::from_seed([a, b, c])),
            [a, b, c, d, e, f] => Some(MacAddress([a, b, c, d, e, f])),
            _ => return None,
        };
        let [receive_bytes, send_bytes, receive_packets, send_packets, receive_errors, send_errors, receive_drops, send_drops] =
            self.rates()?;
        Some(NicRates {
            interface_name,
            mac_address,
            receive_bytes,
            send_bytes,
            receive_packets,
            send_packets,
            receive_errors,
            send_errors,
            receive_drops,
            send_drops,
        })
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
