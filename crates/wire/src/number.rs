//! Numbers as Go's `strconv` reads and prints them: the formats are defined by it.

use std::fmt::Write;

/// Why a text is not a number, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// A number the formats leave out although Go knows it: hexadecimal floats and digit separators.
    #[error("unsupported character in float")]
    Unsupported,
    /// Not a float at all.
    #[error("strconv.ParseFloat: parsing {0}: invalid syntax")]
    Float(String),
    /// A float beyond the largest.
    #[error("strconv.ParseFloat: parsing {0}: value out of range")]
    FloatRange(String),
    /// An integer that does not fit 64 bits.
    #[error("strconv.ParseInt: parsing {0}: value out of range")]
    IntegerRange(String),
}

/// Reads a sample's value: everything [`parse_float`] takes but hexadecimal floats and `_`.
///
/// # Errors
/// [`NumberError`].
pub fn parse_value(text: &[u8]) -> Result<f64, NumberError> {
    if let [digit @ b'0'..=b'9'] = text {
        return Ok(f64::from(digit - b'0'));
    }
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err(NumberError::Unsupported);
    }
    parse_float(text)
}

/// Reads a float as Go's `ParseFloat` with 64 bits does: decimal and hexadecimal floats, `_` between
/// digits, `inf`, `infinity` (with sign) and `nan` (without) in any case. Too large is an error, too small
/// is zero. Every NaN is the same, ordinary one.
///
/// # Errors
/// [`NumberError`].
pub fn parse_float(bytes: &[u8]) -> Result<f64, NumberError> {
    let syntax = || NumberError::Float(crate::quote::quote(bytes));
    let text = std::str::from_utf8(bytes).map_err(|_| syntax())?;
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value = match unsigned {
        [b'n' | b'N', ..] if unsigned.len() != bytes.len() => return Err(syntax()),
        [b'0', b'x' | b'X', ..] => parse_hex(unsigned, negative).ok_or_else(syntax)?,
        _ if unsigned.contains(&b'_') => {
            if !underscores_separate_digits(unsigned) {
                return Err(syntax());
            }
            text.replace('_', "").parse::<f64>().map_err(|_| syntax())?
        }
        _ => text.parse::<f64>().map_err(|_| syntax())?,
    };
    if value.is_nan() {
        return Ok(f64::NAN);
    }
    if value.is_infinite() && !matches!(unsigned, [b'i' | b'I', ..]) {
        return Err(NumberError::FloatRange(crate::quote::quote(bytes)));
    }
    Ok(value)
}

/// Whether each `_` stands between two digits (the prefix `0x` counts as one).
fn underscores_separate_digits(text: &[u8]) -> bool {
    let (digits, hex) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    let is_digit = |b: u8| b.is_ascii_digit() || (hex && b.is_ascii_hexdigit());
    let mut before = hex;
    let mut open = false;
    for &byte in digits {
        if byte == b'_' {
            if !before {
                return false;
            }
            (before, open) = (false, true);
            continue;
        }
        let digit = is_digit(byte);
        if open && !digit {
            return false;
        }
        (before, open) = (digit, false);
    }
    !open
}

/// Reads `0x` mantissa `p` exponent, rounded to nearest even; `None` for wrong syntax. Overflow is
/// infinite.
fn parse_hex(text: &[u8], negative: bool) -> Option<f64> {
    if text.contains(&b'_') && !underscores_separate_digits(text) {
        return None;
    }
    let mut mantissa = 0u64;
    let mut sticky = false;
    let mut exponent = 0i64;
    let (mut digits, mut fraction) = (false, false);
    let mut rest = text.get(2..)?.iter();
    let mut has_exponent = false;
    for &byte in rest.by_ref() {
        match byte {
            b'_' => {}
            b'.' if !fraction => fraction = true,
            b'p' | b'P' => {
                has_exponent = true;
                break;
            }
            _ => {
                let digit = char::from(byte).to_digit(16)?;
                digits = true;
                if mantissa >> 60 == 0 {
                    mantissa = mantissa << 4 | u64::from(digit);
                    exponent -= if fraction { 4 } else { 0 };
                } else {
                    sticky |= digit != 0;
                    exponent += if fraction { 0 } else { 4 };
                }
            }
        }
    }
    let power: String = rest.map(|b| char::from(*b)).filter(|c| *c != '_').collect();
    let unsigned = power.trim_start_matches(['+', '-']);
    if !digits || !has_exponent || unsigned.is_empty() || power.len() - unsigned.len() > 1 {
        return None;
    }
    if !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let power: i64 = power.parse().unwrap_or(if power.starts_with('-') { -100_000 } else { 100_000 });
    let value = scale(mantissa, sticky, exponent.saturating_add(power.clamp(-100_000, 100_000)));
    Some(if negative { -value } else { value })
}

/// mantissa × 2^exponent, rounded once to nearest even.
fn scale(mantissa: u64, sticky: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let zeros = mantissa.leading_zeros();
    let top = 63 - i64::from(zeros) + exponent;
    if top > 1023 {
        return f64::INFINITY;
    }
    // Bits a float of this size keeps: 53, fewer when it is subnormal.
    let kept = if top >= -1022 { 53 } else { 53 - (-1022 - top) };
    if kept < 0 {
        return 0.0;
    }
    let aligned = u128::from(mantissa << zeros) << 64;
    let shift = 128 - kept;
    let (mut significand, cut) =
        if shift >= 128 { (0, aligned) } else { (aligned >> shift, aligned & ((1u128 << shift) - 1)) };
    let half = 1u128 << (shift - 1).min(127);
    if cut > half || (cut == half && (sticky || significand & 1 == 1)) {
        significand += 1;
    }
    // significand < 2^54 and is scaled by a power of two in steps that stay exact.
    let mut value = significand as f64;
    let mut power = top + 1 - kept;
    while power != 0 {
        let step = power.clamp(-1000, 1000);
        value *= f64::powi(2.0, step as i32);
        power -= step;
    }
    value
}

/// [`push_float`] into a new string.
pub fn format_float(value: f64) -> String {
    let mut out = String::new();
    push_float(&mut out, value);
    out
}

/// Appends a float as Go's `FormatFloat(f, 'g', -1, 64)` prints it: the shortest digits that read back,
/// with an exponent of at least two digits from 1e+06 on and below 1e-04.
pub fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    let start = out.len();
    let _ = write!(out, "{value:e}");
    let exponent_at = out.get(start..).and_then(|text| text.find('e')).map_or(out.len(), |at| start + at);
    let exponent: i32 = out.get(exponent_at + 1..).and_then(|text| text.parse().ok()).unwrap_or(0);
    if (-4..6).contains(&exponent) {
        out.truncate(start);
        let _ = write!(out, "{value}");
        return;
    }
    out.truncate(exponent_at);
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "e{sign}{:02}", exponent.abs());
}

/// Appends a float as OpenMetrics wants it: as [`push_float`], with `.0` when it would look like an
/// integer.
pub fn push_openmetrics_float(out: &mut String, value: f64) {
    let start = out.len();
    push_float(out, value);
    let looks_float = out.get(start..).is_some_and(|text| text.contains(['.', 'e', 'N', 'I']));
    if !looks_float {
        out.push_str(".0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let f = |text: &str, want: f64| {
            let got = parse_float(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(got == want || (got.is_nan() && want.is_nan()), "{text}: {got} != {want}");
        };
        f("0", 0.0);
        f("-0.5e-3", -0.0005);
        f("1.", 1.0);
        f(".5", 0.5);
        f("1E+3", 1000.0);
        f("+Inf", f64::INFINITY);
        f("-inf", f64::NEG_INFINITY);
        f("INFINITY", f64::INFINITY);
        f("nAn", f64::NAN);
        f("1_000.5_0", 1000.5);
        f("0x1p-2", 0.25);
        f("-0X1.8P1", -3.0);
        f("0x_1_0p+4", 256.0);
        f("0x1p-1074", f64::from_bits(1));
        f("0x1p-1075", 0.0);
        f("0x1.8p-1075", f64::from_bits(1));
        f("0x1.fffffffffffff7p1023", f64::MAX);
        f("1e-400", 0.0);
    }

    #[test]
    fn refuses_what_go_refuses() {
        for bad in [
            "", "+", ".", "e5", "1e", "1 ", " 1", "+nan", "-NaN", "infi", "0x1", "0xp1", "0x1p", "_1",
            "1__0", "1_", "1_.5", "true", "0x1p+-1", "0x1p++1", "1,5",
        ] {
            assert!(matches!(parse_float(bad.as_bytes()), Err(NumberError::Float(_))), "{bad}");
        }
        for large in ["1e309", "-1e400", "0x1p1024", "0x1.fffffffffffff8p1023"] {
            assert!(matches!(parse_float(large.as_bytes()), Err(NumberError::FloatRange(_))), "{large}");
        }
        assert_eq!(parse_value(b"0x1p2"), Err(NumberError::Unsupported));
        assert_eq!(parse_value(b"1_2"), Err(NumberError::Unsupported));
    }

    #[test]
    fn prints_as_go_does() {
        let f = |value: f64, go: &str, openmetrics: &str| {
            assert_eq!(format_float(value), go);
            let mut out = String::new();
            push_openmetrics_float(&mut out, value);
            assert_eq!(out, openmetrics);
        };
        f(0.0, "0", "0.0");
        f(-1.0, "-1", "-1.0");
        f(0.1, "0.1", "0.1");
        f(100_000.0, "100000", "100000.0");
        f(1e6, "1e+06", "1e+06");
        f(1_234_567.0, "1.234567e+06", "1.234567e+06");
        f(1e21, "1e+21", "1e+21");
        f(123_456_789.5, "1.234567895e+08", "1.234567895e+08");
        f(0.0001, "0.0001", "0.0001");
        f(0.00001, "1e-05", "1e-05");
        f(1.5e300, "1.5e+300", "1.5e+300");
        f(f64::INFINITY, "+Inf", "+Inf");
        f(f64::NAN, "NaN", "NaN");
    }
}
