//! Log lines in the systemd journal's own protocol.
//!
//! One datagram per line. Every value is a field, so that `journalctl HVNODE_REQUEST_ID=…` finds all that belongs to a request; and the
//! message says them too, for those who read `journalctl -u hvnoded`.

use std::fmt::{Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Where the journal listens.
const PLACE: &str = "/run/systemd/journal/socket";
/// Name under which the journal files our lines.
const IDENTIFIER: &str = "hvnoded";
/// Syslog's number for daemons.
const FACILITY: &str = "3";
/// Before the names of our own fields.
const PREFIX: &str = "HVNODE_";
/// How long one line may wait for a journal that is busy. Then it is lost, for the daemon's work matters more.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most characters of one value in the message; its field has all of it.
const SHOWN_CHARACTERS_MAX: usize = 1000;
/// Most characters of the message of a line that is too big for a datagram: its fields are left out.
const CUT_MESSAGE_CHARACTERS_MAX: usize = 8 * 1024;

/// Sends what is logged to the journal.
pub(crate) struct Journal {
    socket: UnixDatagram,
    place: PathBuf,
    /// Lines lost since the last one that came through.
    lost: AtomicU64,
}

impl Journal {
    /// Finds the journal of this machine.
    pub(crate) fn connect() -> io::Result<Self> {
        Self::at(Path::new(PLACE))
    }

    fn at(place: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // The journal ignores an empty datagram, but somebody must be there to take it.
        socket.send_to(&[], place)?;
        Ok(Self { socket, place: place.to_owned(), lost: AtomicU64::new(0) })
    }

    fn send(&self, metadata: &Metadata<'_>, mut fields: Fields) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            fields.set("lines_lost_before", lost.to_string());
        }
        let message = fields.message();
        let entry = Entry::new(metadata, &message);
        let sent = self.socket.send_to(&entry.clone().with_fields(&fields).0, &self.place).or_else(|error| {
            if error.raw_os_error() != Some(nix::libc::EMSGSIZE) {
                return Err(error);
            }
            self.socket.send_to(&Entry::new(metadata, beginning(&message, CUT_MESSAGE_CHARACTERS_MAX)).0, &self.place)
        });
        if sent.is_err() {
            self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_outer(outer);
            }
        }
        self.send(event.metadata(), fields);
    }
}

/// Values of an event or a span, in their order.
#[derive(Debug, Default)]
struct Fields {
    text: String,
    values: Vec<(&'static str, String)>,
}

impl Fields {
    fn set(&mut self, name: &'static str, value: String) {
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    /// Adds what a span around knows; what is nearer to the event counts.
    fn add_outer(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            if !self.values.iter().any(|(known, _)| known == name) {
                self.values.push((name, value.clone()));
            }
        }
    }

    /// `stopped: jobs=2 why="no answer"`
    fn message(&self) -> String {
        let mut message = self.text.clone();
        for (index, (name, value)) in self.values.iter().enumerate() {
            message.push_str(if index == 0 && !message.is_empty() { ": " } else { " " });
            let shown = beginning(value, SHOWN_CHARACTERS_MAX);
            let more = if shown.len() < value.len() { "…" } else { "" };
            let is_plain = !shown.is_empty() && shown.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"');
            let _cannot_fail = if is_plain { write!(message, "{name}={shown}{more}") } else { write!(message, "{name}={shown:?}{more}") };
        }
        message
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.text);
        } else {
            self.set(field.name(), value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// One line as the journal takes it.
#[derive(Debug, Clone)]
struct Entry(Vec<u8>);

impl Entry {
    fn new(metadata: &Metadata<'_>, message: &str) -> Self {
        let mut entry = Self(Vec::with_capacity(1024));
        entry.put("MESSAGE", message);
        entry.put("PRIORITY", priority(*metadata.level()));
        entry.put("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry.put("SYSLOG_FACILITY", FACILITY);
        entry.put("TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            entry.put("CODE_FILE", file);
            entry.put("CODE_LINE", &line.to_string());
        }
        entry
    }

    fn with_fields(mut self, fields: &Fields) -> Self {
        for (name, value) in &fields.values {
            let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
            self.put(&format!("{PREFIX}{name}"), value);
        }
        self
    }

    /// The form with a length: values may have any content, line ends too.
    fn put(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

fn beginning(text: &str, characters_max: usize) -> &str {
    text.char_indices().nth(characters_max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Syslog's number for a level.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tracing_subscriber::layer::SubscriberExt;

    /// What arrives at a journal while `work` logs: the fields of each line.
    fn journal_of(work: impl FnOnce()) -> Vec<BTreeMap<String, String>> {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("journal");
        let receiver = UnixDatagram::bind(&place).unwrap();
        receiver.set_nonblocking(true).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal::at(&place).unwrap()), work);
        let mut buffer = vec![0; 1 << 20];
        std::iter::from_fn(|| receiver.recv(&mut buffer).ok().map(|length| parse(&buffer[..length])))
            .filter(|fields| !fields.is_empty())
            .collect()
    }

    fn parse(mut rest: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let name_end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let (name, after) = (String::from_utf8(rest[..name_end].to_vec()).unwrap(), &rest[name_end + 1..]);
            let length = usize::try_from(u64::from_le_bytes(after[..8].try_into().unwrap())).unwrap();
            assert_eq!(after[8 + length], b'\n');
            let known = fields.insert(name, String::from_utf8(after[8..8 + length].to_vec()).unwrap());
            assert_eq!(known, None, "one value per field");
            rest = &after[9 + length..];
        }
        fields
    }

    #[test]
    fn a_line_has_its_values_as_fields_and_in_the_message() {
        let lines = journal_of(|| tracing::info!(listener = "127.0.0.1:7070", jobs = 2, why = "no answer", "listening"));
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["MESSAGE"], r#"listening: listener=127.0.0.1:7070 jobs=2 why="no answer""#);
        assert_eq!((line["HVNODE_LISTENER"].as_str(), line["HVNODE_JOBS"].as_str()), ("127.0.0.1:7070", "2"));
        assert_eq!((line["PRIORITY"].as_str(), line["SYSLOG_IDENTIFIER"].as_str()), ("6", "hvnoded"));
        assert!(line["CODE_FILE"].ends_with("journal.rs"));
    }

    #[test]
    fn a_line_inside_of_a_span_knows_what_the_span_knows() {
        let lines = journal_of(|| {
            let outer = tracing::info_span!("request", request_id = "r1", path = "/v1", later = tracing::field::Empty);
            outer.record("later", 5);
            outer.in_scope(|| {
                tracing::info_span!("job", request_id = "r2").in_scope(|| tracing::warn!(path = "/own", "slow"));
            });
        });
        assert_eq!(lines[0]["MESSAGE"], "slow: path=/own request_id=r2 later=5");
        assert_eq!((lines[0]["HVNODE_REQUEST_ID"].as_str(), lines[0]["PRIORITY"].as_str()), ("r2", "4"));
    }

    #[test]
    fn a_value_cannot_pretend_to_be_another_line_or_field() {
        let lines = journal_of(|| tracing::error!(name = "x\nPRIORITY=7", "odd"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["MESSAGE"], r#"odd: name="x\nPRIORITY=7""#);
        assert_eq!((lines[0]["HVNODE_NAME"].as_str(), lines[0]["PRIORITY"].as_str()), ("x\nPRIORITY=7", "3"));
    }

    #[test]
    fn a_line_that_is_too_big_for_a_datagram_still_arrives() {
        let big = "a".repeat(2 << 20);
        let lines = journal_of(|| tracing::info!(big, "much"));
        assert!(lines[0]["MESSAGE"].starts_with("much: big=aaa"), "{:?}", lines[0].keys());
        assert!(lines[0]["MESSAGE"].ends_with('…'));
        assert!(!lines[0].contains_key("HVNODE_BIG"));
    }

    #[test]
    fn lines_that_a_missing_journal_lost_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("journal");
        assert!(Journal::at(&place).is_err(), "nobody is there");
        let first = UnixDatagram::bind(&place).unwrap();
        let journal = Journal::at(&place).unwrap();
        let mut buffer = [0; 4096];
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            drop(first);
            tracing::info!("lost");
            tracing::info!("lost too");
            std::fs::remove_file(&place).unwrap();
            let second = UnixDatagram::bind(&place).unwrap();
            tracing::info!("back");
            let length = second.recv(&mut buffer).unwrap();
            assert_eq!(parse(&buffer[..length])["MESSAGE"], "back: lines_lost_before=2");
        });
    }
}
