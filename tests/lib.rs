//! Nothing to see here: the package exists for its integration tests.
