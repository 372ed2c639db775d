//! Any request to the native API, as on the unix socket.
#![no_main]

use hvnode_api::dialect::native::{NativeOptions, router};
use hvnode_fuzz::Bench;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BENCH: LazyLock<Bench> = LazyLock::new(|| Bench::new(|context| router(context, NativeOptions::default())).trusted());

fuzz_target!(|input: &[u8]| BENCH.send_raw(input));
