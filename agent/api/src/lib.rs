//! Listeners, authentication and the API dialects over the engine.
//!
//! The frame (this folder) knows connections, accounts, limits, health and metrics; each dialect (a folder in `dialect/`) knows one
//! outward API. A dialect imports no other dialect and decides no legality.

#![forbid(unsafe_code)]

pub mod access;
pub mod accounts;
mod answer_cache;
pub mod body;
pub mod context;
pub mod dialect;
pub mod frame;
pub mod guide;
pub mod health;
pub mod listener;
pub mod metrics;
pub mod records;
pub mod strict;
pub mod tls;
mod upload;

#[cfg(test)]
mod test_document;
#[cfg(test)]
mod test_support;
