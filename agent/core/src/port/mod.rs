//! What the core asks of the outside: a hypervisor, a store, image transfer, the host's own
//! counters, history, a clock.
//!
//! Every call may be slow or fail; adapters put a deadline on each and answer `Timeout` or `HypervisorUnavailable`, never hang.
//! Calls named `ensure_*` and every removal succeed if the world is so already: running one twice is the same as once.

mod clock;
mod history;
mod hypervisor;
mod image;
mod probe;
mod store;
mod upload;

pub use clock::*;
pub use history::*;
pub use hypervisor::*;
pub use image::*;
pub use probe::*;
pub use store::*;
pub use upload::*;
