//! PromQL text to syntax tree and back, with positions.
//!
//! Text -> lexer -> Pratt parser -> [`ast::Expr`], type-checked; [`ast`] is what the engine, the rule
//! checker and the formatter read. Every node knows the byte range it came from.

pub mod ast;
pub mod functions;
