//! The whole API over a node in memory.

mod bad_input;
mod bench;
mod document;
mod identity;
mod images;
mod life_cycle;
mod refusals;
mod seed;
mod shapes;
