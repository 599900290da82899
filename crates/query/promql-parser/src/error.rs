//! Why a text is not PromQL, and where.

use std::fmt;

use crate::ast::Span;

/// A text that does not parse or type-check. Prints as the peer does: `1:5: parse error: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, without the position.
    pub message: String,
    /// The bytes it is about.
    pub span: Span,
    /// Line, counted from 1; 0 when the text was empty.
    pub line: usize,
    /// Byte within the line, counted from 1; 0 when the text was empty.
    pub column: usize,
}

impl ParseError {
    pub(crate) fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        let (line, column) = position(text, span.start);
        ParseError { message: message.into(), span, line, column }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "unknown position: parse error: {}", self.message)
        } else {
            write!(f, "{}:{}: parse error: {}", self.line, self.column, self.message)
        }
    }
}

impl std::error::Error for ParseError {}

/// Line and column of a byte offset, both from 1, columns in bytes; (0, 0) for an empty text. Query
/// annotations show the same.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    if text.is_empty() {
        return (0, 0);
    }
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = match before.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => before.len() - at,
        None => before.len() + 1,
    };
    (line, column)
}

/// A character as Go's `%q` writes it.
pub(crate) fn quote_char(c: char) -> String {
    let escaped = match c {
        '\'' => "\\'".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => format!("\\x{:02x}", c as u32),
        c if is_printable(c) => c.to_string(),
        c if (c as u32) < 0x10000 => format!("\\u{:04x}", c as u32),
        c => format!("\\U{:08x}", c as u32),
    };
    format!("'{escaped}'")
}

/// A character as Go's `%#U` writes it.
pub(crate) fn unicode_char(c: char) -> String {
    let code = c as u32;
    if is_printable(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}

fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_bytes_from_one() {
        assert_eq!(position("", 0), (0, 0));
        assert_eq!(position("abc", 0), (1, 1));
        assert_eq!(position("abc", 3), (1, 4));
        assert_eq!(position("a\nbc", 2), (2, 1));
        assert_eq!(position("é\nü b", 6), (2, 4));
    }

    #[test]
    fn characters_print_as_go_prints_them() {
        assert_eq!(quote_char('$'), "'$'");
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('\u{a0}'), r"'\u00a0'");
        assert_eq!(unicode_char('x'), "U+0078 'x'");
        assert_eq!(unicode_char('\n'), "U+000A");
    }
}
