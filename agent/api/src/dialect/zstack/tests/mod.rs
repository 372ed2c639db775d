//! The whole dialect over its real router, with the engine on the fake world behind it.

mod bad_input;
mod bench;
mod documents;
mod golden;
mod life_cycle;
mod queries;
mod records;
mod refusals;
