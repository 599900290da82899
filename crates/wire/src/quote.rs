//! Go's `%q` of bytes, as the peers' error texts show offending input.

use std::fmt::Write;

/// Quotes `bytes` as Go's `strconv.Quote` does: printable UTF-8 stays, the rest is escaped, bytes that are
/// not UTF-8 become `\xNN`.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        c if c < ' ' || c == '\u{7f}' => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}' => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_as_go_does() {
        let f = |bytes: &[u8], want: &str| assert_eq!(quote(bytes), want);
        f(b"", r#""""#);
        f(b"a\"b\\c\n\t\x00", r#""a\"b\\c\n\t\x00""#);
        f(b"\xffa\xc3", r#""\xffa\xc3""#);
        f("é\u{a0}\u{85}".as_bytes(), "\"é\\u00a0\\u0085\"");
    }
}
