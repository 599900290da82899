//! PromQL text to syntax tree and back, with positions.
