//! Numbers, durations and quoted texts as Go reads them.

/// Reads a number the lexer let through: decimal, `0x` hexadecimal, octal with a leading zero, with `_`
/// between digits, `Inf` and `NaN`. Whole numbers follow Go's `strconv.ParseInt` with base 0, the rest
/// `strconv.ParseFloat`.
///
/// # Errors
/// The reason as `strconv` words it.
pub(crate) fn number(text: &str) -> Result<f64, &'static str> {
    const SYNTAX: &str = "invalid syntax";
    if !underscores_are_between_digits(text) {
        return Err(SYNTAX);
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).map(|n| n as f64).map_err(|_| SYNTAX);
    }
    if let Some(octal) = digits.strip_prefix('0').filter(|rest| !rest.is_empty())
        && let Ok(n) = i64::from_str_radix(octal, 8)
    {
        return Ok(n as f64);
    }
    let value: f64 = digits.parse().map_err(|_| SYNTAX)?;
    if value.is_infinite() && digits.contains(|c: char| c.is_ascii_digit()) {
        return Err("value out of range");
    }
    Ok(value)
}

/// Go's rule: every `_` stands between two digits or between a base prefix and a digit.
fn underscores_are_between_digits(text: &str) -> bool {
    let hex = text.starts_with("0x") || text.starts_with("0X");
    let is_digit = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let before = at.checked_sub(1).and_then(|i| bytes.get(i));
        let prefix = hex && at == 2;
        (prefix || before.is_some_and(is_digit)) && bytes.get(at + 1).is_some_and(is_digit)
    })
}

/// The text inside quotes with its escapes resolved. Bytes given as `\x80` or `\200` that do not form
/// UTF-8 become U+FFFD: no label holds them, so nothing can match either way.
pub(crate) fn unquote(quoted: &str) -> String {
    let mut chars = quoted.chars();
    let quote = chars.next();
    chars.next_back();
    let inner = chars.as_str();
    if quote == Some('`') || !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        match chars.next() {
            Some('a') => out.push(0x07),
            Some('b') => out.push(0x08),
            Some('f') => out.push(0x0c),
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('v') => out.push(0x0b),
            Some('x') => out.push(code(&mut chars, 2, 16, 0) as u8),
            Some('u') => push(&mut out, code_point(&mut chars, 4)),
            Some('U') => push(&mut out, code_point(&mut chars, 8)),
            Some(digit @ '0'..='7') => {
                let first = digit.to_digit(8).unwrap_or_default();
                out.push(code(&mut chars, 2, 8, first) as u8);
            }
            Some(c) => push(&mut out, c),
            None => {}
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn code_point(chars: &mut std::str::Chars<'_>, digits: usize) -> char {
    char::from_u32(code(chars, digits, 16, 0)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize, base: u32, first: u32) -> u32 {
    chars
        .take(digits)
        .fold(first, |sum, c| sum.wrapping_mul(base).wrapping_add(c.to_digit(base).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_go_does() {
        for (text, want) in [
            ("1", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1_000.5", 1000.5),
            ("0x1f", 31.0),
            ("0X_1_f", 31.0),
            ("0755", 493.0),
            ("0_7", 7.0),
            ("089", 89.0),
            ("00.5", 0.5),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("Inf", f64::INFINITY),
        ] {
            assert_eq!(number(text), Ok(want), "{text}");
        }
        assert!(number("nAn").is_ok_and(f64::is_nan));
        for (text, want) in [
            ("0x", "invalid syntax"),
            ("1_", "invalid syntax"),
            ("1e+", "invalid syntax"),
            ("0xffffffffffffffff", "invalid syntax"),
            ("1e999", "value out of range"),
        ] {
            assert_eq!(number(text), Err(want), "{text}");
        }
    }

    #[test]
    fn resolves_escapes() {
        assert_eq!(unquote(r#""a\"\n\x41\101\u00e9\U0001F600""#), "a\"\nAAé😀");
        assert_eq!(unquote(r"'it\'s'"), "it's");
        assert_eq!(unquote(r"`a\n`"), r"a\n");
        assert_eq!(unquote(r#""\xc3\xa9\xff""#), "é\u{fffd}");
    }
}
