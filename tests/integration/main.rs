//! Integration tests: one binary, real libvirt, real guests. Each test has a private host of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "Test code: a failed expectation ends the test, and foreign programs are what it drives"
)]

mod documents;
mod layering;
mod support;

mod crash;
mod dialects;
mod doctor;
mod events;
mod images;
mod life_cycle;
mod networks;
mod outside;
mod overload;
mod prometheus;
mod refusals;
mod restarts;
mod sampling;
mod statistics;
mod tls;
mod uploads;
