//! Which expressions of label filters print in backquotes.
//!
//! The peer turns `=~` into plain comparisons where the expression is literals, with or without `.*` around
//! them, joined by `|`, and then prints it as any string. Others it prints in backquotes. This tells the two
//! apart for the forms in use; it decides about print only.

/// Whether the expression is literals, `.*` and `|`, perhaps in one group.
pub(crate) fn is_comparisons(source: &str) -> bool {
    let source = source.strip_prefix("(?i)").unwrap_or(source);
    let inner = source.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    let source = inner.map_or(source, |inner| inner.strip_prefix("?:").unwrap_or(inner));
    let mut before: Option<&str> = None;
    for alternative in source.split('|') {
        if !is_comparison(alternative) || before.is_some_and(|before| makes_a_class(before, alternative)) {
            return false;
        }
        before = Some(alternative);
    }
    true
}

/// A literal with or without `.*` on its sides, or `.*` and `.+` alone.
fn is_comparison(alternative: &str) -> bool {
    if matches!(alternative, ".+" | ".+?") {
        return true;
    }
    let alternative =
        alternative.strip_suffix("*?").map_or(alternative.to_owned(), |start| format!("{start}*"));
    let literal = alternative.strip_prefix(".*").unwrap_or(&alternative);
    let literal = literal.strip_suffix(".*").filter(|literal| !literal.is_empty()).unwrap_or(literal);
    is_literal(literal)
}

fn is_literal(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => chars
                .next()
                .is_some_and(|escaped| escaped.is_ascii_punctuation() || "nrtafv".contains(escaped)),
            // A class of one character.
            '[' => {
                chars.next().is_some_and(|member| member != '^' && member != '\\')
                    && chars.next() == Some(']')
            }
            '.' | '+' | '*' | '?' | '(' | ')' | ']' | '{' | '}' | '^' | '$' => false,
            _ => true,
        };
        if !plain {
            return false;
        }
    }
    true
}

/// Whether two neighbours differ in their last character alone: `foo|fob` is the same as `fo[ob]`.
fn makes_a_class(left: &str, right: &str) -> bool {
    if !is_literal(left) || !is_literal(right) {
        return false;
    }
    let (mut left, mut right) = (left.chars(), right.chars());
    let (left_last, right_last) = (left.next_back(), right.next_back());
    left_last.is_some() && left_last != right_last && left.as_str() == right.as_str() && right_last.is_some()
}
