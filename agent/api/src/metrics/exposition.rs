//! Writes metrics as text: Prometheus' own format 0.0.4, or OpenMetrics 1.0.0 for those who ask for it.

use http::HeaderValue;
use http::header::HeaderMap;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::fmt::Write;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// What every Prometheus reads.
    Text,
    /// Its successor: counters lose their suffix in the head, and the text says where it ends.
    OpenMetrics,
}

impl Format {
    /// The one that an `Accept` header prefers; text where nothing is said.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            match kind.as_str() {
                "application/openmetrics-text" => open = open.max(quality),
                "text/plain" | "text/*" | "*/*" => text = text.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows while its source lives; its name ends with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Text under construction.
pub(super) struct Exposition {
    text: String,
    format: Format,
}

/// One metric under construction. Its head is written with its first value: a metric without values does not appear.
pub(super) struct Family<'a> {
    out: &'a mut Exposition,
    kind: Kind,
    name: &'a str,
    help: &'a str,
    has_head: bool,
}

impl Exposition {
    pub(super) fn new(format: Format, capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity), format }
    }

    pub(super) fn family<'a>(&'a mut self, kind: Kind, name: &'a str, help: &'a str) -> Family<'a> {
        Family { out: self, kind, name, help, has_head: false }
    }

    /// A metric with one value and no labels.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: Option<f64>) {
        self.family(kind, name, help).add("", &[], value);
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let name = if self.format == Format::OpenMetrics && kind == "counter" { name.trim_end_matches("_total") } else { name };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A line: the name and its end, label text that is ready, further labels, the value.
    fn line(&mut self, name: &str, suffix: &str, ready: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        if !(ready.is_empty() && labels.is_empty()) {
            self.text.push('{');
            self.text.push_str(ready);
            for (index, (label, value)) in labels.iter().enumerate() {
                if index > 0 || !ready.is_empty() {
                    self.text.push(',');
                }
                push_label(&mut self.text, label, value);
            }
            self.text.push('}');
        }
        _ = if value.is_finite() { writeln!(self.text, " {value}") } else { writeln!(self.text, " {}", not_finite(value)) };
    }

    /// A metric of the client library's registry.
    pub(super) fn registered(&mut self, family: &MetricFamily) {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        if family.get_metric().is_empty() {
            return;
        }
        self.head(family.name(), family.help(), kind);
        for metric in family.get_metric() {
            let mut ready = String::new();
            for label in metric.get_label() {
                if !ready.is_empty() {
                    ready.push(',');
                }
                push_label(&mut ready, LabelPair::name(label), label.value());
            }
            match kind {
                "counter" => self.line(family.name(), "", &ready, &[], metric.get_counter().get_value()),
                "histogram" => self.histogram(family.name(), &ready, metric),
                _ => self.line(family.name(), "", &ready, &[], metric.get_gauge().get_value()),
            }
        }
    }

    fn histogram(&mut self, name: &str, ready: &str, metric: &Metric) {
        let histogram = metric.get_histogram();
        for bucket in histogram.get_bucket() {
            let bound = bucket.upper_bound();
            let text = if bound.is_finite() { float_label(bound) } else { continue };
            self.line(name, "_bucket", ready, &[("le", &text)], bucket.cumulative_count() as f64);
        }
        self.line(name, "_bucket", ready, &[("le", "+Inf")], histogram.get_sample_count() as f64);
        self.line(name, "_sum", ready, &[], histogram.get_sample_sum());
        self.line(name, "_count", ready, &[], histogram.get_sample_count() as f64);
    }
}

impl Family<'_> {
    /// A value, if there is one. `ready` is label text made by [`label`].
    pub(super) fn add(&mut self, ready: &str, labels: &[(&str, &str)], value: Option<f64>) {
        let Some(value) = value else { return };
        if !self.has_head {
            self.has_head = true;
            let kind = match self.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            self.out.head(self.name, self.help, kind);
        }
        self.out.line(self.name, "", ready, labels, value);
    }
}

/// One label as text, to be used for many lines.
pub(super) fn label(name: &str, value: &str) -> String {
    let mut text = String::with_capacity(name.len() + value.len() + 3);
    push_label(&mut text, name, value);
    text
}

fn push_label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// OpenMetrics wants `1.0` where the text format is content with `1`; both read both.
fn float_label(value: f64) -> String {
    let text = value.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, accept.parse().unwrap());
        Format::of(&headers)
    }

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format_of(prometheus), Format::OpenMetrics);
        assert_eq!(format_of("text/plain, application/openmetrics-text;q=0.5"), Format::Text);
        assert_eq!(format_of("*/*"), Format::Text);
        assert_eq!(format_of("application/openmetrics-text;q=0"), Format::Text);
        assert_eq!(Format::of(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn a_metric_without_values_does_not_appear_and_odd_labels_are_escaped() {
        let mut out = Exposition::new(Format::Text, 0);
        out.family(Kind::Gauge, "nothing", "Nothing.").add("", &[], None);
        let mut family = out.family(Kind::Counter, "hits_total", "Hits.");
        family.add(&label("domain", "a\"b\\c\nd"), &[("device", "vda")], Some(1.5));
        family.add("", &[], Some(9_007_199_254_740_992.0));
        let text = out.finish();
        assert_eq!(
            text,
            "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total{domain=\"a\\\"b\\\\c\\nd\",device=\"vda\"} 1.5\n\
             hits_total 9007199254740992\n"
        );
    }

    #[test]
    fn openmetrics_names_counters_without_suffix_in_the_head_and_says_where_it_ends() {
        let mut out = Exposition::new(Format::OpenMetrics, 0);
        out.family(Kind::Counter, "hits_total", "Hits.").add("", &[], Some(1.0));
        assert_eq!(out.finish(), "# HELP hits Hits.\n# TYPE hits counter\nhits_total 1\n# EOF\n");
    }

    #[test]
    fn histograms_of_the_registry_are_written_with_all_their_parts() {
        let histogram = prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("h", "H.").buckets(vec![1.0, 2.5])).unwrap();
        histogram.observe(2.0);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(histogram)).unwrap();
        let mut out = Exposition::new(Format::Text, 0);
        registry.gather().iter().for_each(|family| out.registered(family));
        let text = out.finish();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines, ["h_bucket{le=\"1.0\"} 0", "h_bucket{le=\"2.5\"} 1", "h_bucket{le=\"+Inf\"} 1", "h_sum 2", "h_count 1"]);
    }
}
