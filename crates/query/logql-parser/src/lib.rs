//! LogQL text to [tree](ast) and back.

pub mod ast;

pub use ast::*;

/// Why a text is not LogQL; displays as the peer says it (`parse error at line 1, col 5: …`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// The whole message.
    pub message: String,
}

/// Parses an expression and checks what can be checked without data.
///
/// # Errors
/// [`ParseError`].
pub fn parse(_text: &str) -> Result<Expr, ParseError> {
    Err(ParseError { message: "not built yet".to_owned() })
}
