//! Stream selectors in configuration: `{namespace="dev", pod=~"api-.*"}`, without the rest of LogQL.

use std::fmt::Write as _;

use novaobs_model::{MatchOp, Matcher};

/// A selector that cannot be used: what is wrong, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError(String);

impl std::fmt::Display for SelectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectorError {}

fn fault<T>(message: impl Into<String>) -> Result<T, SelectorError> {
    Err(SelectorError(message.into()))
}

/// Reads a selector with at least one matcher.
///
/// # Errors
/// [`SelectorError`].
pub fn parse(text: &str) -> Result<Vec<Matcher>, SelectorError> {
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(mut rest) = inner.map(str::trim) else {
        return fault(format!("{text:?} is not a stream selector: write it as {{name=\"value\"}}"));
    };
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let (matcher, after) = matcher(rest)?;
        matchers.push(matcher);
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else if !rest.is_empty() {
            return fault(format!("expected a comma or the end of the selector at {rest:?}"));
        }
    }
    if matchers.is_empty() { fault("the selector has no matcher") } else { Ok(matchers) }
}

fn matcher(text: &str) -> Result<(Matcher, &str), SelectorError> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return fault(format!("expected a label name at {text:?}"));
    }
    let rest = rest.trim_start();
    let operators =
        [("=~", MatchOp::Match), ("!~", MatchOp::NotMatch), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)];
    let found = operators.iter().find_map(|(sign, op)| rest.strip_prefix(sign).map(|rest| (*op, rest)));
    let Some((op, rest)) = found else {
        return fault(format!("expected one of =, !=, =~, !~ after {name}"));
    };
    let (value, rest) = quoted(rest.trim_start())?;
    match Matcher::new(name, op, &value) {
        Ok(matcher) => Ok((matcher, rest)),
        Err(error) => fault(error.to_string()),
    }
}

/// A text in double quotes, with Go's escapes, or in backquotes.
fn quoted(text: &str) -> Result<(String, &str), SelectorError> {
    if let Some(raw) = text.strip_prefix('`') {
        return match raw.split_once('`') {
            Some((value, rest)) => Ok((value.to_owned(), rest)),
            None => fault("a text in backquotes has no end"),
        };
    }
    let Some(rest) = text.strip_prefix('"') else {
        return fault(format!("expected a text in quotes at {text:?}"));
    };
    let mut value = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(escaped(&mut chars)?),
            c => value.push(c),
        }
    }
    fault("a text in quotes has no end")
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char, SelectorError> {
    let digits = match chars.next() {
        Some('n') => return Ok('\n'),
        Some('t') => return Ok('\t'),
        Some('r') => return Ok('\r'),
        Some(c @ ('\\' | '"' | '\'')) => return Ok(c),
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        Some(c) => {
            return fault(format!("unknown escape \\{c}: write \\\\{c} or put the text in backquotes"));
        }
        None => return fault("a text in quotes has no end"),
    };
    let code: String = chars.take(digits).collect();
    match u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits).and_then(char::from_u32) {
        Some(c) => Ok(c),
        None => fault(format!("{code:?} is not the number of a character")),
    }
}

/// Writes matchers as a selector.
pub fn print(matchers: &[Matcher]) -> String {
    let mut out = String::from("{");
    for (i, matcher) in matchers.iter().enumerate() {
        let sign = match matcher.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Match => "=~",
            MatchOp::NotMatch => "!~",
        };
        let value = matcher.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // Writing to a String does not fail.
        let _ = write!(out, "{}{}{sign}\"{value}\"", if i > 0 { ", " } else { "" }, matcher.name);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_selectors() {
        let f = |text: &str, want: &str| assert_eq!(print(&parse(text).unwrap()), want);
        f(r#"{a="b"}"#, r#"{a="b"}"#);
        f(r#" { a = "b" , c=~`d\d+`, } "#, r#"{a="b", c=~"d\\d+"}"#);
        f(r#"{a!="x\"y\u00e9", b!~"z"}"#, r#"{a!="x\"yé", b!~"z"}"#);
    }

    #[test]
    fn refuses_what_is_no_selector() {
        for bad in [
            "",
            "a",
            "{}",
            "{a=}",
            r#"{a="b"#,
            r#"{a=~"("}"#,
            r#"{="b"}"#,
            r#"{a="b" c="d"}"#,
            r#"{a=="b"}"#,
            r#"{a="\q"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
