//! The Store and HistoryStore ports on SQLite, each with a file of its own: what is precious does not wait for what is not.
//!
//! The store: WAL mode. A single writer thread gathers every commit that waits into one transaction and so one disk flush; each commit
//! is a savepoint in it, so that a bad one spoils no other. Two reader threads answer lists and look-ups; one looks through
//! the file now and then. Objects are JSON documents
//! beside the few columns that lists filter and sort by. No other crate knows SQL.

mod backup;
mod check;
mod encode;
mod error;
mod history;
mod query;
mod reader;
mod schema;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use history::SqliteHistory;
pub use store::SqliteStore;
pub use writer::StoreStatistics;
