//! In-memory stand-ins for the outside, with fault injection: for tests and for `hvnoded --simulate`.
