//! Times as this API writes them: `Feb 6, 2016 4:29:48 PM`, local time of the server, whole seconds.

use hvnode_core::model::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const FORMAT: &str = "%b %-d, %Y %-I:%M:%S %p";
/// What people type in conditions beside [`FORMAT`].
const SORTABLE_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// As clients read it.
pub(super) fn show(time: Timestamp) -> String {
    show_in(time, TimeZone::system())
}

fn show_in(time: Timestamp, zone: TimeZone) -> String {
    let instant = jiff::Timestamp::from_second(time.seconds()).unwrap_or_default();
    instant.to_zoned(zone).strftime(FORMAT).to_string()
}

/// Unix seconds of a text in either form.
pub(super) fn read_seconds(text: &str) -> Option<i64> {
    read_seconds_in(text, TimeZone::system())
}

fn read_seconds_in(text: &str, zone: TimeZone) -> Option<i64> {
    let time = [FORMAT, SORTABLE_FORMAT].iter().find_map(|format| DateTime::strptime(format, text).ok())?;
    Some(time.to_zoned(zone).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_as_in_the_documents_and_are_read_back() {
        let zone = || TimeZone::fixed(jiff::tz::offset(8));
        let time = Timestamp::from_seconds(1_454_747_388);
        assert_eq!(show_in(time, zone()), "Feb 6, 2016 4:29:48 PM");
        assert_eq!(show_in(Timestamp::from_seconds(1_454_747_388 - 12 * 3600), TimeZone::UTC), "Feb 5, 2016 8:29:48 PM");
        for text in ["Feb 6, 2016 4:29:48 PM", "2016-02-06 16:29:48"] {
            assert_eq!(read_seconds_in(text, zone()), Some(1_454_747_388), "{text}");
        }
        assert_eq!(read_seconds("yesterday"), None);
        assert_eq!(read_seconds(&show(time)), Some(1_454_747_388));
    }

    #[test]
    fn midnight_and_noon_are_twelve() {
        assert_eq!(show_in(Timestamp::from_seconds(0), TimeZone::UTC), "Jan 1, 1970 12:00:00 AM");
        assert_eq!(show_in(Timestamp::from_seconds(43_200), TimeZone::UTC), "Jan 1, 1970 12:00:00 PM");
    }
}
