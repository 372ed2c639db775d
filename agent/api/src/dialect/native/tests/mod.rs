//! The whole dialect over its real router, with the engine on the fake world behind it.

mod bad_input;
mod batch;
mod bench;
mod document;
mod dry_run;
mod events;
mod golden;
mod life_cycle;
mod reading;
mod refusals;
mod seed;
mod sessions;
mod statistics;
mod trash;
