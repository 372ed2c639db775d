//! Doors into the crate for the micro-benchmarks of `bench/`, and for nothing else.

use crate::config::{DiskCache, Display};
use crate::ffi::{DomainStats, StatValue};
use crate::xml::{RenderContext, parse_domain};
use hvnode_core::Result;
use hvnode_core::model::{HypervisorSample, SampleTime, VirtType};
use hvnode_core::port::DomainSpec;
use std::path::Path;
use uuid::Uuid;

/// A statistics record as it came from libvirt.
#[derive(Debug)]
pub struct Record(DomainStats);

impl Record {
    /// From lines as `virsh domstats` prints them.
    pub fn from_lines(lines: &str) -> Self {
        let value = |text: &str| text.parse().map_or_else(|_| StatValue::Text(text.to_owned()), StatValue::Number);
        let pair = |line: &str| line.trim().split_once('=').map(|(name, text)| (name.to_owned(), value(text)));
        Self(DomainStats { uuid: Uuid::from_u128(1), run_id: Some(7), values: lines.lines().filter_map(pair).collect() })
    }

    /// What it means.
    pub fn decode(&self) -> HypervisorSample {
        crate::sample::sample(&self.0, SampleTime::default())
    }
}

/// The definition of a VM.
///
/// # Errors
/// Those of a spec that cannot be defined.
pub fn domain_xml(spec: &DomainSpec) -> Result<String> {
    let context = RenderContext {
        virt_type: VirtType::Kvm,
        display: &Display::Loopback,
        disk_cache: DiskCache::Writeback,
        console_directory: Path::new("/var/lib/hvnode/console"),
    };
    crate::xml::domain_xml(spec, &context)
}

/// Reads a definition.
///
/// # Errors
/// Where it is none.
pub fn read_domain_xml(xml: &str) -> Result<()> {
    parse_domain(xml).map(drop)
}
