//! Why a text is not LogQL, and where.

/// Why a text is not LogQL; displays as the peer says it (`parse error at line 1, col 5: …`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// The whole message.
    pub message: String,
    /// Where the text goes wrong; none when it is about a whole expression.
    pub position: Option<Position>,
}

/// A place in a query. The message of an error sometimes says `line 0` for it, because the peer's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl ParseError {
    /// About an expression, not a place in it.
    pub(crate) fn general(message: impl std::fmt::Display) -> Self {
        ParseError { message: format!("parse error : {message}"), position: None }
    }

    /// About the kind of an expression that is right in itself.
    pub(crate) fn bare(message: &str) -> Self {
        ParseError { message: message.to_owned(), position: None }
    }

    /// About a place; `shown_line` is the line the peer would print.
    pub(crate) fn at(position: Position, shown_line: usize, message: impl std::fmt::Display) -> Self {
        ParseError {
            message: format!("parse error at line {shown_line}, col {}: {message}", position.column),
            position: Some(position),
        }
    }
}
