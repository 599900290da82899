//! The PromQL engine: planning, functions, streaming evaluation.
