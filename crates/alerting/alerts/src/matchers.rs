//! Matchers in Alertmanager's two syntaxes: the UTF-8 one, and the classic one as a fallback.

use std::fmt;

use novaobs_model::regex::RegexError;
use novaobs_model::{Labels, MatchOp, Matcher};

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matchers(Vec<Matcher>);

impl Matchers {
    /// Sorts by name, value and operator, the order that route keys need.
    pub fn sorted(mut matchers: Vec<Matcher>) -> Matchers {
        let rank = |op: MatchOp| match op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Match => 2,
            MatchOp::NotMatch => 3,
        };
        matchers.sort_by(|a, b| {
            a.name.cmp(&b.name).then_with(|| a.value.cmp(&b.value)).then_with(|| rank(a.op).cmp(&rank(b.op)))
        });
        Matchers(matchers)
    }

    /// Whether all conditions hold; none means yes.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions.
    pub fn iter(&self) -> impl Iterator<Item = &Matcher> {
        self.0.iter()
    }
}

/// Prints `{a="b",c=~"d"}`, the form that group keys contain.
impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, matcher) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(&text(matcher))?;
        }
        f.write_str("}")
    }
}

/// A matcher as Alertmanager prints it: the name quoted only when it holds reserved characters, the value
/// always, with OpenMetrics escapes then.
pub fn text(matcher: &Matcher) -> String {
    let Matcher { name, op, value, .. } = matcher;
    if name.contains(is_reserved) {
        let quote = novaobs_model::labels::go_quote;
        return format!("{}{op}{}", quote(name), quote(value));
    }
    let escaped = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    format!("{name}{op}\"{escaped}\"")
}

fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

/// A text that is not a matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// Not `name`, operator, `value`.
    #[error("bad matcher format: {0}")]
    Format(String),
    /// A quote where none may stand, or one that is not closed.
    #[error("matcher value contains unescaped double quote: {0}")]
    Quote(String),
    /// A single matcher in braces.
    #[error("unexpected open or close brace: {0}")]
    Brace(String),
    /// Another number of matchers than one.
    #[error("expected 1 matcher, found {0}")]
    Count(usize),
    /// An expression that does not compile.
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// Not in the UTF-8 syntax; only seen inside [`Parsed::warning`].
    #[error("{0}")]
    Utf8(String),
}

/// Matchers, and what their author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value.
    pub value: T,
    /// That the text is only valid, or means something else, in the classic syntax.
    pub warning: Option<String>,
}

/// Parses one matcher, as the API's `filter` parameters hold it.
///
/// # Errors
/// [`MatcherError`] when neither syntax reads it.
pub fn parse_one(input: &str) -> Result<Parsed<Matcher>, MatcherError> {
    if input.starts_with('{') || input.ends_with('}') {
        return Err(MatcherError::Brace(input.to_owned()));
    }
    let single = parse_utf8(input).and_then(|mut all| match (all.pop(), all.len()) {
        (Some(one), 0) => Ok(one),
        (_, rest) => Err(MatcherError::Count(rest + 1)),
    });
    reconcile(input, single, parse_classic(input), text)
}

/// Parses a list of matchers with or without braces, as an entry of `matchers:` holds it.
///
/// # Errors
/// [`MatcherError`] when neither syntax reads it.
pub fn parse_list(input: &str) -> Result<Parsed<Vec<Matcher>>, MatcherError> {
    let suggest = |all: &Vec<Matcher>| all.iter().map(text).collect::<Vec<_>>().join(",");
    reconcile(input, parse_utf8(input), parse_classic_list(input), suggest)
}

fn reconcile<T: PartialEq>(
    input: &str,
    utf8: Result<T, MatcherError>,
    classic: Result<T, MatcherError>,
    suggest: impl Fn(&T) -> String,
) -> Result<Parsed<T>, MatcherError> {
    match (utf8, classic) {
        (Err(_), Err(classic)) => Err(classic),
        (Err(utf8), Ok(value)) => {
            let warning = format!(
                "the matchers {input:?} are read in the classic syntax, the UTF-8 syntax refuses them ({utf8}): \
                 write {}",
                suggest(&value)
            );
            Ok(Parsed { value, warning: Some(warning) })
        }
        (Ok(utf8), Ok(classic)) if utf8 != classic => {
            let warning = format!(
                "the matchers {input:?} mean different things in the classic and in the UTF-8 syntax and are \
                 read in the classic one: write {}",
                suggest(&classic)
            );
            Ok(Parsed { value: classic, warning: Some(warning) })
        }
        (Ok(value), _) => Ok(Parsed { value, warning: None }),
    }
}

fn parse_classic_list(input: &str) -> Result<Vec<Matcher>, MatcherError> {
    let body = input.strip_prefix('{').unwrap_or(input);
    let body = body.strip_suffix('}').unwrap_or(body);
    let mut tokens = Vec::new();
    let (mut token, mut quoted, mut escaped) = (String::new(), false, false);
    for c in body.chars() {
        match c {
            ',' if !quoted => {
                tokens.push(std::mem::take(&mut token));
                continue;
            }
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        token.push(c);
    }
    if !token.trim().is_empty() {
        tokens.push(token.trim().to_owned());
    }
    tokens.iter().map(|token| parse_classic(token)).collect()
}

/// `name op value`: the value may stand in double quotes; `\n`, `\"` and `\\` are escapes, another
/// backslash is itself.
fn parse_classic(input: &str) -> Result<Matcher, MatcherError> {
    const SPACE: [char; 5] = [' ', '\t', '\n', '\r', '\u{c}'];
    let format = || MatcherError::Format(input.to_owned());
    let rest = input.trim_start_matches(SPACE);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or_else(format)?;
    let (name, rest) = rest.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format());
    }
    let (op, rest) = operator(rest.trim_start_matches(SPACE)).ok_or_else(format)?;
    let raw = rest.trim_matches(SPACE);
    let quote = || MatcherError::Quote(raw.to_owned());
    let (body, mut open) = match raw.strip_prefix('"') {
        Some(body) => (body, true),
        None => (raw, false),
    };
    let mut value = String::new();
    let mut escaped = false;
    for (i, c) in body.char_indices() {
        let last = i + c.len_utf8() == body.len();
        match c {
            _ if escaped => {
                escaped = false;
                match c {
                    'n' => value.push('\n'),
                    '"' | '\\' => value.push(c),
                    _ => value.extend(['\\', c]),
                }
            }
            '\\' if !last => escaped = true,
            '"' if open && last => open = false,
            '"' => return Err(quote()),
            _ => value.push(c),
        }
    }
    if open {
        return Err(quote());
    }
    Ok(Matcher::new(name, op, &value)?)
}

fn operator(text: &str) -> Option<(MatchOp, &str)> {
    [("=~", MatchOp::Match), ("=", MatchOp::Equal), ("!=", MatchOp::NotEqual), ("!~", MatchOp::NotMatch)]
        .into_iter()
        .find_map(|(token, op)| Some((op, text.strip_prefix(token)?)))
}

/// The UTF-8 syntax: `{`, matchers separated by commas, `}`; names and values bare (without reserved
/// characters) or in double quotes with Go's escapes.
fn parse_utf8(input: &str) -> Result<Vec<Matcher>, MatcherError> {
    let expected = |what: &str, rest: &str| {
        let column = input.chars().count() - rest.chars().count();
        MatcherError::Utf8(format!("{column}: expected {what}"))
    };
    let mut rest = input.trim_start();
    let braced = match rest.strip_prefix('{') {
        Some(inner) => {
            rest = inner.trim_start();
            true
        }
        None => false,
    };
    let mut matchers = Vec::new();
    while !rest.is_empty() && !rest.starts_with('}') {
        let (name, after) = utf8_word(rest).ok_or_else(|| expected("label name", rest))?;
        let after = after.trim_start();
        let (op, after) =
            operator(after).ok_or_else(|| expected("an operator such as '=', '!=', '=~' or '!~'", after))?;
        let after = after.trim_start();
        let (value, after) = utf8_word(after).ok_or_else(|| expected("label value", after))?;
        matchers.push(Matcher::new(&name, op, &value)?);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || rest.starts_with('}') => break,
            None => return Err(expected("a comma or close brace", rest)),
        }
    }
    if braced {
        rest = rest.strip_prefix('}').ok_or_else(|| expected("close brace", rest))?.trim_start();
    }
    if rest.is_empty() { Ok(matchers) } else { Err(expected("end of input", rest)) }
}

/// A name or value and what follows it.
fn utf8_word(text: &str) -> Option<(String, &str)> {
    if let Some(body) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = body.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        })?;
        return Some((go_unquote(body.get(..end)?)?, body.get(end + 1..)?));
    }
    let end = text.find(is_reserved).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word.to_owned(), rest))
}

/// Undoes the escapes of a Go string literal (without its quotes).
fn go_unquote(body: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        if c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.chars().next()?;
        let after = rest.get(escape.len_utf8()..)?;
        let (digits, radix) = match escape {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (3, 8),
            _ => (0, 0),
        };
        if digits == 0 {
            bytes.push(match escape {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                '\\' | '"' => escape as u8,
                _ => return None,
            });
            rest = after;
            continue;
        }
        let number = if radix == 8 { rest } else { after };
        let code = u32::from_str_radix(number.get(..digits)?, radix).ok()?;
        rest = number.get(digits..)?;
        match escape {
            'u' | 'U' => bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes()),
            _ => bytes.push(u8::try_from(code).ok()?),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a filter's matchers fit a label set. Unlike elsewhere, `a=""` asks for the label to be absent
/// and `a!=""` for it to be present, whatever its value.
pub fn filter_matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| {
        let present = labels.get(&matcher.name).is_some();
        let negative = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotMatch);
        (matcher.value.is_empty() && present == negative) || matcher.matches_labels(labels)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_prints_them_back() {
        let f = |input: &str, want: &str| {
            let parsed = parse_list(input).unwrap_or_else(|error| panic!("{input}: {error}"));
            assert_eq!(Matchers::sorted(parsed.value).to_string(), want, "{input}");
        };
        f("", "{}");
        f("{}", "{}");
        f("foo=bar", r#"{foo="bar"}"#);
        f(r#"{foo = "bar", dings != "bums", }"#, r#"{dings!="bums",foo="bar"}"#);
        f("foo=bar,dings!=bums", r#"{dings!="bums",foo="bar"}"#);
        f(r#"statuscode=~"5..""#, r#"{statuscode=~"5.."}"#);
        f(r#"{quote="She said: \"Hi, ladies! \""}"#, r#"{quote="She said: \"Hi, ladies! \""}"#);
        f(r#""foo bar"="baz🙂""#, r#"{"foo bar"="baz🙂"}"#);
        f("Σ=x", r#"{Σ="x"}"#);
        f(r#"a="\n""#, r#"{a="\n"}"#);
        f("a=,b=x", r#"{a="",b="x"}"#);
        f("foo=bar=baz", r#"{foo="bar=baz"}"#);
    }

    #[test]
    fn falls_back_with_a_warning() {
        let f = |input: &str, warned: bool, value: &str| {
            let parsed = parse_one(input).unwrap_or_else(|error| panic!("{input}: {error}"));
            assert_eq!((parsed.warning.is_some(), parsed.value.value.as_str()), (warned, value), "{input}");
        };
        f("a=b", false, "b");
        f(r#"a="b""#, false, "b");
        f("a=~b.*", false, "b.*");
        f("a=~(b|c)", false, "(b|c)");
        f("a=", true, "");
        f("a=b c", true, "b c");
        f(r#"a="\d""#, true, r"\d");
        f(r#"a="\t""#, true, r"\t");
        f(r#""a b"=c"#, false, "c");
    }

    #[test]
    fn refuses_with_the_peers_words() {
        let f = |input: &str, want: &str| assert_eq!(parse_one(input).unwrap_err().to_string(), want);
        f("bad", "bad matcher format: bad");
        f("", "bad matcher format: ");
        f("{a=\"b\"}", "unexpected open or close brace: {a=\"b\"}");
        f("a=\"b", "matcher value contains unescaped double quote: \"b");
        f("a=b\"c", "matcher value contains unescaped double quote: b\"c");
        f("1a=b c", "bad matcher format: 1a=b c");
        assert!(parse_one("a=~(").unwrap_err().to_string().starts_with("error parsing regexp: "));
    }

    #[test]
    fn filters_treat_empty_values_as_absence() {
        let labels = Labels::from_pairs([("a", "1")]);
        let f = |filter: &str, want: bool| {
            assert_eq!(filter_matches(&[parse_one(filter).unwrap().value], &labels), want, "{filter}");
        };
        f("a=\"1\"", true);
        f("a=\"\"", false);
        f("b=\"\"", true);
        f("a!=\"\"", true);
        f("b!=\"\"", false);
        f("a!~\"\"", true);
    }
}
