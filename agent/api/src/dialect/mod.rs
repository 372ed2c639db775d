//! The outward APIs.

pub mod native;
