//! Regular expressions as the peers write them: RE2 syntax, fully anchored, dot matches newline.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

/// An anchored expression in Go's (RE2) syntax.
///
/// Alternations of plain strings (`a|b|c`, the commonest dashboards' form), pure literals, prefixes
/// (`foo.*`) and `.*`/`.+` are answered without running an automaton.
#[derive(Clone)]
pub struct GoRegex {
    source: String,
    shape: Shape,
    regex: Regex,
    unanchored: Arc<OnceLock<Option<Regex>>>,
}

#[derive(Clone)]
enum Shape {
    Any,
    NonEmpty,
    OneOf(Vec<String>),
    Prefix(String),
    General,
}

/// An expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(String);

/// At most this many alternatives are kept as a list of strings.
const MAX_ALTERNATIVES: usize = 10_000;
/// Bytes a compiled expression may take; a hostile one is refused instead of eating memory.
const SIZE_LIMIT: usize = 10 << 20;

impl GoRegex {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`RegexError`] when it is not a valid RE2 expression or is too large.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        crate::go_syntax::check(source).map_err(RegexError)?;
        let translated = translate(source);
        let anchored = format!("^(?s:{translated})$");
        let regex = RegexBuilder::new(&anchored)
            .size_limit(SIZE_LIMIT)
            .octal(true)
            .build()
            .map_err(|error| RegexError(explain(&error, source)))?;
        Ok(GoRegex {
            source: source.to_owned(),
            shape: shape_of(&translated),
            regex,
            unanchored: Arc::default(),
        })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether all of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Any => true,
            Shape::NonEmpty => !text.is_empty(),
            Shape::OneOf(all) => all.binary_search_by(|one| one.as_str().cmp(text)).is_ok(),
            Shape::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Shape::General => self.regex.is_match(text),
        }
    }

    /// The strings it matches, sorted, when they are few and plain: an index can look them up one by one.
    pub fn alternatives(&self) -> Option<&[String]> {
        match &self.shape {
            Shape::OneOf(all) => Some(all),
            _ => None,
        }
    }

    /// A prefix that every match begins with; empty when none is known.
    pub fn prefix(&self) -> &str {
        match &self.shape {
            Shape::Prefix(prefix) => prefix,
            _ => "",
        }
    }

    /// The same expression without its anchors, for finding it anywhere in a text; `.` matches newlines.
    /// Compiled when first asked for and kept. `None` when it is too large only without its anchors, which
    /// is next to impossible.
    pub fn unanchored(&self) -> Option<&Regex> {
        let compile = || {
            RegexBuilder::new(&format!("(?s:{})", translate(&self.source)))
                .size_limit(SIZE_LIMIT)
                .octal(true)
                .build()
                .ok()
        };
        self.unanchored.get_or_init(compile).as_ref()
    }

    /// Whether it matches every text, the empty one too.
    pub fn matches_all(&self) -> bool {
        matches!(self.shape, Shape::Any)
    }

    /// Expands `template` (`$1`, `${name}`, `$$`) with the groups of a match of all of `text`; `None` when
    /// `text` does not match. Go's rules: the name after `$` is as long as possible, unknown groups are
    /// empty.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(tail) = rest.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some((name, tail)) = group_name(rest) {
                let group = match name.parse::<usize>() {
                    Ok(number) => captures.get(number),
                    Err(_) => captures.name(name),
                };
                out.push_str(group.map_or("", |found| found.as_str()));
                rest = tail;
            } else {
                // Go takes a malformed reference as it is.
                out.push('$');
            }
        }
        out.push_str(rest);
        Some(out)
    }
}

/// Compiles an expression in Go's (RE2) syntax to be looked for anywhere in a text: not anchored, and dot
/// does not match a newline.
///
/// # Errors
/// [`RegexError`] when it is not a valid RE2 expression or is too large.
pub fn search(source: &str) -> Result<Regex, RegexError> {
    crate::go_syntax::check(source).map_err(RegexError)?;
    RegexBuilder::new(&translate(source))
        .size_limit(SIZE_LIMIT)
        .octal(true)
        .build()
        .map_err(|error| RegexError(explain(&error, source)))
}

/// The name at the start of `text` (in braces or not) and what follows it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let (name, tail) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, tail))
}

impl fmt::Debug for GoRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl PartialEq for GoRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for GoRegex {}

/// Rewrites the few constructs that RE2 takes and Rust's `regex` does not: `\Q…\E` quoting, `\C`, a brace
/// that opens no repetition, and `\pN` classes inside sets are the same in both.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or("");
        match c {
            '\\' if after.starts_with('Q') && !in_class => {
                let quoted = after.get(1..).unwrap_or("");
                let (literal, tail) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                out.push_str(&regex::escape(literal));
                rest = tail;
                continue;
            }
            '\\' => {
                out.push('\\');
                let escaped = after.chars().next();
                if let Some(ascii) = escaped.and_then(|c| ascii_class(c, in_class)) {
                    out.pop();
                    out.push_str(ascii);
                    rest = after.get(1..).unwrap_or("");
                    continue;
                }
                if matches!(escaped, Some('<' | '>')) {
                    out.pop(); // plain in RE2, the ends of a word in Rust
                }
                out.extend(escaped);
                rest = after.get(escaped.map_or(0, char::len_utf8)..).unwrap_or("");
                // The name or number in `\p{Greek}` and `\x{e9}`.
                if matches!(escaped, Some('p' | 'P' | 'x'))
                    && rest.starts_with('{')
                    && let Some(end) = rest.find('}')
                {
                    let (braced, tail) = rest.split_at(end + 1);
                    out.push_str(braced);
                    rest = tail;
                }
                continue;
            }
            '(' if !in_class && after.starts_with("?)") => {
                rest = after.get(2..).unwrap_or("");
                continue;
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                rest = after;
                // A `]` right after the opening (or its negation) is a literal in both syntaxes.
                for lead in ["^", "]"] {
                    if let Some(tail) = rest.strip_prefix(lead) {
                        out.push_str(if lead == "]" { "\\]" } else { lead });
                        rest = tail;
                    }
                }
                continue;
            }
            '[' if after.starts_with(':') && after.contains(":]") => {
                let end = after.find(":]").map_or(0, |at| at + 2);
                let (name, tail) = after.split_at(end);
                out.push('[');
                out.push_str(name);
                rest = tail;
                continue;
            }
            // Rust nests sets and knows &&, -- and ~~ inside them; RE2 takes these letters as they are.
            '[' => out.push_str("\\["),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && after.starts_with('-') => out.push_str("\\-"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '{' if !in_class && !opens_repetition(after) => out.push_str("\\{"),
            _ => out.push(c),
        }
        rest = after;
    }
    out
}

/// `\d`, `\w`, `\s` and `\b` are about ASCII in RE2 and about Unicode in Rust.
fn ascii_class(escaped: char, in_class: bool) -> Option<&'static str> {
    Some(match (escaped, in_class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => r"[\t\n\f\r ]",
        ('s', true) => r"\t\n\f\r ",
        ('S', _) => r"[^\t\n\f\r ]",
        ('b', false) => r"(?-u:\b)",
        _ => return None,
    })
}

/// Whether the text after a `{` reads `n}`, `n,}` or `n,m}`.
fn opens_repetition(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else { return false };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

/// The last line of the library's message in Go's shape: reason, then the expression.
fn explain(error: &regex::Error, source: &str) -> String {
    let text = match error {
        regex::Error::CompiledTooBig(_) => return format!("expression too large: `{source}`"),
        other => other.to_string(),
    };
    let reason = text.lines().last().unwrap_or("invalid").trim_start_matches("error: ");
    format!("{reason}: `{source}`")
}

fn shape_of(translated: &str) -> Shape {
    let parser = regex_syntax::ParserBuilder::new().dot_matches_new_line(true).build();
    let Ok(hir) = { parser }.parse(translated) else { return Shape::General };
    if is_dot_star(&hir, 0) {
        return Shape::Any;
    }
    if is_dot_star(&hir, 1) {
        return Shape::NonEmpty;
    }
    if let Some(mut all) = literals(&hir) {
        all.sort_unstable();
        all.dedup();
        return Shape::OneOf(all);
    }
    if let HirKind::Concat(parts) = hir.kind()
        && let [head, tail] = parts.as_slice()
        && is_dot_star(tail, 0)
        && let Some([one]) = literals(head).as_deref()
    {
        return Shape::Prefix(one.clone());
    }
    Shape::General
}

/// Whether `hir` is `.*` (`min` 0) or `.+` (`min` 1) over all characters.
fn is_dot_star(hir: &Hir, min: u32) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_dot_star(&capture.sub, min),
        HirKind::Repetition(repetition) => {
            repetition.min == min
                && repetition.max.is_none()
                && *repetition.sub == Hir::dot(regex_syntax::hir::Dot::AnyChar)
        }
        _ => false,
    }
}

/// The finite list of strings `hir` matches, if it is a small product of literals and alternations.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            let count: u64 = class.iter().map(|r| u64::from(r.end()) - u64::from(r.start()) + 1).sum();
            (count <= 16).then(|| class.iter().flat_map(|r| r.start()..=r.end()).map(String::from).collect())
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(literals(part)?);
                if all.len() > MAX_ALTERNATIVES {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut all = vec![String::new()];
            for part in parts {
                let tails = literals(part)?;
                if all.len() * tails.len() > MAX_ALTERNATIVES {
                    return None;
                }
                all = all
                    .iter()
                    .flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}")))
                    .collect();
            }
            Some(all)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_texts() {
        let f = |source: &str, yes: &[&str], no: &[&str]| {
            let regex = GoRegex::new(source).unwrap();
            for text in yes {
                assert!(regex.is_match(text), "{source} should match {text:?}");
                assert!(regex.regex.is_match(text), "{source}: fast path and automaton differ on {text:?}");
            }
            for text in no {
                assert!(!regex.is_match(text), "{source} should not match {text:?}");
                assert!(!regex.regex.is_match(text), "{source}: fast path and automaton differ on {text:?}");
            }
        };
        f("a|b|cd", &["a", "b", "cd"], &["", "ab", "c"]);
        f("", &[""], &["a"]);
        f(".*", &["", "a\nb"], &[]);
        f(".+", &["a", "\n"], &[""]);
        f("foo.*", &["foo", "foobar\n"], &["fo", "xfoo"]);
        f("(foo|bar)-[01]", &["foo-0", "bar-1"], &["foo-2"]);
        f("(?i)abc", &["ABC", "abc"], &["abd"]);
        f(r"\Qa.b\E+", &["a.b", "a.bb"], &["axb"]);
        f("a{b", &["a{b"], &["ab"]);
        f("a{2}", &["aa"], &["a{2}"]);
        f("[[:alpha:]]+", &["ab"], &["1", "[a"]);
        f("[]a]+", &["]a"], &["b"]);
        f("[a&&b]", &["a", "&", "b"], &["c"]);
        f("[[a]", &["[", "a"], &["b"]);
        f("a|b$", &["a", "b"], &["c"]);
        f(r"\d+", &["12"], &["١٢"]);
        f(r"[\d.]+", &["1.2"], &["١"]);
        f(r"\w+", &["a_1"], &["é"]);
        f(r"[^\W]+", &["ab"], &["é", "-"]);
        f(r"a\sb", &["a b"], &["a\u{a0}b", "a\u{b}b"]);
        f(r".*\bx", &["a x", "éx"], &["ax"]);
        f(r"\p{L}+\x{41}", &["éA"], &["1A", "é"]);
        f(r"[:alpha:]\<", &["a<", ":<"], &["b<"]);
        f("a(?)b", &["ab"], &["a"]);
    }

    #[test]
    fn refuses_with_the_expression_in_the_message() {
        let error = GoRegex::new("a(b").unwrap_err().to_string();
        assert_eq!(error, "error parsing regexp: missing closing ): `a(b`");
        assert!(GoRegex::new(")(").is_err(), "the anchors' group must not be closed from inside");
        assert!(GoRegex::new("(?=a)").is_err());
        assert!(GoRegex::new("((a{1000}){1000}){1000}").is_err());
    }

    #[test]
    fn expands_groups_as_go_does() {
        let regex = GoRegex::new("(.*)-(?P<n>.*)").unwrap();
        assert_eq!(regex.expand("a-b", "$1/${n}/$$/$9/${1}x/$1x").as_deref(), Some("a/b/$//ax/"));
        assert_eq!(regex.expand("ab", "$1"), None);
        assert_eq!(regex.expand("a-b", "${a-b}$-${}${1$").as_deref(), Some("${a-b}$-${}${1$"));
    }
}
