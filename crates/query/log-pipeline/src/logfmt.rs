//! A scanner of logfmt lines: `key=value key="quoted value" key`.

/// Why a pair of a line is none; where, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logfmt syntax error at pos {position} : {message}")]
pub(crate) struct LogfmtError {
    position: usize,
    message: String,
}

/// A pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub key: &'a str,
    /// As written, without quotes.
    pub value: &'a str,
    /// The value has escapes; see [`unquote`].
    pub escaped: bool,
}

/// Walks through a line.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the line's beginning.
    pub(crate) fn new(line: &'a str) -> Self {
        Scanner { line, at: 0 }
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.line.get(from..to).unwrap_or("")
    }

    fn failed(&self, at: usize, message: impl Into<String>) -> LogfmtError {
        LogfmtError { position: at + 1, message: message.into() }
    }

    /// Goes to the next white space.
    fn skip(&mut self) {
        let rest = self.line.as_bytes().get(self.at..).unwrap_or(&[]);
        self.at += rest.iter().position(|b| *b <= b' ').unwrap_or(rest.len());
    }

    fn unexpected(&mut self, at: usize, byte: u8) -> LogfmtError {
        self.at = at;
        self.skip();
        self.failed(at, format!("unexpected '{}'", char::from(byte)))
    }

    /// The next pair; none at the end of the line. After an error the scanner stands behind the pair that
    /// has it.
    pub(crate) fn next(&mut self) -> Option<Result<Pair<'a>, LogfmtError>> {
        let bytes = self.line.as_bytes();
        let start = self.at + bytes.get(self.at..)?.iter().position(|b| *b > b' ')?;
        let rest = bytes.get(start..)?;
        let end =
            start + rest.iter().position(|b| matches!(b, b'=' | b'"') || *b <= b' ').unwrap_or(rest.len());
        let key = self.slice(start, end);
        let invalid_key = key.contains('\u{fffd}');
        match bytes.get(end) {
            Some(b'"') => return Some(Err(self.unexpected(end, b'"'))),
            Some(b'=') if key.is_empty() => return Some(Err(self.unexpected(end, b'='))),
            Some(b'=') if invalid_key => {
                self.at = end;
                self.skip();
                return Some(Err(self.failed(end, "invalid key")));
            }
            Some(b'=') => {}
            _ => {
                self.at = end;
                if invalid_key {
                    return Some(Err(self.failed(end, "invalid key")));
                }
                return Some(Ok(Pair { key, value: "", escaped: false }));
            }
        }
        self.at = end + 1;
        Some(match bytes.get(self.at) {
            Some(b'"') => self.quoted(key),
            _ => self.plain(key),
        })
    }

    fn plain(&mut self, key: &'a str) -> Result<Pair<'a>, LogfmtError> {
        let start = self.at;
        let rest = self.line.as_bytes().get(start..).unwrap_or(&[]);
        let end =
            start + rest.iter().position(|b| matches!(b, b'=' | b'"') || *b <= b' ').unwrap_or(rest.len());
        if let Some(byte @ (b'=' | b'"')) = self.line.as_bytes().get(end) {
            return Err(self.unexpected(end, *byte));
        }
        self.at = end;
        Ok(Pair { key, value: self.slice(start, end), escaped: false })
    }

    fn quoted(&mut self, key: &'a str) -> Result<Pair<'a>, LogfmtError> {
        let start = self.at + 1;
        let Some((end, escaped)) = crate::json::string_end(self.line.as_bytes(), start) else {
            self.at = self.line.len();
            return Err(self.failed(self.at, "unterminated quoted value"));
        };
        self.at = end + 1;
        let value = self.slice(start, end);
        if escaped && !is_quoted(value) {
            return Err(self.failed(self.at, "invalid quoted value"));
        }
        Ok(Pair { key, value, escaped })
    }
}

/// Whether all escapes of a quoted value are known ones.
fn is_quoted(value: &str) -> bool {
    let mut rest = value.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let length = match rest.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'\'' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if hex(rest.get(at + 2..)).is_some() => 6,
            _ => return false,
        };
        rest = rest.get(at + length..).unwrap_or(&[]);
    }
    true
}

fn hex(bytes: Option<&[u8]>) -> Option<u32> {
    let digits = bytes?.get(..4)?;
    digits.iter().try_fold(0, |sum, b| Some(sum * 16 + char::from(*b).to_digit(16)?))
}

/// Appends a quoted value with its escapes resolved.
pub(crate) fn unquote(out: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or(""));
        let escape = rest.get(at..).unwrap_or("");
        let mut length = 2;
        match escape.as_bytes().get(1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let (c, taken) = unicode_escape(escape.as_bytes());
                out.push(c);
                length = taken;
            }
            Some(byte) => out.push(char::from(*byte)),
            None => {}
        }
        rest = escape.get(length..).unwrap_or("");
    }
    out.push_str(rest);
}

/// The character of `\uXXXX`, or of two that make a surrogate pair, and how many bytes it takes.
fn unicode_escape(escape: &[u8]) -> (char, usize) {
    let first = hex(escape.get(2..)).unwrap_or(0xfffd);
    let second = escape.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(|rest| hex(rest.get(2..)));
    match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
        }
        (first, _) => (char::from_u32(first).unwrap_or('\u{fffd}'), 6),
    }
}
