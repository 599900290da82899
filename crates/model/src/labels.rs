//! Label sets: sorted, immutable, one allocation, cheap to clone.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use xxhash_rust::xxh3::xxh3_64;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A label set, sorted by name, without empty values or repeated names.
///
/// All pairs live in one shared string: each name and value is written as its length, then its text.
/// Lengths use six bits per byte, low bits first, with 0x40 as "more follows", so that every byte of the
/// buffer is valid UTF-8 and slices need no re-validation. Equality and hashing look at the buffer;
/// ordering is by (name, value) pairs as Prometheus orders label sets.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels {
    packed: Arc<str>,
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Labels { packed: Arc::from("") }
    }

    /// Builds a set from pairs in any order; of a repeated name the last wins, empty values are dropped.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds a set from pairs that are already sorted by name, unique and with non-empty values, without
    /// further checks. The hot path of decoders.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut packed = String::new();
        for (name, value) in pairs {
            push_text(&mut packed, name);
            push_text(&mut packed, value);
        }
        Labels { packed: Arc::from(packed) }
    }

    /// The pairs in order of name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.packed }
    }

    /// The value of `name`, or `None` if the set has no such label.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of `name`, or the empty string: a missing and an empty label are the same thing.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// Whether the set has no labels.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// A 64-bit hash (xxh3 of the packed form): stable across processes and releases of this format.
    pub fn stable_hash(&self) -> u64 {
        xxh3_64(self.packed.as_bytes())
    }

    /// The packed form, see the type's description: for stores and logs that keep it verbatim.
    pub fn as_packed(&self) -> &str {
        &self.packed
    }

    /// Reads a packed form back; `None` if it is not one (wrong lengths, names not ascending, empty values).
    pub fn from_packed(packed: &str) -> Option<Self> {
        let mut rest = packed;
        let mut previous: Option<&str> = None;
        while !rest.is_empty() {
            let (name, after) = take_text(rest)?;
            let (value, after) = take_text(after)?;
            if value.is_empty() || previous.is_some_and(|p| p >= name) {
                return None;
            }
            previous = Some(name);
            rest = after;
        }
        Some(Labels { packed: Arc::from(packed) })
    }

    /// The set without the labels `drop` says yes to.
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Self {
        Labels::from_sorted(self.iter().filter(|(name, _)| !drop(name)))
    }

    /// The set without its metric name.
    pub fn without_name(&self) -> Self {
        if self.get(METRIC_NAME).is_none() {
            return self.clone();
        }
        self.without(|name| name == METRIC_NAME)
    }

    /// Bytes of memory behind this set.
    pub fn heap_bytes(&self) -> usize {
        self.packed.len() + 16
    }
}

impl Default for Labels {
    fn default() -> Self {
        Labels::empty()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.packed.hash(state);
    }
}

impl Borrow<str> for Labels {
    /// The packed form, so that maps keyed by labels can be asked without building a set.
    fn borrow(&self) -> &str {
        &self.packed
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Prints `name{a="b", c="d"}` as PromQL writes it: the name in front when it is a plain metric name,
/// label names quoted when they are not plain.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare = is_legacy_metric_name(name);
        if bare {
            f.write_str(name)?;
            if self.len() == 1 {
                return Ok(());
            }
        }
        f.write_str("{")?;
        let mut first = true;
        if !bare && !name.is_empty() {
            write_quoted(f, name)?;
            first = false;
        }
        for (n, v) in self.iter().filter(|(n, _)| *n != METRIC_NAME) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if is_legacy_label_name(n) {
                f.write_str(n)?
            } else {
                write_quoted(f, n)?
            }
            f.write_str("=")?;
            write_quoted(f, v)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes `text` as a double-quoted string with Go's escapes.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&go_quote(text))
}

/// `text` as Go's `strconv.Quote` writes it: the form PromQL and the peers' error texts use.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// Whether Go prints a character that is no ASCII control character as it is: letters, marks, numbers,
/// punctuation and symbols, and of white space the ASCII space alone.
fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]").ok());
    c.is_ascii() || PRINTABLE.as_ref().is_none_or(|printable| printable.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`, the metric names PromQL takes without quotes.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_name(name, true)
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`, the label names PromQL takes without quotes.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_name(name, false)
}

fn is_name(name: &str, colon: bool) -> bool {
    let mut bytes = name.bytes();
    let head = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colon && b == b':');
    bytes.next().is_some_and(head) && bytes.all(|b| head(b) || b.is_ascii_digit())
}

/// Iterates over a set's pairs in order of name.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = take_text(self.rest)?;
        let (value, rest) = take_text(rest)?;
        self.rest = rest;
        Some((name, value))
    }
}

fn push_text(packed: &mut String, text: &str) {
    let mut length = text.len();
    while length >= 0x40 {
        packed.push(char::from((length & 0x3f) as u8 | 0x40));
        length >>= 6;
    }
    packed.push(char::from(length as u8));
    packed.push_str(text);
}

fn take_text(packed: &str) -> Option<(&str, &str)> {
    let mut length = 0usize;
    for (i, &byte) in packed.as_bytes().iter().enumerate().take(10) {
        if byte >= 0x80 {
            return None;
        }
        length |= usize::from(byte & 0x3f) << (6 * i);
        if byte & 0x40 == 0 {
            let text = packed.get(i + 1..)?;
            return Some((text.get(..length)?, text.get(length..)?));
        }
    }
    None
}

/// Collects labels in any order, then sorts them once.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        LabelsBuilder::default()
    }

    /// A builder that starts from an existing set.
    pub fn from_labels(labels: &Labels) -> Self {
        LabelsBuilder { pairs: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter().position(|(n, _)| n == name) {
            Some(at) if value.is_empty() => drop(self.pairs.swap_remove(at)),
            Some(at) => {
                if let Some(pair) = self.pairs.get_mut(at) {
                    value.clone_into(&mut pair.1);
                }
            }
            None if value.is_empty() => {}
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The current value of `name`, empty if unset.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The pairs set so far, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Whether no label is set.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The sorted set.
    pub fn build(&mut self) -> Labels {
        self.pairs.sort_unstable();
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(go_quote("a\"b\\\n\u{1}"), r#""a\"b\\\n\x01""#);
        assert_eq!(go_quote("é日😀\u{301}"), "\"é日😀\u{301}\"");
        assert_eq!(
            go_quote("\u{a0}\u{200b}\u{85}\u{e000}\u{10ffff}"),
            r#""\u00a0\u200b\u0085\ue000\U0010ffff""#
        );
    }

    #[test]
    fn keeps_pairs_sorted_and_drops_empty_values() {
        let labels = Labels::from_pairs([("z", "1"), ("a", "2"), ("b", ""), ("a", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "3"), ("z", "1")]);
        assert_eq!(labels.get("b"), None);
        assert_eq!(labels.value("b"), "");
    }

    #[test]
    fn packs_long_and_multibyte_text() {
        let long = "é".repeat(5000);
        let labels = Labels::from_pairs([("n", long.as_str()), ("m", "日本")]);
        assert_eq!(labels.get("n"), Some(long.as_str()));
        assert_eq!(Labels::from_packed(labels.as_packed()), Some(labels));
    }

    #[test]
    fn rejects_hostile_packed_forms() {
        for bad in ["\u{1}", "\u{5}ab", "\u{1}a", "\u{1}a\u{0}", "\u{1}b\u{1}x\u{1}a\u{1}x", "é"] {
            assert_eq!(Labels::from_packed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn orders_by_pairs_not_by_lengths() {
        let short = Labels::from_pairs([("a", "z")]);
        let long = Labels::from_pairs([("a", "bbbb")]);
        assert!(long < short);
        assert!(Labels::empty() < short);
    }

    #[test]
    fn prints_like_promql() {
        let f = |pairs: &[(&str, &str)], want: &str| {
            assert_eq!(Labels::from_pairs(pairs.iter().copied()).to_string(), want);
        };
        f(&[], "{}");
        f(&[(METRIC_NAME, "up")], "up");
        f(&[(METRIC_NAME, "up"), ("job", "a\"b\n")], r#"up{job="a\"b\n"}"#);
        f(&[(METRIC_NAME, "my.metric"), ("lab.el", "x")], r#"{"my.metric", "lab.el"="x"}"#);
    }
}
