//! Tests of the engine that look at its files.
