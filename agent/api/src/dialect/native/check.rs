//! Shape of single values: lengths, characters, number ranges. What is legal on this node is the engine's to say.
//!
//! `field` is the path as the caller knows it (`interfaces[0].mac_address`); no error repeats the value.

use hvnode_core::model::{DESCRIPTION_LENGTH_MAX, MacAddress, NAME_LENGTH_MAX, NameFault, Timestamp, check_name, is_description};
use hvnode_core::{AgentError, Result, fail};
use serde::Deserialize;
use std::net::Ipv4Addr;
use utoipa::ToSchema;
use uuid::Uuid;

/// Largest size in bytes: every JSON reader holds it exactly.
pub(super) const SIZE_MAX: u64 = (1 << 53) - 1;
/// Longest image URL in bytes.
const URL_LENGTH_MAX: usize = 4096;

/// A point in time from outside: whole Unix seconds or RFC 3339.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(value_type = String)]
pub(super) struct TimeInput(String);

/// A uuid, with dashes or as 32 hexadecimal digits.
pub(super) fn uuid(field: &str, text: &str) -> Result<Uuid> {
    let is_plain = matches!(text.len(), 32 | 36) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_plain.then(|| Uuid::try_parse(text).ok()).flatten().ok_or_else(|| {
        fail!(ParameterInvalid,
            "{field} must be a uuid such as c7e3ffe3-b072-477e-a92b-8d01243530a9"; "{field} 必须是 uuid，例如 c7e3ffe3-b072-477e-a92b-8d01243530a9")
    })
}

/// [`uuid`] where there is one.
pub(super) fn optional_uuid(field: &str, text: Option<&str>) -> Result<Option<Uuid>> {
    text.map(|text| uuid(field, text)).transpose()
}

/// A name that an object is to have.
pub(super) fn name(field: &str, text: String) -> Result<String> {
    let fault = match check_name(&text) {
        Ok(()) => return Ok(text),
        Err(fault) => fault,
    };
    Err(match fault {
        NameFault::Empty => fail!(ParameterInvalid, "{field} must not be empty"; "{field} 不能为空"),
        NameFault::TooLong => {
            fail!(ParameterInvalid, "{field} must have at most {NAME_LENGTH_MAX} characters"; "{field} 最多 {NAME_LENGTH_MAX} 个字符")
        }
        NameFault::Edge => fail!(ParameterInvalid,
            "{field} must not start or end with a space, or start with a dot or a dash"; "{field} 首尾不能有空格，且不能以点或短横线开头"),
        NameFault::Character(c) => {
            let shown = c.escape_debug();
            fail!(ParameterInvalid,
                "{field} must not contain '{shown}'; letters, digits, spaces and _ - . + @ : ( ) are allowed";
                "{field} 不能包含 '{shown}'；只允许字母、数字、空格和 _ - . + @ : ( )")
        }
    })
}

/// A name that comes only for the operation log, or to search for. Any text that a log line can hold.
pub(super) fn spoken_name(field: &str, text: &str) -> Result<()> {
    short(field, text, NAME_LENGTH_MAX)
}

/// A description, absent for none.
pub(super) fn description(text: Option<String>) -> Result<String> {
    let text = text.unwrap_or_default();
    if is_description(&text) {
        return Ok(text);
    }
    Err(fail!(ParameterInvalid,
        "description must have at most {DESCRIPTION_LENGTH_MAX} characters and no control characters";
        "description 最多 {DESCRIPTION_LENGTH_MAX} 个字符，且不能包含控制字符"))
}

/// A short text without control characters.
pub(super) fn short(field: &str, text: &str, length_max: usize) -> Result<()> {
    if text.chars().count() <= length_max && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(fail!(ParameterInvalid,
        "{field} must have at most {length_max} characters and no control characters"; "{field} 最多 {length_max} 个字符，且不能包含控制字符"))
}

/// A text of 1 to `bytes_max` bytes whose content is nobody's business here, on one line or on any number of them.
pub(super) fn secret(field: &str, text: &str, bytes_max: usize, is_line: bool) -> Result<()> {
    let is_clean = if is_line { !text.chars().any(char::is_control) } else { !text.contains('\0') };
    if (1..=bytes_max).contains(&text.len()) && is_clean {
        return Ok(());
    }
    if is_line {
        return Err(
            fail!(ParameterInvalid, "{field} must have 1 to {bytes_max} bytes on one line"; "{field} 须为 1 到 {bytes_max} 字节，且为单行"),
        );
    }
    Err(
        fail!(ParameterInvalid, "{field} must have 1 to {bytes_max} bytes and no zero byte"; "{field} 须为 1 到 {bytes_max} 字节，且不能包含零字节"),
    )
}

/// A word such as an architecture.
pub(super) fn word(field: &str, text: String) -> Result<String> {
    let is_word = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_word {
        Ok(text)
    } else {
        Err(fail!(ParameterInvalid, "{field} must be 1 to 32 of a-z, 0-9 and _"; "{field} 须为 1 到 32 个 a-z、0-9 或 _ 字符"))
    }
}

/// A number within bounds.
pub(super) fn within(field: &str, number: u64, least: u64, most: u64) -> Result<u64> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(fail!(ParameterInvalid, "{field} must be a whole number from {least} to {most}"; "{field} 必须是 {least} 到 {most} 的整数"))
}

/// A size in bytes, at least 1.
pub(super) fn size(field: &str, bytes: u64) -> Result<u64> {
    within(field, bytes, 1, SIZE_MAX)
}

/// A number of virtual processors.
pub(super) fn cpu_cores(field: &str, number: u32) -> Result<u32> {
    within(field, u64::from(number), 1, u64::from(u32::MAX)).map(|_| number)
}

/// No more than `most` entries.
pub(super) fn count(field: &str, entries: usize, most: usize) -> Result<()> {
    if entries <= most {
        Ok(())
    } else {
        Err(fail!(ParameterInvalid, "{field} may have at most {most} entries"; "{field} 最多 {most} 项"))
    }
}

/// An Ethernet address that one NIC may carry.
pub(super) fn mac_address(field: &str, text: &str) -> Result<MacAddress> {
    text.parse().ok().filter(|mac: &MacAddress| mac.is_unicast()).ok_or_else(|| {
        fail!(ParameterInvalid, "{field} must be a unicast address such as 52:54:00:12:34:56"; "{field} 必须是单播地址，例如 52:54:00:12:34:56")
    })
}

/// An IPv4 address.
pub(super) fn ip_address(field: &str, text: &str) -> Result<Ipv4Addr> {
    text.parse().map_err(
        |_| fail!(ParameterInvalid, "{field} must be an IPv4 address such as 192.0.2.10"; "{field} 必须是 IPv4 地址，例如 192.0.2.10"),
    )
}

/// Where an image comes from; which of these this node fetches is its configuration's to say.
pub(super) fn url(field: &str, text: String) -> Result<String> {
    let is_clean = text.len() <= URL_LENGTH_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let is_known = ["http://", "https://", "file:/"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    if is_clean && is_known {
        return Ok(text);
    }
    Err(fail!(ParameterInvalid,
        "{field} must be an http:, https: or file: URL of at most {URL_LENGTH_MAX} bytes without spaces";
        "{field} 必须是 http:、https: 或 file: URL，最多 {URL_LENGTH_MAX} 字节且不含空白"))
}

/// `sha256:<hex>`, `sha512:<hex>` or bare hexadecimal digits of one of these; absent or empty for no check.
pub(super) fn checksum(field: &str, text: Option<String>) -> Result<String> {
    let text = text.unwrap_or_default();
    let (digits, lengths): (&str, &[usize]) = match text.split_once(':') {
        None => (&text, &[0, 64, 128]),
        Some(("sha256", digits)) => (digits, &[64]),
        Some(("sha512", digits)) => (digits, &[128]),
        Some(_) => ("", &[]),
    };
    if lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(fail!(ParameterInvalid,
        "{field} must be sha256: or sha512: and the hexadecimal digest"; "{field} 必须是 sha256: 或 sha512: 加十六进制摘要"))
}

/// A point in time.
pub(super) fn time(field: &str, input: &TimeInput) -> Result<Timestamp> {
    if let Ok(seconds) = input.0.parse::<i64>() {
        return Ok(Timestamp::from_seconds(seconds));
    }
    let parsed = (input.0.len() <= 64).then(|| input.0.parse::<jiff::Timestamp>().ok()).flatten();
    let nanoseconds = parsed.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    nanoseconds.map(Timestamp).ok_or_else(|| {
        fail!(ParameterInvalid,
            "{field} must be whole Unix seconds or an RFC 3339 time such as 2026-11-22T08:00:00Z";
            "{field} 必须是整数 Unix 秒或 RFC 3339 时间，例如 2026-11-22T08:00:00Z")
    })
}

/// Two fields that cannot both be there.
pub(super) fn exclusive(left: &str, right: &str) -> AgentError {
    fail!(ParameterInvalid, "{left} and {right} exclude each other, send one of them"; "{left} 与 {right} 互斥，只能传其中之一")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_uuids_are_uuids() {
        let plain = "c7e3ffe3-b072-477e-a92b-8d01243530a9";
        assert!(uuid("a", plain).is_ok() && uuid("a", &plain.replace('-', "")).is_ok() && uuid("a", &plain.to_uppercase()).is_ok());
        for text in
            ["", "x", "{c7e3ffe3-b072-477e-a92b-8d01243530a9}", "urn:uuid:c7e3ffe3-b072-477e-a92b-8d01243530a9", "../../etc/passwd", "中"]
        {
            assert_eq!(uuid("vm_uuid", text).unwrap_err().code().number(), 10003, "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let read = |text: &str| time("start_time", &TimeInput(text.into())).map(Timestamp::seconds).ok();
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1763798400"), Some(1_763_798_400));
        assert_eq!(read("2025-11-22T08:00:00Z"), Some(1_763_798_400));
        assert_eq!(read("2025-11-22T16:00:00.5+08:00"), Some(1_763_798_400));
        assert_eq!(read("yesterday"), None);
        assert_eq!(read(""), None);
        assert_eq!(read("9999-01-01T00:00:00Z"), None);
    }

    #[test]
    fn a_checksum_is_hexadecimal_of_the_right_length() {
        let ok = |text: &str| checksum("checksum", Some(text.into())).is_ok();
        let digest = "a".repeat(64);
        assert!(ok("") && ok(&digest) && ok(&format!("sha256:{digest}")) && ok(&format!("sha512:{digest}{digest}")));
        assert!(!ok("md5:d41d8cd98f00b204e9800998ecf8427e") && !ok(&format!("sha512:{digest}")) && !ok(&"g".repeat(64)) && !ok("sha256:"));
    }

    #[test]
    fn urls_have_a_known_scheme_and_no_spaces() {
        let ok = |text: &str| url("url", text.into()).is_ok();
        assert!(ok("http://h/a.qcow2") && ok("https://h/") && ok("file:///srv/a.iso"));
        assert!(!ok("") && !ok("http://") && !ok("ftp://h/a") && !ok("http://h/a b") && !ok("http://h/\n") && !ok("/etc/passwd"));
        assert!(!ok(&format!("http://h/{}", "a".repeat(5000))));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_check_panic(text in ".*") {
            let _ = uuid("f", &text);
            let _ = name("f", text.clone());
            let _ = spoken_name("f", &text);
            let _ = description(Some(text.clone()));
            let _ = word("f", text.clone());
            let _ = mac_address("f", &text);
            let _ = ip_address("f", &text);
            let _ = url("f", text.clone());
            let _ = checksum("f", Some(text.clone()));
            let _ = time("f", &TimeInput(text));
        }

        #[test]
        fn every_second_survives_both_ways_of_writing_it(seconds in 0_i64..9_000_000_000) {
            let rfc = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(time("f", &TimeInput(seconds.to_string())).unwrap(), Timestamp::from_seconds(seconds));
            prop_assert_eq!(time("f", &TimeInput(rfc)).unwrap(), Timestamp::from_seconds(seconds));
        }
    }
}
