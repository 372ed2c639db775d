//! Parameters: one description of each, which decoding and the OpenAPI document are made from.

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text of at most so many characters, without control characters but line ends and tabs.
    Text(usize),
    /// 2 to 64 letters, digits, `-` and `_`.
    Name,
    /// Text that is never shown or logged, of at most so many bytes.
    Secret(usize),
    /// A dashed uuid.
    Uuid,
    /// A whole number within these bounds.
    Whole(u64, u64),
    /// 0 or 1.
    Flag,
    /// `true` or `false`.
    Truth,
    /// An IPv4 address.
    Address,
    /// One of these.
    Word(&'static [&'static str]),
    /// An object with these fields.
    Object(&'static [Field]),
    /// At most so many objects with these fields.
    List(&'static [Field], usize),
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Query,
    Body,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) is_required: bool,
    pub(super) text: &'static str,
}

/// A parameter in the body.
pub(super) const fn body(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, place: Place::Body, is_required: false, text: "" }
}

/// A parameter in the query.
pub(super) const fn query(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, place: Place::Query, is_required: false, text: "" }
}

impl Field {
    /// It must be sent.
    pub(super) const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// What people should know.
    pub(super) const fn about(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }
}

/// Most entries of one page of a list, and their number where the caller does not say.
pub(super) const PAGE_SIZE_MAX: u64 = 1000;
/// Longest name that is looked for.
const LOOKED_FOR_MAX: usize = 128;

/// Parameters of every list.
pub(super) const LIST: &[Field] = &[
    query("page", Kind::Whole(1, u32::MAX as u64)).about("Page, from 1."),
    query("size", Kind::Whole(1, PAGE_SIZE_MAX)).about("Entries of a page; 1000 if absent."),
    query("sort", Kind::Text(LOOKED_FOR_MAX)).about("Field of the entries to sort by; newest first if absent."),
    query("order", Kind::Word(&["asc", "desc"])).about("asc if absent."),
    query("name", Kind::Text(LOOKED_FOR_MAX)).about("Only entries whose name contains this."),
];
