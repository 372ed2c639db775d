//! The changes a node can make: one file per change, with its plan, its steps and their undo.

mod input;

pub use input::*;
