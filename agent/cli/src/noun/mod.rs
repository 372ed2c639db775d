//! The commands, one file per noun: its arguments, its requests, and how their answers are shown.

pub(crate) mod account;
pub(crate) mod api;
pub(crate) mod disk;
pub(crate) mod doctor;
pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod job;
pub(crate) mod log;
pub(crate) mod network;
pub(crate) mod profile;
pub(crate) mod repository;
pub(crate) mod specification;
pub(crate) mod tls;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod usage;
pub(crate) mod user;
pub(crate) mod vm;
