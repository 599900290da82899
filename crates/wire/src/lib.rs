//! Bytes to model and back, for every protocol. Pure functions, fuzzed.
