//! The ImageTransfer port: fetches image files, checks them with qemu-img under limits.
//!
//! Bytes come from a folder that the configuration allows, or over HTTP(S) with resume. They go into `<path>.part`, are hashed while they
//! come, and are trusted by nobody: the format is looked at here first ([`format`]) and by `qemu-img` in a cage second ([`qemu_img`]).
//! Only a file that passed is renamed to its own name, whether it was fetched or a caller sent it. Files are touched on threads of their own, never on the async ones.

mod address;
mod checksum;
mod config;
mod fetcher;
mod format;
mod http;
mod local;
mod part;
mod qemu_img;
mod source;
mod upload;
mod watch;

#[cfg(test)]
mod tests;

pub use config::ImageConfig;
pub use fetcher::ImageFetcher;
