//! What the bytes of a file are, looked at without running anything: first line of defence against files that claim to be something else.
//!
//! A qcow2 whose header names another file is refused here, before `qemu-img` could be tempted to open that other file.

use crate::part::own_file_failed;
use hvnode_core::model::ImageFormat;
use hvnode_core::{Result, fail};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

/// Bytes looked at: up to the volume descriptor of an optical disc.
const HEAD_BYTES: usize = 0x8800;
/// Where an optical disc says what it is.
const DISC_OFFSET: usize = 0x8001;

/// Beginnings (offset, bytes, name) of disk formats in which a file can name other files, or that QEMU would not take for raw.
const DISK_MAGICS: &[(usize, &[u8], &str)] = &[
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"conectix", "vpc"),
    (0, b"vhdxfile", "vhdx"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"LUKS\xba\xbe", "luks"),
];

/// Beginnings of what the Linux kernel takes for an initial RAM disk.
const INITRD_MAGICS: &[&[u8]] = &[
    b"070701",
    b"070702",
    b"070707",
    b"\xc7\x71",
    b"\x71\xc7",
    b"\x1f\x8b",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"\x5d\0\0",
    b"BZh",
    b"\x02\x21\x4c\x18",
    b"\x04\x22\x4d\x18",
    b"\x89LZO",
];

/// Refuses a file that is not what `format` says.
pub(crate) fn check(file: &File, format: ImageFormat) -> Result<()> {
    let head = read_head(file)?;
    if head.is_empty() {
        return Err(fail!(ImageFormatInvalid, "the file is empty"; "文件为空"));
    }
    match format {
        ImageFormat::Qcow2 => check_qcow2(&head, file.metadata().map_err(own_file_failed)?.len()),
        ImageFormat::Raw => check_no_other_disk(&head, "raw"),
        ImageFormat::Iso => {
            check_no_other_disk(&head, "iso")?;
            let id = head.get(DISC_OFFSET..DISC_OFFSET + 5).unwrap_or_default();
            if [&b"CD001"[..], b"BEA01", b"NSR02", b"NSR03"].contains(&id) {
                Ok(())
            } else {
                Err(fail!(ImageFormatInvalid, "the file is no optical disc (ISO 9660 or UDF)"; "文件不是光盘镜像 (ISO 9660 或 UDF)"))
            }
        }
        ImageFormat::Kernel if is_kernel(&head) => Ok(()),
        ImageFormat::Kernel => Err(fail!(ImageFormatInvalid, "the file is no Linux kernel"; "文件不是Linux内核")),
        ImageFormat::Initrd if INITRD_MAGICS.iter().any(|magic| head.starts_with(magic)) => Ok(()),
        ImageFormat::Initrd => Err(fail!(ImageFormatInvalid, "the file is no initial RAM disk"; "文件不是initrd")),
    }
}

fn read_head(file: &File) -> Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(own_file_failed(error)),
        }
    }
    head.truncate(filled);
    Ok(head)
}

fn starts(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

fn check_no_other_disk(head: &[u8], declared: &str) -> Result<()> {
    match DISK_MAGICS.iter().find(|(offset, magic, _)| starts(head, *offset, magic)) {
        Some((_, _, found)) => Err(not_as_declared(found, declared)),
        None => Ok(()),
    }
}

/// The same words for what is found here and what `qemu-img` finds.
pub(crate) fn not_as_declared(found: &str, declared: &str) -> hvnode_core::AgentError {
    fail!(ImageFormatInvalid, "the file is {found} and not {declared} as declared"; "文件格式为 {found}, 与声明的 {declared} 不符")
}

fn check_qcow2(head: &[u8], file_bytes: u64) -> Result<()> {
    if !head.starts_with(b"QFI\xfb") {
        let found = DISK_MAGICS.iter().find(|(offset, magic, _)| starts(head, *offset, magic)).map_or("raw", |(_, _, name)| name);
        return Err(not_as_declared(found, "qcow2"));
    }
    let damaged = || fail!(ImageFormatInvalid, "the qcow2 header is damaged"; "qcow2文件头已损坏");
    let u32_at = |offset: usize| head.get(offset..offset + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).ok_or_else(damaged);
    let u64_at = |offset: usize| head.get(offset..offset + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes).ok_or_else(damaged);
    let version = u32_at(4)?;
    if version != 2 && version != 3 {
        return Err(
            fail!(ImageFormatInvalid, "qcow2 version {version} is not known, wanted is 2 or 3"; "未知的qcow2版本 {version}, 应为 2 或 3"),
        );
    }
    if u64_at(8)? != 0 || u32_at(16)? != 0 {
        return Err(has_backing_file());
    }
    if u32_at(32)? != 0 {
        return Err(is_encrypted());
    }
    // Tables of mappings and reference counts; `qemu-img info` does not read them and so does not miss them in a file cut short.
    let mappings_end = u64_at(40)?.checked_add(u64::from(u32_at(36)?) * 8);
    if mappings_end.is_none_or(|end| end > file_bytes) || u64_at(48)? >= file_bytes {
        return Err(fail!(ImageFormatInvalid, "the qcow2 file is damaged or cut short"; "qcow2文件已损坏或不完整"));
    }
    let incompatible = if version == 3 { u64_at(72)? } else { 0 };
    if incompatible & (1 << 2) != 0 {
        return Err(has_data_file());
    }
    if incompatible & (1 << 1) != 0 {
        return Err(fail!(ImageFormatInvalid, "the image is marked as corrupt"; "镜像被标记为已损坏"));
    }
    // Known: 0 dirty, 3 compression type, 4 extended L2 entries.
    if incompatible & !0b1_1001 != 0 {
        return Err(fail!(ImageFormatInvalid, "the image uses qcow2 features that are not known"; "镜像使用了未知的qcow2特性"));
    }
    Ok(())
}

pub(crate) fn has_backing_file() -> hvnode_core::AgentError {
    fail!(ImageFormatInvalid, "the image has a backing file, flatten it first (qemu-img convert)"; "镜像带有后端文件, 请先合并 (qemu-img convert)")
}

pub(crate) fn has_data_file() -> hvnode_core::AgentError {
    fail!(ImageFormatInvalid, "the image keeps its data in another file"; "镜像的数据在外部文件中")
}

pub(crate) fn is_encrypted() -> hvnode_core::AgentError {
    fail!(ImageFormatInvalid, "the image is encrypted"; "镜像已加密")
}

fn is_kernel(head: &[u8]) -> bool {
    // x86: boot sector flag and "HdrS".
    (starts(head, 0x1fe, b"\x55\xaa") && starts(head, 0x202, b"HdrS"))
        // arm64 and RISC-V images, EFI images that unpack themselves, gzipped images, plain ELF.
        || starts(head, 0x38, b"ARM\x64")
        || starts(head, 0x38, b"RSC\x05")
        || (starts(head, 0, b"MZ") && starts(head, 4, b"zimg"))
        || starts(head, 0, b"\x1f\x8b")
        || starts(head, 0, b"\x7fELF")
}
