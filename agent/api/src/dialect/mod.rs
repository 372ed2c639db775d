//! The outward APIs. Each is a folder: routes, types, conversion, errors and state words of its own. A dialect imports no other dialect
//! and decides no legality; what several need stands in the frame beside this folder.

pub mod chimestack;
pub mod native;
mod offer;
pub mod openstack;
pub mod zstack;

pub use offer::Offered;
