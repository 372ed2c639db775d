//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

/// What an operator may set. [`Default`] allows HTTP and HTTPS from public addresses and no folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// Folders that `file:` URLs may point into; absolute paths. Empty refuses `file:` altogether.
    pub allowed_folders: Vec<PathBuf>,
    /// Whether `http:` URLs are fetched.
    pub allow_http: bool,
    /// Whether `https:` URLs are fetched.
    pub allow_https: bool,
    /// Whether loopback, link-local, private, multicast and other special addresses may be fetched from. Off keeps callers from reaching
    /// through this host into networks that are none of their business; on is needed where the image server is inside the data centre.
    pub allow_private_addresses: bool,
    /// Largest image file.
    pub size_max_bytes: u64,
    /// Largest disk that an image may describe.
    pub virtual_size_max_bytes: u64,
    /// Space in the images folder that a transfer must leave free.
    pub keep_free_bytes: u64,
    /// Longest time to connect to a server.
    pub connect_timeout: Duration,
    /// Longest time without a byte from a server.
    pub idle_timeout: Duration,
    /// Longest time for one image in all.
    pub total_timeout: Duration,
    /// Tries in a row without a single new byte before a transfer is given up.
    pub tries_max: u32,
    /// Pause after the first such try; doubles with each.
    pub retry_delay: Duration,
    /// Transfers that run at the same time; others wait.
    pub transfers_max: usize,
    /// The `qemu-img` program.
    pub qemu_img: PathBuf,
    /// The `prlimit` program of util-linux, which puts `qemu-img` under its limits.
    pub prlimit: PathBuf,
    /// Address space that `qemu-img` may use.
    pub qemu_img_memory_bytes: u64,
    /// Processor time that `qemu-img` may use.
    pub qemu_img_cpu_seconds: u64,
    /// Wall time that `qemu-img` may use.
    pub qemu_img_timeout: Duration,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            allowed_folders: Vec::new(),
            allow_http: true,
            allow_https: true,
            allow_private_addresses: false,
            size_max_bytes: 256 << 30,
            virtual_size_max_bytes: 16 << 40,
            keep_free_bytes: 256 << 20,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(6 * 3600),
            tries_max: 5,
            retry_delay: Duration::from_secs(1),
            transfers_max: 4,
            qemu_img: "/usr/bin/qemu-img".into(),
            prlimit: "/usr/bin/prlimit".into(),
            qemu_img_memory_bytes: 1 << 30,
            qemu_img_cpu_seconds: 20,
            qemu_img_timeout: Duration::from_secs(60),
        }
    }
}
