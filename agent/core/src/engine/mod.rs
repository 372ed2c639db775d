//! The engine: takes changes, journals and runs them, keeps the inventory that everybody reads.

mod api;
mod snapshot;

pub use api::*;
pub use snapshot::*;
