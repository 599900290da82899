//! `detected_level`: how bad a line is, from labels, metadata, fields of the line, or words in it.
//!
//! The order of places and the word boundaries are Loki 3.7's.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use novaobs_tenants::Limits;

/// Metadata that says the level.
pub(crate) const LEVEL: &str = "detected_level";

/// The deepest look into JSON: each level reads what is in it once more.
const MAX_DEPTH: usize = 16;

/// Words that give a level away, the first in a line counts; of two in one place the first listed.
const WORDS: [(&[u8], &str); 9] = [
    (b"trace", "trace"),
    (b"debug", "debug"),
    (b"fatal", "fatal"),
    (b"critical", "critical"),
    (b"error", "error"),
    (b"err", "error"),
    (b"warning", "warn"),
    (b"warn", "warn"),
    (b"info", "info"),
];

/// Finds levels by one tenant's rules.
pub(crate) struct LevelDetector<'a> {
    fields: Cow<'a, [String]>,
    max_depth: usize,
}

impl<'a> LevelDetector<'a> {
    /// `None` where the tenant does not want levels.
    pub(crate) fn new(limits: &'a Limits) -> Option<Self> {
        if !limits.discover_log_levels || !limits.allow_structured_metadata {
            return None;
        }
        let fields = if limits.log_level_fields.is_empty() {
            Cow::Owned(Limits::default().log_level_fields)
        } else {
            Cow::Borrowed(&*limits.log_level_fields)
        };
        let max_depth = match limits.log_level_from_json_max_depth {
            0 => MAX_DEPTH,
            depth => depth.min(MAX_DEPTH),
        };
        Some(LevelDetector { fields, max_depth })
    }

    /// The level that named values give: the first field that is there counts.
    pub(crate) fn of_pairs<'v>(&self, get: impl Fn(&str) -> Option<&'v str>) -> Option<&'v str> {
        self.fields.iter().find_map(|field| get(field)).map(normalise)
    }

    /// The level that a line gives, `unknown` when none.
    pub(crate) fn of_line(&self, line: &str) -> &'static str {
        let bytes = line.as_bytes();
        let field = if looks_like_json(line) {
            self.json_field(bytes, 0).ok().flatten()
        } else if memchr(b'=', bytes).is_some() {
            self.logfmt_field(bytes)
        } else {
            None
        };
        field.and_then(known_level).unwrap_or_else(|| level_of_words(bytes))
    }

    /// The value of the first field, in the order of the line, with one of the names, looking into objects
    /// down to the depth allowed. An error ends the look: what is malformed says nothing.
    fn json_field<'l>(&self, object: &'l [u8], depth: usize) -> Result<Option<&'l [u8]>, Malformed> {
        if depth >= self.max_depth {
            return Ok(None);
        }
        let mut scan = JsonScan { rest: object };
        scan.expect(b'{')?;
        if scan.peek() == Some(b'}') {
            return Ok(None);
        }
        loop {
            scan.expect(b'"')?;
            let name = scan.string()?;
            scan.expect(b':')?;
            match scan.peek().ok_or(Malformed)? {
                b'"' => {
                    scan.expect(b'"')?;
                    let value = scan.string()?;
                    if self.fields.iter().any(|field| field.as_bytes() == name) {
                        return Ok(Some(value));
                    }
                }
                b'{' => {
                    let inner = scan.block(b'{', b'}')?;
                    if let Some(found) = self.json_field(inner, depth + 1)? {
                        return Ok(Some(found));
                    }
                }
                b'[' => drop(scan.block(b'[', b']')?),
                _ => scan.word()?,
            }
            match scan.peek() {
                Some(b',') => scan.expect(b',')?,
                Some(b'}') => return Ok(None),
                _ => return Err(Malformed),
            }
        }
    }

    /// The value of the best-ranked field of a logfmt line, names in any case.
    fn logfmt_field<'l>(&self, line: &'l [u8]) -> Option<&'l [u8]> {
        let mut best = self.fields.len();
        let mut found = None;
        let mut rest = line;
        while let Some((key, value)) = next_pair(&mut rest) {
            let rank = self.fields.iter().position(|field| key.eq_ignore_ascii_case(field.as_bytes()));
            if let Some(rank) = rank.filter(|rank| *rank < best) {
                (best, found) = (rank, Some(value));
                if rank == 0 {
                    break;
                }
            }
        }
        found
    }
}

/// The level that OpenTelemetry's severity number stands for; what is no number is `info`.
pub(crate) fn from_severity_number(text: &str) -> &'static str {
    match text.parse::<i64>() {
        Err(_) => "info",
        Ok(0 | 25..) => "unknown",
        Ok(..=4) => "trace",
        Ok(5..=8) => "debug",
        Ok(9..=12) => "info",
        Ok(13..=16) => "warn",
        Ok(17..=20) => "error",
        Ok(21..=24) => "fatal",
    }
}

/// A level in its usual spelling, any other text as it is.
pub(crate) fn normalise(level: &str) -> &str {
    known_level(level.as_bytes()).unwrap_or(level)
}

fn known_level(level: &[u8]) -> Option<&'static str> {
    const SPELLINGS: [(&[u8], &str); 15] = [
        (b"trace", "trace"),
        (b"trc", "trace"),
        (b"debug", "debug"),
        (b"dbg", "debug"),
        (b"info", "info"),
        (b"inf", "info"),
        (b"information", "info"),
        (b"warn", "warn"),
        (b"wrn", "warn"),
        (b"warning", "warn"),
        (b"error", "error"),
        (b"err", "error"),
        (b"critical", "critical"),
        (b"fatal", "fatal"),
        (b"unknown", "unknown"),
    ];
    SPELLINGS.iter().find(|(spelling, _)| level.eq_ignore_ascii_case(spelling)).map(|(_, level)| *level)
}

fn looks_like_json(line: &str) -> bool {
    line.trim_start().starts_with('{') && line.trim_end().ends_with('}')
}

/// One pass over the line: what stands behind a byte that words may begin behind is looked at closer.
fn level_of_words(line: &[u8]) -> &'static str {
    let mut at_start = true;
    for (at, byte) in line.iter().enumerate() {
        if std::mem::replace(&mut at_start, opens(*byte))
            && matches!(byte | 0x20, b't' | b'd' | b'f' | b'c' | b'e' | b'w' | b'i')
            && let Some(level) = line.get(at..).and_then(level_at)
        {
            return level;
        }
    }
    "unknown"
}

/// The level whose word the text begins with.
fn level_at(text: &[u8]) -> Option<&'static str> {
    let (_, level) = WORDS.iter().find(|(word, _)| {
        text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && text.get(word.len()).is_none_or(|after| closes(*after))
    })?;
    Some(level)
}

/// Whether a word may begin behind this byte. No colon: `misc:error` is no error.
fn opens(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'[' | b'(' | b'{' | b'"' | b'=')
}

/// Whether a word may end in front of this byte.
fn closes(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'\n' | b'[' | b']' | b'(' | b')' | b'{' | b'}' | b':' | b',' | b'!' | b'"' | b'='
    )
}

/// The next `key=value` of a logfmt line; keys without a value are passed over. `None` at the end, and at
/// what no logfmt line has.
fn next_pair<'l>(rest: &mut &'l [u8]) -> Option<(&'l [u8], &'l [u8])> {
    loop {
        let start = rest.iter().position(|byte| *byte > b' ')?;
        let tail = rest.get(start..)?;
        let key_end = tail.iter().position(|byte| *byte <= b' ' || matches!(byte, b'=' | b'"'));
        let key_end = key_end.unwrap_or(tail.len());
        let (key, after) = tail.split_at(key_end);
        match after.first() {
            Some(b'=') if !key.is_empty() => {}
            Some(b'=' | b'"') => return None,
            _ => {
                *rest = after;
                continue;
            }
        }
        let value = after.get(1..)?;
        if value.first() == Some(&b'"') {
            let inner = value.get(1..)?;
            let end = string_end(inner)?;
            *rest = inner.get(end + 1..)?;
            return Some((key, inner.get(..end)?));
        }
        let end = value.iter().position(|byte| *byte <= b' ').unwrap_or(value.len());
        let (value, after) = value.split_at(end);
        if memchr2(b'=', b'"', value).is_some() {
            return None;
        }
        *rest = after;
        return Some((key, value));
    }
}

/// Where the closing quote of a string stands.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

struct Malformed;

/// A look at JSON that checks only what it must step over.
struct JsonScan<'l> {
    rest: &'l [u8],
}

impl<'l> JsonScan<'l> {
    fn peek(&mut self) -> Option<u8> {
        let start = self.rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.rest = self.rest.get(start..)?;
        self.rest.first().copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed);
        }
        self.rest = self.rest.get(1..).unwrap_or(&[]);
        Ok(())
    }

    /// The rest of a string whose opening quote was taken, as it is written.
    fn string(&mut self) -> Result<&'l [u8], Malformed> {
        let end = string_end(self.rest).ok_or(Malformed)?;
        let text = self.rest.get(..end).ok_or(Malformed)?;
        self.rest = self.rest.get(end + 1..).ok_or(Malformed)?;
        Ok(text)
    }

    /// An object or array with all that is in it.
    fn block(&mut self, open: u8, close: u8) -> Result<&'l [u8], Malformed> {
        let (mut depth, mut at) = (0usize, 0);
        loop {
            let byte = *self.rest.get(at).ok_or(Malformed)?;
            at += 1;
            if byte == b'"' {
                at += string_end(self.rest.get(at..).ok_or(Malformed)?).ok_or(Malformed)? + 1;
            } else if byte == open {
                depth += 1;
            } else if byte == close {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
        }
        let (block, rest) = self.rest.split_at_checked(at).ok_or(Malformed)?;
        self.rest = rest;
        Ok(block)
    }

    /// A number, true, false or null.
    fn word(&mut self) -> Result<(), Malformed> {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        let end = self.rest.iter().position(ends).ok_or(Malformed)?;
        self.rest = self.rest.get(end..).unwrap_or(&[]);
        Ok(())
    }
}
