//! Everything that goes to standard output and standard error: tables, fields, JSON, sentences. Colours only on a terminal.

use crate::error::{CliError, Result};
use crate::json_text;
use crate::text::{Language, Text};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement};
use std::io::{self, IsTerminal, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a table cell is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// On its way, or to be watched.
    Busy,
    /// Needs a person.
    Bad,
}

/// A cell's text and tone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    text: String,
    tone: Tone,
}

impl Content {
    /// A text with a tone.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Content {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    is_number: bool,
    /// Left out where the terminal is too narrow, highest first; 0 always stays.
    spare: u8,
    /// Never shortened: half a uuid is of no use.
    is_whole: bool,
}

/// A column that always stays.
pub(crate) const fn column(title: &'static str) -> Column {
    Column { title, is_number: false, spare: 0, is_whole: false }
}

impl Column {
    /// Numbers stand right.
    pub(crate) const fn number(mut self) -> Self {
        self.is_number = true;
        self
    }

    /// Is never shortened.
    pub(crate) const fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// May be left out on a narrow terminal; those with the highest `rank` go first.
    pub(crate) const fn spare(mut self, rank: u8) -> Self {
        self.spare = rank;
        self
    }
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Content>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one content per column.
    pub(crate) fn row(&mut self, row: Vec<Content>) {
        self.rows.push(row);
    }

    /// True without rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text for a terminal of `width` columns (any width if absent). Where it does not fit, long texts are shortened, then spare
    /// columns are left out, then texts are shortened further, and at last columns are left out from the right.
    pub(crate) fn render(&self, width: Option<u16>, has_colour: bool) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let layout = match width {
            None => all.iter().map(|index| (*index, self.natural(*index))).collect(),
            Some(width) => self.fit(all, usize::from(width)),
        };
        trimmed(&self.build(&layout, has_colour))
    }

    /// The columns to show and how wide each is.
    fn fit(&self, mut kept: Vec<usize>, width: usize) -> Vec<(usize, usize)> {
        loop {
            if let Some(layout) = self.squeeze(&kept, width, COMFORTABLE_WIDTH) {
                return layout;
            }
            let spare = |index: &usize| self.columns.get(*index).map_or(0, |column| column.spare);
            let Some(most) = kept.iter().map(spare).max().filter(|most| *most > 0) else { break };
            kept.retain(|index| spare(index) != most);
        }
        loop {
            match self.squeeze(&kept, width, WIDTH_MIN) {
                Some(layout) => return layout,
                None if kept.len() > 1 => kept.pop(),
                None => return kept.iter().map(|index| (*index, width)).collect(),
            };
        }
    }

    /// The width of each column, if they fit once texts are shortened, the longest first and none below `least`.
    fn squeeze(&self, kept: &[usize], width: usize, least: usize) -> Option<Vec<(usize, usize)>> {
        let mut layout: Vec<(usize, usize)> = kept.iter().map(|index| (*index, self.natural(*index))).collect();
        let gaps = kept.len().saturating_sub(1) * GAP;
        let mut excess = (layout.iter().map(|(_, wide)| wide).sum::<usize>() + gaps).saturating_sub(width);
        while excess > 0 {
            let may_shrink = |index: usize| self.columns.get(index).is_some_and(|column| !column.is_whole && !column.is_number);
            let widest = layout.iter_mut().filter(|(index, wide)| *wide > least && may_shrink(*index)).max_by_key(|(_, wide)| *wide)?;
            widest.1 -= 1;
            excess -= 1;
        }
        Some(layout)
    }

    /// How wide a column is by itself.
    fn natural(&self, index: usize) -> usize {
        let title = self.columns.get(index).map_or(0, |column| column.title.width());
        self.rows.iter().filter_map(|row| row.get(index)).map(|content| plain(&content.text).width()).fold(title, usize::max)
    }

    fn build(&self, layout: &[(usize, usize)], has_colour: bool) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if has_colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let heads = layout.iter().filter_map(|(index, wide)| self.columns.get(*index).map(|column| (column, *wide)));
        table.set_header(
            heads.map(|(column, wide)| aligned(Cell::new(shortened(column.title, wide)).add_attribute(Attribute::Bold), column)),
        );
        for row in &self.rows {
            let cells = layout.iter().filter_map(|(index, wide)| Some((self.columns.get(*index)?, row.get(*index)?, *wide)));
            table.add_row(cells.map(|(column, content, wide)| aligned(toned(content, wide), column)));
        }
        let last = layout.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP_PADDING }));
        }
        table
    }
}

/// Blanks between two columns.
const GAP: usize = 2;
/// The same, as the table wants it.
const GAP_PADDING: u16 = 2;
/// Texts are shortened to this before anything is left out.
const COMFORTABLE_WIDTH: usize = 16;
/// Texts are never shorter than this.
const WIDTH_MIN: usize = 6;

/// The text in at most `width` columns of the terminal, where wide characters take two; what is cut off is told by an ellipsis.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut short = String::new();
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if wide > room {
            break;
        }
        room -= wide;
        short.push(character);
    }
    short.push('…');
    short
}

fn aligned(cell: Cell, column: &Column) -> Cell {
    cell.set_alignment(if column.is_number { CellAlignment::Right } else { CellAlignment::Left })
}

fn toned(content: &Content, width: usize) -> Cell {
    let cell = Cell::new(shortened(&plain(&content.text), width));
    match content.tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Busy => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
    }
}

fn trimmed(table: &comfy_table::Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// One line without control characters: names and messages may come from guests and from strangers' VMs, and a terminal obeys what it prints.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Several lines, tabs kept, every other control character gone.
pub(crate) fn plain_lines(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Where output goes and how.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// `--json`.
    pub(crate) is_json: bool,
    /// Language of sentences.
    pub(crate) language: Language,
    has_colour: bool,
    has_colour_on_error: bool,
    width: Option<u16>,
}

impl Output {
    /// Looks at the terminal once.
    pub(crate) fn new(is_json: bool, language: Language, is_colour_unwanted: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let width = if is_terminal { comfy_table::Table::new().width() } else { None };
        Self {
            is_json,
            language,
            has_colour: is_terminal && !is_colour_unwanted,
            has_colour_on_error: io::stderr().is_terminal() && !is_colour_unwanted,
            width,
        }
    }

    /// Columns of the terminal; none where output is no terminal.
    pub(crate) fn width(&self) -> Option<u16> {
        self.width
    }

    /// Are colours wanted?
    pub(crate) fn has_colour(&self) -> bool {
        self.has_colour
    }

    /// JSON as the node gave it, indented.
    pub(crate) fn json(&self, raw: &str) -> Result<()> {
        self.raw(&(json_text::indent(raw) + "\n"))
    }

    /// A table, or `nothing` (on standard error) if it has no rows.
    pub(crate) fn table(&self, table: &Table, nothing: &Text) -> Result<()> {
        if table.is_empty() {
            self.note(nothing);
            return Ok(());
        }
        self.raw(&table.render(self.width, self.has_colour))
    }

    /// Names and values, one pair a line; pairs without a value are left out.
    pub(crate) fn fields(&self, pairs: &[(&str, Content)]) -> Result<()> {
        let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.text.is_empty()).collect();
        let width = pairs.iter().map(|(name, _)| name.width()).max().unwrap_or(0) + 2;
        let mut text = String::new();
        for (name, value) in pairs {
            let shown = self.toned(value);
            text.push_str(&format!("{name:width$}{shown}\n"));
        }
        self.raw(&text)
    }

    /// A text in the colour of its tone, where colours are wanted.
    pub(crate) fn toned(&self, value: &Content) -> String {
        let shown = plain(&value.text);
        match (self.has_colour, value.tone) {
            (true, Tone::Good) => format!("\x1b[32m{shown}\x1b[0m"),
            (true, Tone::Busy) => format!("\x1b[33m{shown}\x1b[0m"),
            (true, Tone::Bad) => format!("\x1b[31m{shown}\x1b[0m"),
            _ => shown,
        }
    }

    /// A heading above a table that is one of several.
    pub(crate) fn heading(&self, title: &str) -> Result<()> {
        self.raw(&if self.has_colour { format!("\n\x1b[1m{title}\x1b[0m\n") } else { format!("\n{title}\n") })
    }

    /// A sentence as the result.
    pub(crate) fn say(&self, text: &Text) -> Result<()> {
        self.raw(&format!("{}\n", plain(text.pick(self.language))))
    }

    /// A sentence as the result of a command about hvctl itself; an object for `--json`.
    pub(crate) fn conclude(&self, text: &Text) -> Result<()> {
        if self.is_json {
            return self.json(&serde_json::json!({ "message": text.en, "message_cn": text.cn }).to_string());
        }
        self.say(text)
    }

    /// Text as it is, at once.
    pub(crate) fn raw(&self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    /// A remark on standard error that no script needs.
    pub(crate) fn note(&self, text: &Text) {
        // nobody is left to be told if standard error is gone
        let _ = writeln!(io::stderr(), "{}", plain(text.pick(self.language)));
    }

    /// A failure on standard error.
    pub(crate) fn failure(&self, error: &CliError, is_verbose: bool) {
        let told = plain_lines(&error.describe(self.language, is_verbose));
        let head = if self.has_colour_on_error { "\x1b[31mhvctl:\x1b[0m" } else { "hvctl:" };
        let _ = writeln!(io::stderr(), "{head} {told}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table =
            Table::new(&[column("NAME"), column("STATUS"), column("CPU").number(), column("IMAGE").spare(2), column("UUID").spare(1)]);
        table.row(vec!["web".into(), Content::toned("running", Tone::Good), "2".into(), "debian".into(), "0000".into()]);
        table.row(vec!["数据库".into(), "stopped".into(), "16".into(), "-".into(), "1111".into()]);
        table
    }

    #[test]
    fn a_table_is_aligned_without_borders_and_trailing_blanks() {
        let expected = "\
NAME    STATUS   CPU  IMAGE   UUID
web     running    2  debian  0000
数据库  stopped   16  -       1111
";
        assert_eq!(sample().render(None, false), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_and_no_broken_lines() {
        let all = sample().render(Some(34), false);
        assert!(all.contains("IMAGE"));
        let fewer = sample().render(Some(33), false);
        assert!(!fewer.contains("IMAGE") && fewer.contains("UUID"));
        let least = sample().render(Some(22), false);
        assert!(!least.contains("UUID") && least.contains("CPU"));
        assert_eq!(least.lines().count(), 3);
    }

    #[test]
    fn no_table_is_wider_than_its_terminal() {
        let mut table = Table::new(&[column("NAME"), column("STATUS"), column("UUID").whole(), column("MESSAGE").spare(1)]);
        for name in ["a-very-long-name-of-a-vm-that-nobody-can-type", "数据分析平台的一台非常重要的虚拟机", "web"] {
            let message = "Vm start failed: the disk is on a file system that is full, and nothing can be written to it";
            table.row(vec![name.into(), "running".into(), "8d3b1f5e-0000-4000-8000-000000000001".into(), message.into()]);
        }
        for width in 1..=160 {
            let shown = table.render(Some(width), false);
            assert_eq!(shown.lines().count(), 4, "{width}");
            for line in shown.lines() {
                assert!(line.width() <= usize::from(width), "{width}: {line}");
            }
        }
        assert!(table.render(Some(80), false).contains("8d3b1f5e-0000-4000-8000-000000000001"), "a uuid is whole");
    }

    #[test]
    fn tables_at_several_widths_look_right() {
        let mut table = Table::new(&[
            column("NAME"),
            column("STATUS"),
            column("CPU").number(),
            column("MEMORY").number(),
            column("ADDRESS"),
            column("IMAGE").spare(3),
            column("CREATED").spare(2),
            column("UUID").whole().spare(1),
        ]);
        for (name, status, tone, image) in [
            ("数据分析-0495", "stopped", Tone::Plain, "openeuler-24.03"),
            ("web", "running", Tone::Good, "debian-13"),
            ("a-name-that-somebody-thought-was-a-good-idea", "crashed", Tone::Bad, "windows-2025"),
        ] {
            table.row(vec![
                name.into(),
                Content::toned(status, tone),
                "16".into(),
                "512 MiB".into(),
                "10.32.2.238".into(),
                image.into(),
                "43 h ago".into(),
                "51e01a7e-0000-4000-8000-0100000001ee".into(),
            ]);
        }
        let widths = [200, 132, 100, 80, 60, 40, 20];
        let shown: Vec<String> = widths.iter().map(|width| format!("{width}:\n{}", table.render(Some(*width), false))).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_wide_character_that_does_not_fit_is_not_cut_in_half() {
        assert_eq!(shortened("数据库", 6), "数据库");
        assert_eq!(shortened("数据库", 5), "数据…");
        assert_eq!(shortened("数据库", 4), "数…");
        assert_eq!(shortened("web", 2), "w…");
    }

    #[test]
    fn no_blanks_follow_the_last_column_even_in_colour() {
        assert!(
            sample().render(None, true).lines().next().is_some_and(|heading| heading.contains("UUID\x1b") || heading.ends_with("UUID"))
        );
    }

    #[test]
    fn colours_appear_only_if_wanted() {
        assert!(!sample().render(None, false).contains('\x1b'));
        assert!(sample().render(None, true).contains("\x1b["));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let mut table = Table::new(&[column("NAME")]);
        table.row(vec!["evil\x1b[2J\nname".into()]);
        let shown = table.render(None, false);
        assert!(!shown.contains('\x1b'));
        assert_eq!(shown.lines().count(), 2);
        assert_eq!(plain_lines("a\x1b[31mb\r\n\tc\u{9b}"), "a[31mb\n\tc");
    }
}
