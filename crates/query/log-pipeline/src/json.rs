//! A scanner of JSON over bytes that tells values apart without building them, as lenient as the peer's.
//!
//! It looks as far as it must: a number is whatever begins like one, brackets of one kind are balanced
//! without a look at the other, and what follows the outermost object is not read. Which of its errors a
//! broken line gets, and what was read before it, is visible in results, so both follow the peer.

/// Why a line is not the JSON that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("Malformed JSON error")]
    Json,
    #[error("Value is string, but can't find closing '\"' symbol")]
    String,
    #[error("Value is array, but can't find closing ']' symbol")]
    Array,
    #[error("Value looks like object, but can't find closing '}}' symbol")]
    Object,
    #[error("Unknown value type")]
    Unknown,
    #[error("Encountered an invalid escape sequence in a string")]
    Escape,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Number,
    Bool,
    Null,
    Object,
    Array,
}

/// A value in a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    pub kind: Kind,
    /// As written; of a string what stands between the quotes.
    pub text: &'a str,
}

/// Where the first byte that is no white space stands, from `at` on.
#[inline]
pub(crate) fn token(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    rest.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t')).map(|offset| at + offset)
}

/// The end of a string whose first byte (behind the quote) is at `at`: where its closing quote stands, and
/// whether it has backslashes.
#[inline]
pub(crate) fn string_end(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    let mut i = at;
    loop {
        match bytes.get(i)? {
            b'"' => return Some((i, escaped)),
            b'\\' => {
                escaped = true;
                i += 2;
            }
            _ => i += 1,
        }
    }
}

/// Where the block that opens at `at` ends: behind its closing bracket.
pub(crate) fn block_end(bytes: &[u8], at: usize, open: u8, close: u8) -> Option<usize> {
    let mut level = 0i64;
    let mut i = at;
    loop {
        let byte = *bytes.get(i)?;
        if byte == b'"' {
            i = string_end(bytes, i + 1)?.0;
        } else if byte == open {
            level += 1;
        } else if byte == close {
            level -= 1;
            if level == 0 {
                return Some(i + 1);
            }
        }
        i += 1;
    }
}

/// The value that begins at the first token from `at` on, and where it ends.
pub(crate) fn value(line: &str, at: usize) -> Result<(Value<'_>, usize), JsonError> {
    let bytes = line.as_bytes();
    let start = token(bytes, at).ok_or(JsonError::Json)?;
    let slice = |from: usize, to: usize| line.get(from..to).unwrap_or("");
    match bytes.get(start) {
        Some(b'"') => {
            let (end, _) = string_end(bytes, start + 1).ok_or(JsonError::String)?;
            Ok((Value { kind: Kind::String, text: slice(start + 1, end) }, end + 1))
        }
        Some(b'{') => {
            let end = block_end(bytes, start, b'{', b'}').ok_or(JsonError::Object)?;
            Ok((Value { kind: Kind::Object, text: slice(start, end) }, end))
        }
        Some(b'[') => {
            let end = block_end(bytes, start, b'[', b']').ok_or(JsonError::Array)?;
            Ok((Value { kind: Kind::Array, text: slice(start, end) }, end))
        }
        first => {
            let rest = bytes.get(start..).unwrap_or(&[]);
            let ends = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
            let end = start + rest.iter().position(ends).unwrap_or(rest.len());
            let text = slice(start, end);
            let kind = match (first, text) {
                (_, "true" | "false") => Kind::Bool,
                (_, "null") => Kind::Null,
                (Some(b'0'..=b'9' | b'-'), _) => Kind::Number,
                _ => return Err(JsonError::Unknown),
            };
            Ok((Value { kind, text }, end))
        }
    }
}

/// Walks the pairs of the object that `line` begins with. `each` gets key and value, and says whether to go
/// on; the text after the object is not looked at. Keys with escapes are written to `unescaped` first.
///
/// # Errors
/// [`JsonError`], after the pairs before it were given out.
pub(crate) fn each_pair(
    line: &str,
    unescaped: &mut String,
    mut each: impl FnMut(&str, Value<'_>, &mut String) -> bool,
) -> Result<(), JsonError> {
    let bytes = line.as_bytes();
    let start = token(bytes, 0).ok_or(JsonError::Object)?;
    if bytes.get(start) != Some(&b'{') {
        return Err(JsonError::Object);
    }
    let mut at = token(bytes, start + 1).ok_or(JsonError::Json)?;
    if bytes.get(at) == Some(&b'}') {
        return Ok(());
    }
    loop {
        match bytes.get(at) {
            Some(b'"') => {}
            Some(b'}') => return Ok(()),
            _ => return Err(JsonError::Object),
        }
        let (key_end, escaped) = string_end(bytes, at + 1).ok_or(JsonError::Json)?;
        let key = line.get(at + 1..key_end).unwrap_or("");
        let mark = unescaped.len();
        if escaped && !unescape(unescaped, key) {
            return Err(JsonError::Escape);
        }
        let colon = token(bytes, key_end + 1).ok_or(JsonError::Json)?;
        if bytes.get(colon) != Some(&b':') {
            return Err(JsonError::Json);
        }
        let (value, end) = value(line, colon + 1)?;
        let goes_on = if escaped {
            let key = unescaped.get(mark..).unwrap_or("").to_owned();
            unescaped.truncate(mark);
            each(&key, value, unescaped)
        } else {
            each(key, value, unescaped)
        };
        if !goes_on {
            return Ok(());
        }
        // The peer takes the end of the line here for the end of an array.
        at = token(bytes, end).ok_or(JsonError::Array)?;
        match bytes.get(at) {
            Some(b'}') => return Ok(()),
            Some(b',') => at = token(bytes, at + 1).ok_or(JsonError::Array)?,
            _ => return Err(JsonError::Object),
        }
    }
}

/// Appends a string's text with its escapes resolved; `false` when one is none, and then `out` is as it was.
///
/// As with the peer, the second half of a surrogate pair is read without its `\u`, and a pair that gives no
/// character becomes U+FFFD.
pub(crate) fn unescape(out: &mut String, text: &str) -> bool {
    let mark = out.len();
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at..).unwrap_or("");
        let (c, length) = match rest.as_bytes().get(1) {
            Some(c @ (b'"' | b'\\' | b'/')) => (char::from(*c), 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => match unicode_escape(rest) {
                Some(found) => found,
                None => {
                    out.truncate(mark);
                    return false;
                }
            },
            _ => {
                out.truncate(mark);
                return false;
            }
        };
        out.push(c);
        // The end may be inside a character when the second half was none.
        rest = rest.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    true
}

/// The character of `\uXXXX` or of a pair of them, and how many bytes it takes.
fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let first = hex(text.as_bytes(), 0)?;
    if !(0xd800..=0xdfff).contains(&first) {
        return Some((char::from_u32(first).unwrap_or('\u{fffd}'), 6));
    }
    let second = hex(text.as_bytes(), 6)?;
    if second < 0xdc00 {
        return None;
    }
    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(code).unwrap_or('\u{fffd}'), 12))
}

/// The four hexadecimal digits two bytes behind `at`.
fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at + 2..at + 6)?;
    digits.iter().try_fold(0, |sum, b| Some(sum * 16 + char::from(*b).to_digit(16)?))
}

/// Appends a string as parsers give it: escapes resolved, nothing when one is broken, and spaces for what
/// could not be decoded.
pub(crate) fn push_string(out: &mut String, text: &str) {
    // Neither a backslash nor the first byte of U+FFFD.
    if memchr::memchr2(b'\\', 0xef, text.as_bytes()).is_none() {
        return out.push_str(text);
    }
    let mark = out.len();
    unescape(out, text);
    crate::sanitize::clean(out, mark);
}
