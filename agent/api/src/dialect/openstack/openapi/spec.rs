//! What the document says of a route beside what the route table says: parameters, body, answers.

use super::shape::{Field, Kind};

/// What an answer holds.
#[derive(Debug, Clone)]
pub(super) enum Gives {
    Nothing,
    Body(Kind),
    /// Bytes.
    Bytes,
}

/// A route of one service.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: Vec<Field>,
    pub(super) takes: Option<Kind>,
    pub(super) gives: Vec<(u16, Gives)>,
}

fn spec(method: &'static str, path: &'static str, gives: Vec<(u16, Gives)>) -> Spec {
    Spec { method, path, query: Vec::new(), takes: None, gives }
}

pub(super) fn get(path: &'static str, gives: Vec<(u16, Gives)>) -> Spec {
    spec("GET", path, gives)
}

pub(super) fn head(path: &'static str, gives: Vec<(u16, Gives)>) -> Spec {
    spec("HEAD", path, gives)
}

pub(super) fn post(path: &'static str, takes: Kind, gives: Vec<(u16, Gives)>) -> Spec {
    Spec { takes: Some(takes), ..spec("POST", path, gives) }
}

pub(super) fn put(path: &'static str, takes: Kind, gives: Vec<(u16, Gives)>) -> Spec {
    Spec { takes: Some(takes), ..spec("PUT", path, gives) }
}

pub(super) fn patch(path: &'static str, takes: Kind, gives: Vec<(u16, Gives)>) -> Spec {
    Spec { takes: Some(takes), ..spec("PATCH", path, gives) }
}

pub(super) fn delete(path: &'static str, gives: Vec<(u16, Gives)>) -> Spec {
    spec("DELETE", path, gives)
}

impl Spec {
    pub(super) fn query(mut self, query: Vec<Field>) -> Self {
        self.query = query;
        self
    }

    /// Without a body.
    pub(super) fn bare(mut self) -> Self {
        self.takes = None;
        self
    }
}

/// 200 with an object of these fields.
macro_rules! ok {
    ($($field:expr),* $(,)?) => {
        vec![(200, Gives::Body(Kind::Object(vec![$($field),*])))]
    };
}
/// A status without a body.
macro_rules! empty {
    ($($status:literal),*) => {
        vec![$(($status, Gives::Nothing)),*]
    };
}
pub(super) use {empty, ok};
