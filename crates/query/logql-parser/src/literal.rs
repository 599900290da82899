//! Numbers, durations, byte counts and strings: text to value, and value to text.

/// Why a text is no number, as Go's `strconv` says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NumberError {
    /// Go reads no integer with a base prefix as a float.
    Syntax,
    /// Beyond the largest float: infinite.
    Range,
}

impl NumberError {
    pub(crate) fn explain(self, text: &str) -> String {
        let reason = match self {
            NumberError::Syntax => "invalid syntax",
            NumberError::Range => "value out of range",
        };
        format!("strconv.ParseFloat: parsing \"{text}\": {reason}")
    }
}

/// Reads a number token: decimal, or hexadecimal with an exponent, with underscores between digits.
pub(crate) fn number(text: &str) -> Result<f64, NumberError> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let lower = plain.to_ascii_lowercase();
    let value = match lower.strip_prefix("0x") {
        Some(digits) => hexadecimal(digits).ok_or(NumberError::Syntax)?,
        None => lower.parse::<f64>().map_err(|_| NumberError::Syntax)?,
    };
    if value.is_finite() { Ok(value) } else { Err(NumberError::Range) }
}

/// `1.8p4`: hexadecimal digits times a power of two. Exact for up to 53 significant bits.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.chars().chain(fraction.chars());
    let value = digits.filter_map(|c| c.to_digit(16)).fold(0.0, |sum, digit| sum * 16.0 + f64::from(digit));
    let shift = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * f64::from(exponent.parse::<i32>().ok()?.checked_sub(shift)?).exp2())
}

/// Nanoseconds of Go's duration units.
const DURATION_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `1h30m` and `1d` (as Prometheus does) or `1.5h` and `-10us` (as Go does), in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    match novaobs_model::duration::parse(text) {
        Ok(duration) => i64::try_from(duration.as_nanos()).ok(),
        Err(_) => go_duration(text),
    }
}

/// Go's `time.ParseDuration` without a plus sign.
fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, nanos) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(*nanos)?)?;
        if !fraction.is_empty() {
            let (digits, scale) = leading_fraction(fraction);
            total = total.checked_add((digits as f64 * (*nanos as f64 / scale)) as u64)?;
        }
        rest = after;
    }
    let total = i64::try_from(total).ok()?;
    Some(if negative { -total } else { total })
}

/// The digits behind a point as a number, as far as one holds them, and what that number is to be divided by.
fn leading_fraction(text: &str) -> (u64, f64) {
    let (mut digits, mut scale) = (0u64, 1.0);
    for digit in text.bytes().map(|byte| u64::from(byte.wrapping_sub(b'0'))) {
        let Some(more) = digits.checked_mul(10).and_then(|digits| digits.checked_add(digit)) else { break };
        digits = more;
        scale *= 10.0;
    }
    (digits, scale)
}

/// A duration as Go prints it: `1h30m0s`, `1.5s`, `10µs`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let text = match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{size}ns"),
        1_000..1_000_000 => decimal(size, 1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(size, 1_000_000, "ms"),
        _ => {
            let minutes = size / 60_000_000_000;
            let seconds = decimal(size % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `size / unit` with as many decimals as it needs.
fn decimal(size: u64, unit: u64, name: &str) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", size % unit);
    match fraction.trim_end_matches('0') {
        "" => format!("{}{name}", size / unit),
        fraction => format!("{}.{fraction}{name}", size / unit),
    }
}

/// A duration as Prometheus prints it: `1d12h`, `5m`; negative ones with a sign.
pub(crate) fn format_window(nanos: i64) -> String {
    let text = novaobs_model::duration::format_ms(nanos.unsigned_abs() / 1_000_000);
    if nanos < 0 { format!("-{text}") } else { text }
}

/// Reads `5KB`, `1.5MiB`, `3B`: powers of 1000, with an `i` of 1024. Nothing beyond 2^64-1.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim().to_lowercase();
    let scale = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "p" | "pb" => 1e15,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1024f64.powi(2),
        "gi" | "gib" => 1024f64.powi(3),
        "ti" | "tib" => 1024f64.powi(4),
        "pi" | "pib" => 1024f64.powi(5),
        _ => return None,
    };
    let value = number * scale;
    (value < u64::MAX as f64).then_some(value as u64)
}

/// A byte count as the peer prints it: two or three digits and a unit of thousands (`5.1kB`), so printing
/// can lose digits.
pub(crate) fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes}B");
    }
    // Logarithms as the peer takes them, which puts 1e9 under MB.
    let power = ((bytes as f64).ln() / 1000f64.ln()).floor();
    let value = (bytes as f64 / 1000f64.powf(power) * 10.0 + 0.5).floor() / 10.0;
    let unit = UNITS.get(power as usize).copied().unwrap_or("EB");
    if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// A float with as few digits as tell it apart, as Go's `strconv.FormatFloat` writes it with `'f'`.
pub(crate) fn format_plain(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value}")
}

/// The same with `'g'`: an exponent below 1e-4 and from 1e6 on.
pub(crate) fn format_compact(value: f64) -> String {
    let scientific = format!("{value:e}");
    match scientific.split_once('e').map(|(mantissa, power)| (mantissa, power.parse::<i32>())) {
        Some((mantissa, Ok(power))) if value != 0.0 && !(-4..6).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", power.unsigned_abs())
        }
        _ => format_plain(value),
    }
}

/// Resolves the escapes of a string without its double quotes; the lexer has checked their shape. `None`
/// for code points there are none of. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        match chars.next()? {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            'x' => out.push(u8::try_from(code(&mut chars, 2, 16, 0)).ok()?),
            'u' => push(&mut out, code_point(code(&mut chars, 4, 16, 0))?),
            'U' => push(&mut out, code_point(code(&mut chars, 8, 16, 0))?),
            digit @ '0'..='7' => {
                out.push(u8::try_from(code(&mut chars, 2, 8, digit.to_digit(8)?)).ok()?);
            }
            other => push(&mut out, other),
        }
    }
    Some(
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize, base: u32, first: u32) -> u32 {
    chars
        .take(digits)
        .filter_map(|c| c.to_digit(base))
        .fold(first, |sum, digit| sum.wrapping_mul(base).wrapping_add(digit))
}

/// Surrogates are written as U+FFFD, like Go does; beyond Unicode there is nothing.
fn code_point(code: u32) -> Option<char> {
    (code <= 0x0010_ffff).then(|| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
}
