//! XML as libvirt gives it, where others may have written it: read, and changed for a resize.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|xml: &str| hvnode_libvirt::fuzzing::read_xml(xml));
