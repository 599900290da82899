//! Splits a line into its shape and its values.
//!
//! Only lines whose fields LogQL's `| json` or `| logfmt` would give without error, repeated name or
//! surprise are split; all others are text. What a parser of Loki would make of a line outside this strict
//! grammar is decided by the engine, which then parses the raw line.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

/// Values a line may have; a line with more is text.
const MOST_HOLES: usize = 256;
/// Objects within objects.
const DEEPEST_OBJECT: usize = 8;
/// Arrays and objects within an array.
const DEEPEST_ARRAY: usize = 32;
/// The longest line that is looked into.
const LONGEST_LINE: usize = 1 << 20;

/// What stands in the place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum HoleKind {
    /// Between the quotes of a JSON string, escapes as written.
    JsonText = 0,
    /// A JSON number, `true` or `false`.
    JsonBare = 1,
    /// A whole JSON array: no field.
    JsonArray = 2,
    /// Between the quotes of a logfmt value.
    LogfmtText = 3,
    /// A logfmt value without quotes.
    LogfmtBare = 4,
    /// The same with a backslash in it, which stands for itself.
    LogfmtOdd = 5,
    /// A value of structured metadata.
    Metadata = 6,
}

impl HoleKind {
    /// The kind of a code.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        use HoleKind::*;
        [JsonText, JsonBare, JsonArray, LogfmtText, LogfmtBare, LogfmtOdd, Metadata]
            .get(usize::from(code))
            .copied()
    }

    /// Whether a backslash in a value begins an escape.
    pub(crate) fn has_escapes(self) -> bool {
        matches!(self, HoleKind::JsonText | HoleKind::LogfmtText)
    }
}

/// A value of a line: its kind and where it stands.
pub(crate) type Hole = (HoleKind, Range<u32>);

/// How a line was split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
    Logfmt,
}

/// Splits a line: its form, and its holes in order, which are left in `holes`.
pub(crate) fn shred(line: &str, holes: &mut Vec<Hole>) -> Form {
    holes.clear();
    let bytes = line.as_bytes();
    if bytes.len() > LONGEST_LINE || has_replacement(bytes) {
        return Form::Text;
    }
    let form = match bytes.first() {
        Some(b'{') => split_json(bytes, holes).map(|()| Form::Json),
        Some(_) => split_logfmt(bytes, holes).map(|()| Form::Logfmt),
        None => None,
    };
    match form {
        Some(form) if holes.len() <= MOST_HOLES => form,
        _ => {
            holes.clear();
            Form::Text
        }
    }
}

/// Splits a JSON line with these literals and kinds of values between them as [`shred`] does, without looking
/// at its keys; `false` when it is another line, and `holes` are then of no use.
pub(crate) fn shred_like(
    line: &str,
    literals: &[String],
    kinds: impl Iterator<Item = HoleKind>,
    holes: &mut Vec<Hole>,
) -> bool {
    holes.clear();
    let bytes = line.as_bytes();
    let looked_into = bytes.len() <= LONGEST_LINE && !has_replacement(bytes);
    looked_into && (Json { line: bytes, at: 0, holes }).like(literals, kinds).is_some()
}

/// Whether U+FFFD is in the line: Loki shows spaces in its place.
fn has_replacement(line: &[u8]) -> bool {
    memchr(0xef, line)
        .is_some_and(|at| memmem::find(line.get(at..).unwrap_or_default(), b"\xef\xbf\xbd").is_some())
}

/// A reader of JSON that records where values stand.
struct Json<'a> {
    line: &'a [u8],
    at: usize,
    holes: &'a mut Vec<Hole>,
}

fn split_json(line: &[u8], holes: &mut Vec<Hole>) -> Option<()> {
    let mut json = Json { line, at: 0, holes };
    json.object(1)?;
    (json.at == line.len()).then_some(())
}

impl Json<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn like(&mut self, literals: &[String], kinds: impl Iterator<Item = HoleKind>) -> Option<()> {
        let (last, before) = literals.split_last()?;
        for (literal, kind) in before.iter().zip(kinds) {
            self.word(literal.as_bytes())?;
            let from = self.at;
            let range = match (kind, self.peek()?) {
                (HoleKind::JsonText, _) => {
                    // The literal ends with the opening quote, and the next begins with the closing one.
                    let content = quoted(self.line, from.checked_sub(1)?)?;
                    self.at = content.end;
                    content
                }
                (HoleKind::JsonBare, b't' | b'f' | b'-' | b'0'..=b'9') | (HoleKind::JsonArray, b'[') => {
                    self.skip(0)?;
                    from..self.at
                }
                _ => return None,
            };
            self.holes.push((kind, range.start as u32..range.end as u32));
        }
        self.word(last.as_bytes())?;
        (self.at == self.line.len()).then_some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST_OBJECT {
            return None;
        }
        self.members(b'{', b'}', |json| {
            json.key()?;
            json.value(depth)
        })
    }

    /// What stands between brackets, separated by commas.
    fn members(&mut self, open: u8, close: u8, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(open)?;
        self.spaces();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            self.spaces();
            each(self)?;
            self.spaces();
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.spaces();
        self.expect(b':')?;
        self.spaces();
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let from = self.at;
        let (kind, range) = match self.peek()? {
            b'"' => (HoleKind::JsonText, self.string()?),
            b'{' => return self.object(depth + 1),
            b'[' => {
                self.skip(0)?;
                (HoleKind::JsonArray, from..self.at)
            }
            b'n' => return self.word(b"null"),
            b't' => {
                self.word(b"true")?;
                (HoleKind::JsonBare, from..self.at)
            }
            b'f' => {
                self.word(b"false")?;
                (HoleKind::JsonBare, from..self.at)
            }
            _ => {
                self.number()?;
                (HoleKind::JsonBare, from..self.at)
            }
        };
        if self.holes.len() >= MOST_HOLES {
            return None;
        }
        self.holes.push((kind, range.start as u32..range.end as u32));
        Some(())
    }

    /// Goes past a value that is not recorded.
    fn skip(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST_ARRAY {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.members(b'{', b'}', |json| {
                json.key()?;
                json.skip(depth + 1)
            }),
            b'[' => self.members(b'[', b']', |json| json.skip(depth + 1)),
            b'n' => self.word(b"null"),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.line.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    /// Goes past a string: where its content stands.
    fn string(&mut self) -> Option<Range<usize>> {
        let content = quoted(self.line, self.at)?;
        self.at = content.end + 1;
        Some(content)
    }
}

/// The content of the quoted text that begins at `at`, whose escapes are ones that every reader takes the
/// same way.
fn quoted(line: &[u8], at: usize) -> Option<Range<usize>> {
    if line.get(at) != Some(&b'"') {
        return None;
    }
    let from = at + 1;
    let mut end = from;
    loop {
        end += memchr2(b'"', b'\\', line.get(end..)?)?;
        if line.get(end) == Some(&b'"') {
            return Some(from..end);
        }
        match line.get(end + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => end += 2,
            b'u' => {
                let code = hex4(line.get(end + 2..end + 6)?)?;
                if code == 0 || code == 0xfffd || (0xd800..0xe000).contains(&code) {
                    return None;
                }
                end += 6;
            }
            _ => return None,
        }
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, digit| char::from(*digit).to_digit(16).map(|digit| code * 16 + digit))
}

/// Appends what a quoted text stands for: `raw` with its escapes resolved.
pub(crate) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let escaped = match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let code = after.get(1..5).and_then(|digits| hex4(digits.as_bytes()));
                out.extend(code.and_then(char::from_u32));
                rest = after.get(5..).unwrap_or("");
                continue;
            }
            Some(same) => same,
            None => return,
        };
        out.push(escaped);
        rest = chars.as_str();
    }
    out.push_str(rest);
}

fn split_logfmt(line: &[u8], holes: &mut Vec<Hole>) -> Option<()> {
    let mut at = 0;
    loop {
        while line.get(at) == Some(&b' ') {
            at += 1;
        }
        if at == line.len() {
            // At least one pair with a value: else every plain word would be a shape of its own.
            return (!holes.is_empty()).then_some(());
        }
        at += key_length(line.get(at..)?)?;
        if line.get(at)? != &b'=' {
            return None;
        }
        at += 1;
        let (kind, range) = match line.get(at) {
            Some(b'"') => {
                let content = quoted(line, at)?;
                at = content.end + 1;
                (HoleKind::LogfmtText, content)
            }
            _ => {
                let rest = line.get(at..)?;
                let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                let value = rest.get(..length)?;
                if value.iter().any(|byte| *byte < b' ' || matches!(byte, b'"' | b'=' | 0x7f)) {
                    return None;
                }
                let kind = match memchr(b'\\', value) {
                    Some(_) => HoleKind::LogfmtOdd,
                    None => HoleKind::LogfmtBare,
                };
                at += length;
                (kind, at - length..at)
            }
        };
        if !matches!(line.get(at), None | Some(b' ')) || holes.len() >= MOST_HOLES {
            return None;
        }
        // An empty value is no field.
        if !range.is_empty() {
            holes.push((kind, range.start as u32..range.end as u32));
        }
    }
}

fn key_length(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().position(|byte| !is_key_byte(*byte)).unwrap_or(rest.len());
    (length > 0).then_some(length)
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@')
}

/// The names that the fields of a split line have in LogQL, one for each hole; none when one is odd or
/// repeated, so that the line must stay text. The same for all lines of one shape.
pub(crate) fn names(line: &str, form: Form, holes: &[Hole]) -> Option<Vec<String>> {
    let mut named = Names { names: Vec::with_capacity(holes.len()), others: Vec::new() };
    match form {
        Form::Text => return Some(Vec::new()),
        Form::Logfmt => named.logfmt(line, holes)?,
        Form::Json => named.json(line, holes)?,
    }
    let mut seen = hashbrown::HashSet::new();
    let distinct = named.names.iter().chain(&named.others).all(|name| seen.insert(name.as_str()));
    drop(seen);
    (named.names.len() == holes.len() && distinct).then_some(named.names)
}

/// Names being collected.
struct Names {
    names: Vec<String>,
    /// Of members without a hole.
    others: Vec<String>,
}

impl Names {
    fn logfmt(&mut self, line: &str, holes: &[Hole]) -> Option<()> {
        let mut from = 0;
        for (_, range) in holes {
            // Before the hole: values that are empty, then this one's key.
            let before = line.get(from..range.start as usize)?.trim_end_matches('"');
            let (others, key) =
                before.strip_suffix('=')?.rsplit_once(' ').unwrap_or(("", before.strip_suffix('=')?));
            self.empty_pairs(others)?;
            self.names.push(sanitised(key)?);
            from = range.end as usize;
        }
        self.empty_pairs(line.get(from..)?)
    }

    fn empty_pairs(&mut self, text: &str) -> Option<()> {
        for pair in text.split(' ') {
            if let Some((key, _)) = pair.split_once('=') {
                self.others.push(sanitised(key)?);
            }
        }
        Some(())
    }

    /// Walks the literals between holes; the line is known to be JSON.
    fn json(&mut self, line: &str, holes: &[Hole]) -> Option<()> {
        let bytes = line.as_bytes();
        let mut holes = holes.iter().peekable();
        let mut path: Vec<String> = Vec::new();
        let mut key: Option<String> = None;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Some((kind, range)) = holes.peek() {
                let quotes = usize::from(*kind == HoleKind::JsonText);
                if at + quotes == range.start as usize && key.is_some() {
                    let name = joined(&path, &key.take()?);
                    // Arrays are no fields, but their names still count as taken.
                    self.names.push(name);
                    at = range.end as usize + quotes;
                    holes.next();
                    continue;
                }
            }
            match byte {
                b'"' => {
                    let content = quoted(bytes, at)?;
                    at = content.end + 1;
                    let text = line.get(content)?;
                    key = Some(if path.is_empty() { sanitised(text)? } else { sanitised_inner(text)? });
                    continue;
                }
                b'{' if at > 0 => path.push(key.take()?),
                b'}' => {
                    path.pop();
                }
                b'n' => {
                    self.others.push(joined(&path, &key.take()?));
                    at += 4;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        Some(())
    }
}

fn joined(path: &[String], key: &str) -> String {
    path.iter().flat_map(|part| [part.as_str(), "_"]).chain([key]).collect()
}

/// A key as a label name, when it is one of plain ASCII that needs no thought.
fn sanitised(key: &str) -> Option<String> {
    let name = sanitised_inner(key)?;
    match name.as_bytes() {
        [b'_', b'_', ..] => None,
        [b'0'..=b'9', ..] => Some(format!("_{name}")),
        _ => Some(name),
    }
}

fn sanitised_inner(key: &str) -> Option<String> {
    (!key.is_empty() && key.bytes().all(is_key_byte))
        .then(|| key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> String {
        let mut holes = Vec::new();
        let form = shred(line, &mut holes);
        let Some(names) = names(line, form, &holes) else { return "odd names".to_owned() };
        let values = names.iter().zip(&holes).map(|(name, (kind, range))| {
            format!("{name}={}({kind:?})", &line[range.start as usize..range.end as usize])
        });
        format!("{form:?} {}", values.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn clean_json_is_split() {
        assert_eq!(
            split(r#"{"a":"x\n","b":{"c-d":-1.5e3,"e":null},"f":[1,{"g":2}], "1h" : true,"i":{}}"#),
            r#"Json a=x\n(JsonText) b_c_d=-1.5e3(JsonBare) f=[1,{"g":2}](JsonArray) _1h=true(JsonBare)"#
        );
        assert_eq!(split("{}"), "Json ");
    }

    #[test]
    fn clean_logfmt_is_split() {
        assert_eq!(
            split(r#"level=info msg="a \"b\"" empty= none="" path=C:\x  n=1 "#),
            r#"Logfmt level=info(LogfmtBare) msg=a \"b\"(LogfmtText) path=C:\x(LogfmtOdd) n=1(LogfmtBare)"#
        );
    }

    #[test]
    fn what_is_odd_stays_text() {
        for line in [
            "",
            " {\"a\":1}",
            "{\"a\":1} ",
            "{\"a\":1}x",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":tru}",
            "{\"a\":1,}",
            "{\"a\":\"\\q\"}",
            "{\"a\":\"\\ud83d\\ude00\"}",
            "{\"a\":\"\\u0000\"}",
            "{\"a\":\"\u{fffd}\"}",
            "[1]",
            "plain words here",
            "a=1 b",
            "a=x\"y",
            "a=\"x\"y",
            "a=\"open",
            "=x",
            "a==b",
            "a=1\tb=2",
            "é=1",
            "a=\"\\x41\"",
        ] {
            assert_eq!(split(line), "Text ", "{line}");
        }
        for line in [
            r#"{"a":1,"a":2}"#,
            r#"{"a_b":1,"a":{"b":2}}"#,
            r#"{"":1}"#,
            r#"{"a":{"":1}}"#,
            r#"{"a b":1}"#,
            r#"{"__error__":1}"#,
            r#"{"é":1}"#,
            r#"{"a":null,"a":1}"#,
            "a=1 a=2",
            "a-b=1 a_b=2",
            "a= a=1",
        ] {
            assert_eq!(split(line), "odd names", "{line}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        let mut out = String::new();
        unescape(r#"a\"\\\/\b\f\n\r\té\u00e9z"#, &mut out);
        assert_eq!(out, "a\"\\/\u{8}\u{c}\n\r\té\u{e9}z");
    }
}
