//! Changes to definitions that others may have had their hands on: only the bytes that must change do.

use super::{child, children, descend, parse};
use hvnode_core::{Result, fail};
use roxmltree::Node;
use std::ops::Range;

/// A definition with other cpu and memory figures and everything else, byte for byte, as it was.
///
/// # Errors
/// `VmResizeFailed` where figures elsewhere in the definition (NUMA cells, memory devices, single processors) would contradict the new ones.
pub(crate) fn resized(xml: &str, cpu_cores: u32, memory_bytes: u64) -> Result<String> {
    let document = parse(xml)?;
    let root = document.root_element();
    check_is_plain(root)?;
    let mut edits = Vec::new();
    for name in ["memory", "currentMemory"] {
        if let Some(node) = child(root, name) {
            edits.push((content_of(node, xml)?, memory_bytes.div_ceil(1024).to_string()));
            if let Some(unit) = node.attribute_node("unit") {
                edits.push((unit.range_value(), "KiB".to_owned()));
            }
        }
    }
    if let Some(vcpu) = child(root, "vcpu") {
        edits.push((content_of(vcpu, xml)?, cpu_cores.to_string()));
        if let Some(current) = vcpu.attribute_node("current") {
            edits.push((current.range_value(), cpu_cores.to_string()));
        }
    }
    if let Some(topology) = descend(root, &["cpu", "topology"]) {
        for attribute in topology.attributes() {
            let count = if attribute.name() == "cores" { cpu_cores } else { 1 };
            edits.push((attribute.range_value(), count.to_string()));
        }
    }
    Ok(apply(xml, edits))
}

/// Refuses what a change of two numbers would leave contradictory.
fn check_is_plain(root: Node<'_, '_>) -> Result<()> {
    let contradiction = [
        (descend(root, &["cpu", "numa"]).is_some(), "NUMA cells", "NUMA 节点"),
        (child(root, "vcpus").is_some(), "single processors", "单个处理器"),
        (child(root, "maxMemory").is_some(), "memory slots", "内存插槽"),
        (child(root, "devices").is_some_and(|devices| children(devices, "memory").next().is_some()), "memory devices", "内存设备"),
    ];
    match contradiction.iter().find(|(is_there, ..)| *is_there) {
        None => Ok(()),
        Some((_, en, cn)) => Err(fail!(
            VmResizeFailed,
            "its definition spells out {en}; change those with the tool that made them";
            "其定义包含{cn},请使用创建它的工具修改"
        )),
    }
}

/// The bytes between an element's tags.
fn content_of(node: Node<'_, '_>, xml: &str) -> Result<Range<usize>> {
    let text = node.children().find(|n| n.is_text()).map(|n| n.range());
    text.filter(|range| xml.is_char_boundary(range.start) && xml.is_char_boundary(range.end)).ok_or_else(|| {
        let name = node.tag_name().name();
        fail!(VmResizeFailed, "its definition has an empty <{name}>"; "其定义中 <{name}> 为空")
    })
}

/// Replaces byte ranges, the last first so that the others stay where they are.
fn apply(xml: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = xml.to_owned();
    for (range, replacement) in edits {
        text.replace_range(range, &replacement);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::ErrorCode;
    use proptest::prelude::*;

    const FOREIGN: &str = "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <!-- memory by hand --><memory unit='GiB'>4</memory>
  <currentMemory unit=\"KiB\">1048576</currentMemory>
  <vcpu placement='static' current='2'>8</vcpu><strange attr='ä'>kept</strange>
  <cpu mode='host-model'><topology sockets='2' dies='1' cores='2' threads='2'/></cpu>
  <qemu:commandline><qemu:arg value='-memory 4'/></qemu:commandline>
</domain>";

    #[test]
    fn only_the_figures_change() {
        insta::assert_snapshot!(resized(FOREIGN, 3, 3 << 30).unwrap(), @r#"
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <!-- memory by hand --><memory unit='KiB'>3145728</memory>
          <currentMemory unit="KiB">3145728</currentMemory>
          <vcpu placement='static' current='3'>3</vcpu><strange attr='ä'>kept</strange>
          <cpu mode='host-model'><topology sockets='1' dies='1' cores='3' threads='1'/></cpu>
          <qemu:commandline><qemu:arg value='-memory 4'/></qemu:commandline>
        </domain>
        "#);
    }

    #[test]
    fn contradictory_definitions_are_refused_and_not_broken() {
        for inner in
            ["<cpu><numa/></cpu>", "<vcpus/>", "<maxMemory>1</maxMemory>", "<devices><memory model='dimm'/></devices>", "<memory/>"]
        {
            let xml = format!("<domain>{inner}</domain>");
            assert_eq!(resized(&xml, 1, 1 << 30).unwrap_err().code(), ErrorCode::VmResizeFailed, "{inner}");
        }
    }

    proptest! {
        #[test]
        fn resizing_twice_is_resizing_once(cores in 1u32..512, mebibytes in 1u64..1 << 22) {
            let once = resized(FOREIGN, cores, mebibytes << 20).unwrap();
            prop_assert_eq!(&resized(&once, cores, mebibytes << 20).unwrap(), &once);
            let back = super::super::parse_domain(&once).unwrap();
            prop_assert_eq!((back.cpu_cores, back.memory_bytes), (cores, mebibytes << 20));
        }
    }
}
