//! A reader of JSON that fails as the peer's does: same messages, same place, same surroundings.
//!
//! The peer reads the body in pieces of 512 bytes; an error shows what of the surroundings stands in the
//! piece where reading stopped.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use super::PushStream;

/// The size of the pieces.
const PIECE: usize = 512;
/// How deep values may be nested: a level takes stack. The peer allows 10,000; no push needs more than five.
const MAX_DEPTH: u32 = 256;

/// Reads values off the front of a text. The first error counts; after it the reader is of no use.
pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) at: usize,
    depth: u32,
    /// Bytes that what is read may take, and whether more was wanted.
    memory_limit: usize,
    pub(super) over_limit: bool,
}

/// A string of the text, without its quotes.
#[derive(Clone, Debug)]
pub(super) struct RawString {
    /// Where it stands.
    pub(super) range: Range<usize>,
    /// Whether it has escapes.
    pub(super) escaped: bool,
}

/// What kind of value was skipped.
#[derive(Clone, Debug)]
pub(super) enum Skipped {
    Text(RawString),
    Null,
    Array,
    Object,
    Other,
}

type Result<T> = std::result::Result<T, String>;

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, memory_limit: usize) -> Self {
        Reader { text, at: 0, depth: 0, memory_limit, over_limit: false }
    }

    /// Ends the reading when the stream being read takes more memory than there is. Looks now and then only:
    /// to be called for each entry.
    pub(super) fn check_memory(&mut self, stream: &PushStream) -> Result<()> {
        let over = stream.timestamps.len() % 1024 == 1023 && stream.memory() > self.memory_limit;
        self.over_limit |= over;
        if over { Err("out of memory".to_owned()) } else { Ok(()) }
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or("")
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// An error at the reader's place.
    pub(super) fn error(&self, operation: &str, message: &str) -> String {
        let piece = self.at.saturating_sub(1) / PIECE * PIECE;
        let end = (piece + PIECE).min(self.text.len());
        let show = |around: usize| {
            let from = self.at.saturating_sub(around).max(piece);
            let shown = self.bytes().get(from..(self.at + around).min(end)).unwrap_or(&[]);
            (self.at - from, String::from_utf8_lossy(shown))
        };
        let (offset, near) = show(10);
        let (_, wide) = show(50);
        format!(
            "{operation}: {message}, error found in #{offset} byte of ...|{near}|..., bigger context ...|{wide}|..."
        )
    }

    fn byte(&mut self) -> u8 {
        let byte = self.bytes().get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte.unwrap_or(0)
    }

    /// The next byte that is not blank, taken; 0 at the end.
    pub(super) fn token(&mut self) -> u8 {
        loop {
            let byte = self.byte();
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return byte;
            }
        }
    }

    /// The next byte that is not blank, left where it is; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        let byte = self.token();
        self.back(byte);
        byte
    }

    /// Puts a byte back that [`Reader::token`] gave.
    pub(super) fn back(&mut self, byte: u8) {
        // At the end nothing was taken; a NUL of the text itself is no token of any value.
        self.at -= usize::from(byte != 0);
    }

    /// Takes the rest of a word whose first letter was taken.
    fn word(&mut self, rest: &'static str, operation: &str) -> Result<()> {
        for wanted in rest.bytes() {
            if self.byte() != wanted {
                return Err(self.error(operation, &format!("expect {rest}")));
            }
        }
        Ok(())
    }

    pub(super) fn null(&mut self) -> Result<()> {
        self.word("ull", "skipThreeBytes")
    }

    fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("incrementDepth", "exceeded max depth"));
        }
        Ok(())
    }

    /// Reads an object, calling `each` with the name of each field; it must take the value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>,
    ) -> Result<()> {
        match self.token() {
            b'{' => {}
            b'n' => return self.null(),
            other => {
                return Err(
                    self.error("ReadObjectCB", &format!("expect {{ or n, but found {}", shown(other)))
                );
            }
        }
        self.descend()?;
        match self.token() {
            b'"' => self.at -= 1,
            b'}' => {
                self.depth -= 1;
                return Ok(());
            }
            other => {
                return Err(
                    self.error("ReadObjectCB", &format!("expect \" after {{, but found {}", shown(other)))
                );
            }
        }
        loop {
            let name = self.string()?;
            let colon = self.token();
            if colon != b':' {
                let message = format!("expect : after object field, but found {}", shown(colon));
                return Err(self.error("ReadObject", &message));
            }
            each(self, name)?;
            match self.token() {
                b',' => {}
                b'}' => break,
                _ => return Err(self.error("ReadObjectCB", "object not ended with }")),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array, calling `each` for each element; it must take it.
    pub(super) fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        match self.token() {
            b'[' => {}
            b'n' => return self.null(),
            other => {
                return Err(self.error("ReadArrayCB", &format!("expect [ or n, but found {}", shown(other))));
            }
        }
        self.descend()?;
        if self.peek() == b']' {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.token() {
                b',' => {}
                b']' => break,
                other => {
                    let message = format!("expect ] in the end, but found {}", shown(other));
                    return Err(self.error("ReadArrayCB", &message));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string, or null as the empty one.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        match self.token() {
            b'"' => {
                let raw = self.string_body("ReadString")?;
                let text = self.slice(raw.range.clone());
                Ok(if raw.escaped { Cow::Owned(unescape_leniently(text)) } else { Cow::Borrowed(text) })
            }
            b'n' => self.null().map(|()| Cow::Borrowed("")),
            other => Err(self.error("ReadString", &format!("expects \" or n, but found {}", shown(other)))),
        }
    }

    /// Skips any value, checking its form.
    pub(super) fn skip(&mut self) -> Result<Skipped> {
        match self.token() {
            b'"' => return self.string_body("trySkipString").map(Skipped::Text),
            b'n' => return self.null().map(|()| Skipped::Null),
            b't' => self.word("rue", "skipThreeBytes")?,
            b'f' => self.word("alse", "skipFourBytes")?,
            b'0'..=b'9' | b'-' => {
                self.at -= 1;
                self.number()?;
            }
            b'[' => {
                self.at -= 1;
                self.array(|reader| reader.skip().map(drop))?;
                return Ok(Skipped::Array);
            }
            b'{' => {
                self.at -= 1;
                self.object(|reader, _| reader.skip().map(drop))?;
                return Ok(Skipped::Object);
            }
            other => return Err(self.error("Skip", &format!("do not know how to skip: {other}"))),
        }
        Ok(Skipped::Other)
    }

    fn number(&mut self) -> Result<()> {
        let digits = |reader: &mut Self| {
            let start = reader.at;
            while reader.bytes().get(reader.at).is_some_and(u8::is_ascii_digit) {
                reader.at += 1;
            }
            reader.at - start
        };
        let start = self.at;
        let zero = self.bytes().get(start) == Some(&b'0');
        if zero && self.bytes().get(start + 1).is_some_and(u8::is_ascii_digit) {
            return Err(self.error("readFloat32", "leading zero is invalid"));
        }
        if self.bytes().get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if digits(self) == 0 {
            return Err(self.error("readFloat64SlowPath", "empty number"));
        }
        if self.bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            if digits(self) == 0 {
                self.at = start;
                return Err(self.error("validateNumber", "missing digit after dot"));
            }
        }
        if matches!(self.bytes().get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes().get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(self.error("readFloat64SlowPath", "invalid number"));
            }
        }
        Ok(())
    }

    /// The rest of a string whose opening quote was taken. Control characters are refused as the peer
    /// refuses them: in front of the first escape, in the piece where the string begins.
    fn string_body(&mut self, operation: &str) -> Result<RawString> {
        let start = self.at;
        let rest = self.bytes().get(start..).unwrap_or(&[]);
        let mut end = 0;
        let mut escaped = false;
        loop {
            let Some(found) = rest.get(end..).and_then(|tail| next_mark(tail, escaped)) else {
                self.check_control(start, rest, operation)?;
                self.at = self.text.len();
                return Err(self.error("readStringSlowPath", "unexpected end of input"));
            };
            let at = end + found;
            if !escaped {
                self.check_control(start, rest.get(..at).unwrap_or(rest), operation)?;
            }
            if rest.get(at) == Some(&b'"') {
                self.at = start + at + 1;
                return Ok(RawString { range: start..start + at, escaped });
            }
            escaped = true;
            end = self.escape(start + at)? - start;
        }
    }

    fn check_control(&self, start: usize, plain: &[u8], operation: &str) -> Result<()> {
        let in_piece = PIECE - start % PIECE;
        let plain = plain.get(..in_piece).unwrap_or(plain);
        // A loop without a way out of it runs on wide registers.
        if !plain.iter().fold(false, |seen, byte| seen | (*byte < b' ')) {
            return Ok(());
        }
        let byte = plain.iter().find(|byte| **byte < b' ').copied().unwrap_or(0);
        Err(self.error(operation, &format!("invalid control character found: {byte}")))
    }

    /// Checks the escape at `at`; gives where it ends.
    fn escape(&mut self, at: usize) -> Result<usize> {
        match self.bytes().get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                for place in at + 2..at + 6 {
                    let Some(byte) = self.bytes().get(place) else {
                        self.at = self.text.len();
                        return Err(self.error("readStringSlowPath", "unexpected end of input"));
                    };
                    if !byte.is_ascii_hexdigit() {
                        self.at = place + 1;
                        let message = format!("expects 0~9 or a~f, but found {}", shown(*byte));
                        return Err(self.error("readU4", &message));
                    }
                }
                Ok(at + 6)
            }
            Some(_) => {
                self.at = at + 2;
                Err(self.error("readEscapedChar", "invalid escape char after \\"))
            }
            None => {
                self.at = self.text.len();
                Err(self.error("readStringSlowPath", "unexpected end of input"))
            }
        }
    }
}

/// Where the next quote or backslash is; `near` when it is likely to be close.
fn next_mark(text: &[u8], near: bool) -> Option<usize> {
    let near = if near { text.len().min(NEAR) } else { 0 };
    let (head, tail) = text.split_at(near);
    let found = head.iter().position(|byte| matches!(byte, b'"' | b'\\'));
    found.or_else(|| memchr2(b'"', b'\\', tail).map(|at| near + at))
}

/// A byte as Go's `string([]byte{b})` prints it.
pub(super) fn shown(byte: u8) -> String {
    String::from_utf8_lossy(&[byte]).into_owned()
}

/// Appends a string with its escapes resolved. `false`: half a surrogate pair stands alone.
pub(super) fn unescape(text: &str, out: &mut String) -> bool {
    let mut rest = text;
    while let Some(at) = next_escape(rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let Some((c, length)) = escaped_char(escape) else { return false };
        out.push(c);
        rest = escape.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    true
}

/// Where the next escape begins. In JSON within JSON they are a few bytes apart: a search made for long
/// ways costs more there than looking at each byte.
fn next_escape(text: &[u8]) -> Option<usize> {
    let near = text.len().min(NEAR);
    let (head, tail) = text.split_at(near);
    let found = head.iter().position(|byte| *byte == b'\\');
    found.or_else(|| memchr::memchr(b'\\', tail).map(|at| near + at))
}

/// How far bytes are looked at one by one.
const NEAR: usize = 24;

/// The same, with U+FFFD for half a surrogate pair.
fn unescape_leniently(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let (c, length) = escaped_char(escape).unwrap_or(('\u{fffd}', 6));
        out.push(c);
        rest = escape.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// The character an escape stands for, and how long the escape is.
fn escaped_char(escape: &str) -> Option<(char, usize)> {
    let c = match escape.as_bytes().get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex(escape, 2)?;
            if !(0xd800..0xe000).contains(&high) {
                return char::from_u32(high).map(|c| (c, 6));
            }
            let low = escape.get(6..8).filter(|mark| *mark == "\\u").and_then(|_| hex(escape, 8))?;
            if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return char::from_u32(code).map(|c| (c, 12));
        }
        other => char::from(*other),
    };
    Some((c, 2))
}

fn hex(text: &str, at: usize) -> Option<u32> {
    u32::from_str_radix(text.get(at..at + 4)?, 16).ok()
}
