//! Text to numbers, with the forms and the error texts of Go: floats, durations, sizes in bytes.

use novaobs_logql_parser::Conversion;
use novaobs_model::labels::go_quote;

/// What `unwrap` makes of a label's text: durations in seconds.
///
/// # Errors
/// The text that `__error_details__` gets.
pub fn unwrapped(conversion: Conversion, text: &str) -> Result<f64, String> {
    match conversion {
        Conversion::Number => number(text),
        Conversion::Bytes => bytes(text).map(|bytes| bytes as f64),
        Conversion::Duration | Conversion::DurationSeconds => duration(text).map(seconds),
    }
}

/// Nanoseconds as seconds, rounded as Go's `Duration.Seconds` does.
pub fn seconds(nanos: i64) -> f64 {
    (nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / 1e9
}

/// A float as `strconv.ParseFloat` takes it.
///
/// # Errors
/// The text that `__error_details__` gets.
pub fn number(text: &str) -> Result<f64, String> {
    let invalid = || format!("strconv.ParseFloat: parsing {}: invalid syntax", go_quote(text));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let value = match digits.as_bytes() {
        [b'0', b'x' | b'X', rest @ ..] => {
            let magnitude = hexadecimal(rest).ok_or_else(invalid)?;
            if text.starts_with('-') { -magnitude } else { magnitude }
        }
        // Rust takes a sign before NaN.
        [b'n' | b'N', ..] if digits.len() < text.len() => return Err(invalid()),
        _ if digits.contains('_') => {
            without_underscores(text).and_then(|t| t.parse().ok()).ok_or_else(invalid)?
        }
        _ => text.parse::<f64>().map_err(|_| invalid())?,
    };
    let written_infinite = matches!(digits.as_bytes().first(), Some(b'i' | b'I'));
    if value.is_infinite() && !written_infinite {
        return Err(format!("strconv.ParseFloat: parsing {}: value out of range", go_quote(text)));
    }
    Ok(value)
}

/// The text without underscores, if each stands between digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let between = |at: usize| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
    let fine = text.match_indices('_').all(|(at, _)| between(at));
    fine.then(|| text.replace('_', ""))
}

/// What follows `0x` in a hexadecimal float: `1.8p3`; the exponent is required, `_` may separate digits.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let at = text.iter().position(|b| matches!(b, b'p' | b'P'))?;
    let (mantissa, exponent) = text.split_at_checked(at)?;
    let exponent: i32 = std::str::from_utf8(exponent.get(1..)?).ok()?.parse().ok()?;
    let (mut value, mut scale, mut digits, mut after_point) = (0f64, 0i32, 0usize, false);
    let mut previous = b'_';
    for byte in mantissa {
        match byte {
            b'.' if !after_point => after_point = true,
            b'_' if digits == 0 || previous.is_ascii_hexdigit() => {}
            byte => {
                value = value * 16.0 + f64::from(char::from(*byte).to_digit(16)?);
                scale -= if after_point { 4 } else { 0 };
                digits += 1;
            }
        }
        previous = *byte;
    }
    (digits > 0 && previous != b'_').then(|| value * 2f64.powi(exponent.saturating_add(scale)))
}

/// Units of durations, in nanoseconds.
fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A duration in nanoseconds, as `time.ParseDuration` takes it: `1h2m3.5s`, `-10ms`, `0`.
///
/// # Errors
/// The text that `__error_details__` gets.
pub fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", time_quote(text));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    // Magnitudes go one further for negative durations.
    let most = 1u64 << 63;
    let mut total = 0u64;
    while !rest.is_empty() {
        let whole_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(whole_end);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let name_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (name, next) = after.split_at(name_end);
        let whole = match whole {
            "" => 0,
            digits => digits.parse::<u64>().ok().filter(|n| *n <= most).ok_or_else(invalid)?,
        };
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {}", time_quote(text)));
        }
        let unit = unit(name).ok_or_else(|| {
            format!("time: unknown unit {} in duration {}", time_quote(name), time_quote(text))
        })?;
        let mut part = whole.checked_mul(unit).filter(|n| *n <= most).ok_or_else(invalid)?;
        part += fraction_of(fraction, unit);
        total = total.checked_add(part).filter(|n| *n <= most).ok_or_else(invalid)?;
        rest = next;
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// `.digits` of a unit. Digits beyond what 63 bits hold do not count.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for digit in digits.bytes() {
        let next = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0')));
        let Some(next) = next.filter(|n| *n <= i64::MAX as u64) else { break };
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

/// Quotes as Go's package `time` does: bytes that are not printable ASCII as `\x..`.
fn time_quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' | 0x7f => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

/// A size as `5`, `5KB`, `1.5 MiB`, `1,000 k`; case does not matter.
///
/// # Errors
/// The text that `__error_details__` gets.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',')).count();
    let (digits, name) = text.split_at_checked(digits).unwrap_or((text, ""));
    let size = match digits.contains(',') {
        true => number(&digits.replace(',', ""))?,
        false => number(digits)?,
    };
    let unit = size_unit(name.trim());
    let unit = unit.ok_or_else(|| format!("unhandled size name: {}", name.trim().to_lowercase()))?;
    let size = size * unit as f64;
    if size >= u64::MAX as f64 {
        return Err(format!("too large: {text}"));
    }
    Ok(size as u64)
}

/// How many bytes a unit has: `k`, `kB` count in thousands, `Ki`, `KiB` in 1,024s.
fn size_unit(name: &str) -> Option<u64> {
    let is = |names: &[&str]| names.iter().any(|one| name.eq_ignore_ascii_case(one));
    if is(&["", "b"]) {
        return Some(1);
    }
    let letters = ["k", "m", "g", "t", "p", "e"];
    let mut head = name.chars();
    let letter = head.next()?.to_ascii_lowercase();
    let power = letters.iter().position(|one| one.starts_with(letter))? as u32 + 1;
    let rest = head.as_str();
    if rest.is_empty() || rest.eq_ignore_ascii_case("b") {
        return 1000u64.checked_pow(power);
    }
    (rest.eq_ignore_ascii_case("i") || rest.eq_ignore_ascii_case("ib")).then(|| 1u64 << (10 * power))
}
