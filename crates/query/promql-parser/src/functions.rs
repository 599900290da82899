//! The table of PromQL functions: names, argument types, results. The engine holds what they compute.

use crate::ast::ValueType;

/// One function's name and types.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    /// As written.
    pub name: &'static str,
    /// Types of the arguments, optional and repeated ones included once.
    pub args: &'static [ValueType],
    /// How many arguments beyond `args.len()` minus optional ones may come: 0 none, n at most n optional,
    /// -1 any number of the last type.
    pub variadic: i8,
    /// What it returns.
    pub returns: ValueType,
    /// Needs `--enable-feature=promql-experimental-functions` in the peer.
    pub experimental: bool,
}
