//! `-config.expand-env`: variables of the environment in the text of a configuration, before it is YAML.
//!
//! Only `${…}` is expanded, `$NAME` stays as it is and `$$` is a dollar sign: passwords often hold one. The
//! operators are those of a shell that people use: `:-` and `-` (value if unset), `:=`, `:?` (refuse with this
//! message if unset), `:+`.

/// A text that cannot be expanded: the line, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ExpandError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong and what to write.
    pub message: String,
}

/// Replaces every `${…}` of `text` by what `environment` says.
///
/// # Errors
/// [`ExpandError`] when a brace is not closed, a name is missing, or `${NAME:?message}` finds nothing.
pub fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let line = text.len() - from.len();
            let line = 1 + text.get(..line).unwrap_or("").matches('\n').count();
            let fail = |message: String| ExpandError { line, message };
            let end = closing_brace(after).ok_or_else(|| {
                fail("missing closing brace of ${: write ${NAME}, or $$ for a dollar sign".to_owned())
            })?;
            let (inside, tail) = after.split_at(end);
            out.push_str(&variable(inside, environment).map_err(fail)?);
            rest = tail.strip_prefix('}').unwrap_or(tail);
        } else {
            out.push('$');
            rest = from.strip_prefix('$').unwrap_or("");
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace closes that was opened just before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            '\n' => return None,
            _ => {}
        }
    }
    None
}

fn variable(inside: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, operator) = inside.split_at(end);
    if name.is_empty() {
        return Err(format!("unable to parse variable name in ${{{inside}}}: write ${{NAME}}"));
    }
    let value = environment(name);
    let nested = |text: &str| expand(text, environment).map_err(|error| error.message);
    if operator.is_empty() {
        return Ok(value.unwrap_or_default());
    }
    let (empty_counts, sign) = match operator.strip_prefix(':') {
        Some(sign) => (true, sign),
        None => (false, operator),
    };
    let value = value.filter(|value| !(empty_counts && value.is_empty()));
    let mut characters = sign.chars();
    match (characters.next(), value) {
        (Some('-' | '='), Some(value)) | (Some('?'), Some(value)) => Ok(value),
        (Some('-' | '='), None) => nested(characters.as_str()),
        (Some('?'), None) => Err(format!("{name} is not set: {}", characters.as_str())),
        (Some('+'), Some(_)) => nested(characters.as_str()),
        (Some('+'), None) => Ok(String::new()),
        _ => Err(format!("unknown operator in ${{{inside}}}: write ${{{name}}} or ${{{name}:-default}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, ExpandError> {
        expand(text, &|name| match name {
            "PORT" => Some("3300".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn expands_as_documented() {
        let f = |text: &str, want: &str| assert_eq!(run(text).unwrap(), want, "{text}");
        f("a ${PORT} b", "a 3300 b");
        f("${NONE}", "");
        f("${NONE:-3101}", "3101");
        f("${EMPTY:-x}${EMPTY-x}", "x");
        f("${PORT:-3101}", "3300");
        f("${NONE:=7}", "7");
        f("${PORT:?wanted}", "3300");
        f("${NONE:-${PORT}}", "3300");
        f("${PORT:+8}${NONE:+8}", "8");
        f("${NONE:-http://a:9/x}", "http://a:9/x");
        f("$PORT $$PORT $ x$", "$PORT $PORT $ x$");
        f(r"\${PORT}", r"\3300");
    }

    #[test]
    fn refuses_with_the_line() {
        let f = |text: &str, line: usize, want: &str| {
            let error = run(text).unwrap_err();
            assert!(error.line == line && error.message.contains(want), "{text}: {error}");
        };
        f("a\nb: ${NONE:?say which port}", 2, "NONE is not set: say which port");
        f("${PORT", 1, "missing closing brace");
        f("x\n${}\n", 2, "unable to parse variable name");
        f("${PORT^^}", 1, "unknown operator");
    }
}
