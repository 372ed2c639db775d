//! Figures and how they are told: samples, rows with a target, the table and the JSON.

use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Measurements of one thing, in the unit of its row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn extend(&mut self, more: &Self) {
        self.0.extend(&more.0);
    }

    pub(crate) fn push_milliseconds(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    pub(crate) fn median(&self) -> f64 {
        let values = self.sorted();
        match values.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => values[length / 2],
            length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// What a row is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at most this many times the floor.
    RatioAtMost(f64),
    /// Ours is at least this many times the floor.
    RatioAtLeast(f64),
    /// Ours is at most this much more than the floor.
    OverheadAtMost(f64),
    /// Nothing: told for its own sake.
    None,
}

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Samples,
    pub(crate) floor: Option<Samples>,
    pub(crate) target: Target,
    /// How it was measured where that matters, or why there is nothing to tell.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, ours: Samples) -> Self {
        Self { name: name.into(), unit, ours, floor: None, target: Target::None, note: String::new() }
    }

    /// Something that could not be measured, and why.
    pub(crate) fn missing(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, "", Samples::default()).note(why)
    }

    pub(crate) fn floor(mut self, floor: Samples) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn ratio(&self) -> Option<f64> {
        let floor = self.floor.as_ref().filter(|floor| !floor.is_empty())?;
        (!self.ours.is_empty()).then(|| self.ours.median() / floor.median())
    }

    fn is_reached(&self) -> Option<bool> {
        if self.ours.is_empty() {
            return None;
        }
        match self.target {
            Target::None => None,
            Target::AtMost(limit) => Some(self.ours.median() <= limit),
            Target::RatioAtMost(limit) => self.ratio().map(|ratio| ratio <= limit),
            Target::RatioAtLeast(limit) => self.ratio().map(|ratio| ratio >= limit),
            Target::OverheadAtMost(limit) => self.floor.as_ref().map(|floor| self.ours.median() - floor.median() <= limit),
        }
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::None => String::new(),
            Target::AtMost(limit) => format!("<= {}", figure(limit)),
            Target::RatioAtMost(limit) => format!("<= {limit} x"),
            Target::RatioAtLeast(limit) => format!(">= {limit} x"),
            Target::OverheadAtMost(limit) => format!("<= floor + {}", figure(limit)),
        }
    }

    fn to_json(&self) -> Value {
        let of = |samples: Option<&Samples>| match samples.filter(|samples| !samples.is_empty()) {
            Some(samples) => (json!(samples.median()), json!(samples.min()), json!(samples.max())),
            None => (Value::Null, Value::Null, Value::Null),
        };
        let (ours, ours_min, ours_max) = of(Some(&self.ours));
        let (floor, floor_min, floor_max) = of(self.floor.as_ref());
        json!({
            "name": self.name, "unit": self.unit, "ours": ours, "floor": floor, "ratio": self.ratio(), "target": self.target_text(),
            "ok": self.is_reached(), "ours_min": ours_min, "ours_max": ours_max, "floor_min": floor_min, "floor_max": floor_max,
            "note": self.note,
        })
    }

    /// Back from what another process of the same run wrote.
    fn from_json(value: &Value) -> TableRow {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| value[key].as_f64();
        TableRow {
            name: text("name"),
            unit: text("unit"),
            ours: spread(number("ours"), number("ours_min"), number("ours_max")),
            floor: spread(number("floor"), number("floor_min"), number("floor_max")),
            ratio: number("ratio").map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            target: text("target"),
            ok: value["ok"].as_bool(),
            note: text("note"),
        }
    }
}

struct TableRow {
    name: String,
    unit: String,
    ours: String,
    floor: String,
    ratio: String,
    target: String,
    ok: Option<bool>,
    note: String,
}

/// `median (min-max)`, or only the median of one measurement.
fn spread(median: Option<f64>, min: Option<f64>, max: Option<f64>) -> String {
    match (median, min, max) {
        (Some(median), Some(min), Some(max)) if min < max => format!("{} ({}-{})", figure(median), figure(min), figure(max)),
        (Some(median), _, _) => figure(median),
        _ => String::new(),
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The rows as JSON.
pub(crate) fn to_json(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(Row::to_json).collect()
}

/// Writes the rows to a file.
pub(crate) fn write_json(path: &Path, rows: &[Value]) -> std::io::Result<()> {
    std::fs::write(path, format!("{:#}\n", Value::from(rows.to_vec())))
}

/// The rows as a table for people; it is also right Markdown.
pub(crate) fn table(rows: &[Value]) -> String {
    let head = ["what", "unit", "ours: median (min-max)", "floor: median (min-max)", "ratio", "target", "", "note"].map(str::to_owned);
    let lines: Vec<[String; 8]> = rows
        .iter()
        .map(|value| {
            let TableRow { name, unit, ours, floor, ratio, target, ok, note } = Row::from_json(value);
            let mark = match ok {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None if ours.is_empty() => "none",
                None => "",
            };
            [name, unit, ours, floor, ratio, target, mark.to_owned(), note]
        })
        .collect();
    let width = |column: usize| lines.iter().chain([&head]).map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(|column| if column == 7 { 4 } else { width(column) }).collect();
    let line = |cells: &[String; 8]| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let body: String = lines.iter().map(line).collect();
    format!("{}| {} |\n{body}", line(&head), rule.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, floor: f64, target: Target) -> Row {
        Row::new("row", "ms", Samples::one(ours)).floor(Samples::one(floor)).target(target)
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert!((Samples::from_iter([5.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!((Samples::from_iter([4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn each_kind_of_target_is_judged_by_its_own_rule() {
        assert_eq!(row(104.0, 100.0, Target::RatioAtMost(1.03)).is_reached(), Some(false));
        assert_eq!(row(102.0, 100.0, Target::RatioAtMost(1.03)).is_reached(), Some(true));
        assert_eq!(row(79.0, 100.0, Target::RatioAtLeast(0.8)).is_reached(), Some(false));
        assert_eq!(row(104.0, 100.0, Target::OverheadAtMost(5.0)).is_reached(), Some(true));
        assert_eq!(row(6.0, 100.0, Target::AtMost(5.0)).is_reached(), Some(false));
        assert_eq!(row(6.0, 100.0, Target::None).is_reached(), None);
        assert_eq!(Row::missing("x", "not installed").target(Target::AtMost(1.0)).is_reached(), None);
    }

    #[test]
    fn what_could_not_be_measured_stands_in_the_table_with_its_reason() {
        let table = table(&to_json(&[Row::missing("peer", "no package of it"), row(2.0, 1.0, Target::RatioAtMost(1.5))]));
        assert!(table.contains("| peer") && table.contains("no package of it") && table.contains("none"), "{table}");
        assert!(table.contains("MISSED") && table.contains("2.00"), "{table}");
    }
}
