//! The disk that tells a guest's cloud-init what to do: a FAT volume labelled `CIDATA` with `meta-data` and `user-data`
//! (cloud-init's NoCloud data source).

use crate::verb::GuestSeed;
use crate::{Result, fail};
use serde_json::json;
use std::io::{Cursor, Write};
use uuid::Uuid;

/// Most bytes of user data; cloud-init's own documented bound for most clouds is 16 KiB, this leaves room.
pub(super) const USER_DATA_BYTES_MAX: usize = 64 * 1024;
const DISK_BYTES: usize = 1 << 20;

/// Checks what the caller wants told.
pub(super) fn check(seed: &GuestSeed) -> Result<()> {
    let bounded = |field: &str, text: &Option<String>, most: usize, is_line: bool| match text {
        Some(text) if text.is_empty() || text.len() > most || (is_line && text.chars().any(char::is_control)) => {
            let line = if is_line { " on one line" } else { "" };
            let line_cn = if is_line { "，且为单行" } else { "" };
            Err(fail!(ParameterInvalid, "{field} must have 1 to {most} bytes{line}"; "{field} 须为 1 到 {most} 字节{line_cn}"))
        }
        _ => Ok(()),
    };
    bounded("password", &seed.password, 128, true)?;
    bounded("ssh_key", &seed.ssh_key, 16 * 1024, true)?;
    bounded("user_data", &seed.user_data, USER_DATA_BYTES_MAX, false)?;
    if seed.user_data.is_some() && (seed.password.is_some() || seed.ssh_key.is_some()) {
        return Err(fail!(ParameterInvalid,
            "user_data replaces password and ssh_key; give either user_data or the others"; "user_data 不能与 password 或 ssh_key 同时使用"));
    }
    Ok(())
}

/// The content of the disk.
pub(super) fn disk(vm_uuid: Uuid, host_name: &str, seed: &GuestSeed) -> Result<Vec<u8>> {
    let meta_data = json!({ "instance-id": vm_uuid.to_string(), "local-hostname": host_label(host_name) }).to_string();
    let user_data = seed.user_data.clone().unwrap_or_else(|| cloud_config(seed));
    write_fat(&[("meta-data", meta_data.as_bytes()), ("user-data", user_data.as_bytes())])
        .map_err(|e| fail!(VmCreateFailed, "the cloud-init disk could not be made"; "无法生成 cloud-init 磁盘").caused_by(e))
}

/// JSON is YAML, so no text of the caller can break out of its field.
fn cloud_config(seed: &GuestSeed) -> String {
    let mut config = json!({});
    if let Some(password) = &seed.password {
        config["password"] = json!(password);
        config["chpasswd"] = json!({ "expire": false });
        config["ssh_pwauth"] = json!(true);
    }
    if let Some(key) = &seed.ssh_key {
        config["ssh_authorized_keys"] = json!([key]);
    }
    format!("#cloud-config\n{config}\n")
}

/// A name as DNS allows it in a label.
fn host_label(name: &str) -> String {
    let label: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(63).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "vm".into() } else { label.into() }
}

fn write_fat(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0u8; DISK_BYTES]);
    fatfs::format_volume(&mut disk, fatfs::FormatVolumeOptions::new().volume_label(*b"CIDATA     "))?;
    disk.set_position(0);
    {
        let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new())?;
        for (name, content) in files {
            volume.root_dir().create_file(name)?.write_all(content)?;
        }
        volume.unmount()?;
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn read(disk: Vec<u8>, name: &str) -> String {
        let volume = fatfs::FileSystem::new(Cursor::new(disk), fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.volume_label_as_bytes(), b"CIDATA     ".strip_suffix(b"     ").unwrap());
        let mut text = String::new();
        volume.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn no_text_of_the_caller_breaks_out_of_its_field() {
        let seed = GuestSeed { password: Some("a\"b: {c}".into()), ssh_key: Some("ssh-ed25519 AAAA x".into()), user_data: None };
        let text = read(disk(Uuid::nil(), "Web Server!", &seed).unwrap(), "user-data");
        let json: serde_json::Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(json["password"], "a\"b: {c}");
        assert_eq!(json["ssh_authorized_keys"][0], "ssh-ed25519 AAAA x");
    }

    #[test]
    fn the_host_name_is_a_dns_label() {
        let meta = read(disk(Uuid::nil(), "数据库 Main_1", &GuestSeed::default()).unwrap(), "meta-data");
        assert!(meta.contains("\"local-hostname\":\"main-1\""), "{meta}");
        assert_eq!(host_label("数"), "vm");
    }

    #[test]
    fn a_key_of_two_lines_is_refused() {
        let seed = GuestSeed { ssh_key: Some("a\nb".into()), ..GuestSeed::default() };
        assert_eq!(check(&seed).unwrap_err().code(), crate::ErrorCode::ParameterInvalid);
    }
}
