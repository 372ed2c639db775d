//! Sizes, durations and times as people write and read them.

use crate::text::Language;
use jiff::Timestamp;
use jiff::tz::TimeZone;

const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `512M`, `10G`, `1.5GiB`, `1073741824B`. Units are powers of 1024. A bare number is refused: bytes or MiB would be a guess.
///
/// # Errors
/// What is wrong and what would be right.
pub(crate) fn parse_size(input: &str) -> Result<u64, String> {
    let text = input.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1_u64 << 40,
        "" => return Err(format!("'{input}' has no unit: write {input}M, {input}G, …")),
        "kb" | "mb" | "gb" | "tb" => {
            return Err(format!("'{input}': units are powers of 1024; write it as K, M, G or T, as in 512M or 10G"));
        }
        _ => return Err(format!("'{input}' is no size: write 512M, 10G, 1.5T, …")),
    };
    let bytes = scaled(number, scale).ok_or_else(|| format!("'{input}' is no size: write 512M, 10G, 1.5T, …"))?;
    if bytes == 0 { Err(format!("'{input}': a size must be more than nothing")) } else { Ok(bytes) }
}

/// `number` times `scale`, exactly; a fraction must come out as whole bytes or is rounded down.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || fraction.contains('.') || (fraction.is_empty() && number.contains('.')) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let part = match fraction {
        "" => 0,
        digits => u128::from(digits.parse::<u64>().ok()?) * u128::from(scale) / 10_u128.pow(u32::try_from(digits.len()).ok()?),
    };
    whole.checked_add(u64::try_from(part).ok()?)
}

/// `512 MiB`, `1.5 GiB`, `37 B`: at most one digit behind the point.
pub(crate) fn format_size(bytes: u64) -> String {
    let (name, scale) = UNITS.into_iter().find(|(_, scale)| bytes >= *scale).unwrap_or(("B", 1));
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    if tenths % 10 == 0 { format!("{} {name}", tenths / 10) } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
}

/// `1.2 MiB/s` from a rate.
pub(crate) fn format_rate(bytes_per_second: f64) -> String {
    // saturates for nonsense; a rate is never negative
    format!("{}/s", format_size(bytes_per_second.max(0.0) as u64))
}

/// Reads `90`, `90s`, `10m`, `2h`, `1d` as seconds.
///
/// # Errors
/// What is wrong and what would be right.
pub(crate) fn parse_duration(input: &str) -> Result<u64, String> {
    let wrong = || format!("'{input}' is no duration: write 90s, 10m, 2h or 1d");
    let text = input.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(wrong)
}

/// `12 s`, `5 min`, `3 h`, `2 d`: one unit, rounded down.
pub(crate) fn format_duration(seconds: u64, language: Language) -> String {
    let (value, en, cn) = match seconds {
        0..60 => (seconds, "s", "秒"),
        60..3600 => (seconds / 60, "min", "分钟"),
        3600..172_800 => (seconds / 3600, "h", "小时"),
        _ => (seconds / 86400, "d", "天"),
    };
    match language {
        Language::En => format!("{value} {en}"),
        Language::Cn => format!("{value} {cn}"),
    }
}

/// The present, in Unix seconds.
pub(crate) fn now_seconds() -> i64 {
    Timestamp::now().as_second()
}

/// `5 min ago`; a date where the time is more than 60 days off; `-` where it is not set.
pub(crate) fn format_ago(time_seconds: i64, now: i64, language: Language) -> String {
    if time_seconds <= 0 {
        return "-".into();
    }
    let age = now.saturating_sub(time_seconds);
    if age.unsigned_abs() > 60 * 86400 {
        return local_time(time_seconds, "%Y-%m-%d");
    }
    let span = format_duration(age.unsigned_abs(), language);
    match (age, language) {
        (-1..=1, Language::En) => "just now".into(),
        (-1..=1, Language::Cn) => "刚刚".into(),
        (0.., Language::En) => format!("{span} ago"),
        (0.., Language::Cn) => format!("{span}前"),
        (_, Language::En) => format!("in {span}"),
        (_, Language::Cn) => format!("{span}后"),
    }
}

/// `2026-11-22 04:51:27 +01:00 (5 min ago)` in the local time zone; `-` where the time is not set.
pub(crate) fn format_time(time_seconds: i64, now: i64, language: Language) -> String {
    if time_seconds <= 0 {
        return "-".into();
    }
    let ago = format_ago(time_seconds, now, language);
    let full = local_time(time_seconds, "%Y-%m-%d %H:%M:%S %:z");
    if full.starts_with(&ago) { full } else { format!("{full} ({ago})") }
}

/// `04:51:27` in the local time zone.
pub(crate) fn format_clock(time_seconds: i64) -> String {
    local_time(time_seconds, "%H:%M:%S")
}

/// `11-22 04:51` in the local time zone.
pub(crate) fn format_time_short(time_seconds: i64) -> String {
    local_time(time_seconds, "%m-%d %H:%M")
}

fn local_time(time_seconds: i64, format: &str) -> String {
    match Timestamp::from_second(time_seconds) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime(format).to_string(),
        Err(_) => time_seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, bytes) in [("512M", 512 << 20), ("10G", 10 << 30), ("1.5GiB", 3 << 29), ("4096b", 4096), ("2 T", 2 << 40), ("0.5k", 512)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_size_without_a_unit_or_with_a_decimal_unit_is_refused_with_advice() {
        assert!(parse_size("512").unwrap_err().contains("512M"));
        assert!(parse_size("10GB").unwrap_err().contains("powers of 1024"));
        for text in ["", "M", "-1M", "1..5G", "1.G", ".5G", "0M", "99999999999T", "1e3M", "١M"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_with_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (37, "37 B"),
            (512 << 20, "512 MiB"),
            (3 << 29, "1.5 GiB"),
            (10 << 30, "10 GiB"),
            (166_000_000, "158.3 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn a_shown_size_can_be_read_again() {
        for bytes in [1, 1023, 1 << 10, 512 << 20, 3 << 29, 7 << 40] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn durations_are_read_with_and_without_unit() {
        assert_eq!(parse_duration("90"), Ok(90));
        assert_eq!(parse_duration("10m"), Ok(600));
        assert_eq!(parse_duration("2h"), Ok(7200));
        assert!(parse_duration("2w").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn times_are_told_relative_to_now() {
        let now = 1_800_000_000;
        for (age, en, cn) in [
            (0, "just now", "刚刚"),
            (42, "42 s ago", "42 秒前"),
            (300, "5 min ago", "5 分钟前"),
            (7300, "2 h ago", "2 小时前"),
            (86400 * 3, "3 d ago", "3 天前"),
            (-120, "in 2 min", "2 分钟后"),
        ] {
            assert_eq!(format_ago(now - age, now, Language::En), en);
            assert_eq!(format_ago(now - age, now, Language::Cn), cn);
        }
        assert_eq!(format_ago(0, now, Language::En), "-");
    }

    #[test]
    fn an_old_time_is_told_as_a_date() {
        assert!(format_ago(1_700_000_000, 1_800_000_000, Language::En).starts_with("2023-11-1"));
    }

    #[test]
    fn a_time_outside_the_calendar_does_not_panic() {
        assert_eq!(format_time(i64::MAX, 0, Language::En), i64::MAX.to_string());
    }
}
