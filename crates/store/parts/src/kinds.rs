//! The types a column of values can have, each giving back exactly the text it was read from.

use novaobs_model::logs::batch::{read_decimal, write_decimal};

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Decimal numbers with `scale` digits behind the point: `fixed` writes all of them, otherwise zeros
    /// at the end are left out.
    Number {
        /// Digits behind the point, at most 18.
        scale: u8,
        /// Whether all of them are written.
        fixed: bool,
    },
    /// An even number of lower-case hexadecimal digits.
    Hex {
        /// Half the number of digits, 4 to 32.
        bytes: u8,
    },
    /// RFC 3339 in UTC with `Z` and this many digits behind the second: Unix nanoseconds.
    Time {
        /// Digits behind the second, at most 9; with none there is no point either.
        digits: u8,
    },
}

/// The most digits a number column keeps.
const MOST_DIGITS: usize = 18;

impl Kind {
    /// Whether values are kept as `i64`.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Kind::Number { .. } | Kind::Time { .. })
    }

    /// The number that stands for a text, when this kind is an integer one and writes it back the same.
    pub(crate) fn parse(self, text: &str) -> Option<i64> {
        match self {
            Kind::Number { scale, fixed: false } => {
                let (mantissa, digits) = read_decimal(text)?;
                let more = scale.checked_sub(digits)?;
                mantissa
                    .checked_mul(10i64.checked_pow(u32::from(more))?)
                    .filter(|m| m.unsigned_abs() < 1 << 62)
            }
            Kind::Number { scale, fixed: true } => parse_fixed(text, scale),
            Kind::Time { digits } => parse_time(text).filter(|(_, d)| *d == digits).map(|(time, _)| time),
            Kind::Text | Kind::Hex { .. } => None,
        }
    }

    /// Appends the text of a number.
    pub(crate) fn render(self, value: i64, out: &mut String) {
        match self {
            Kind::Number { scale, fixed: true } => render_fixed(value, scale, out),
            Kind::Number { scale, fixed: false } => write_decimal(out, value, scale),
            Kind::Time { digits } => render_time(value, digits, out),
            Kind::Text | Kind::Hex { .. } => {}
        }
    }

    /// Whether a text of this kind can hold the byte.
    pub(crate) fn has_byte(self, byte: u8) -> bool {
        match self {
            Kind::Text => true,
            Kind::Number { .. } => matches!(byte, b'0'..=b'9' | b'.' | b'-'),
            Kind::Hex { .. } => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Kind::Time { .. } => matches!(byte, b'0'..=b'9' | b'-' | b':' | b'.' | b'T' | b'Z'),
        }
    }
}

/// The kind of number a text is when all its digits behind the point are kept: the scale.
pub(crate) fn fixed_scale(text: &str) -> Option<u8> {
    let point = text.find('.')?;
    let scale = u8::try_from(text.len() - point - 1).ok()?;
    parse_fixed(text, scale).map(|_| scale)
}

fn parse_fixed(text: &str, scale: u8) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let scale = usize::from(scale);
    let point = digits.len().checked_sub(scale + 1)?;
    let (whole, fraction) = digits.split_at_checked(point)?;
    let fraction = fraction.strip_prefix(b".")?;
    let odd = whole.is_empty()
        || scale == 0
        || whole.len() + scale > MOST_DIGITS
        || (whole.len() > 1 && whole.first() == Some(&b'0'));
    if odd {
        return None;
    }
    let mut value = 0i64;
    for digit in whole.iter().chain(fraction) {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (negative, value) {
        (true, 0) => None,
        (true, value) => Some(-value),
        (false, value) => Some(value),
    }
}

fn render_fixed(value: i64, scale: u8, out: &mut String) {
    let mut digits = [b'0'; 24];
    let (mut left, mut at) = (value.unsigned_abs(), digits.len());
    let mut written = 0;
    while left > 0 || written <= usize::from(scale) {
        if written == usize::from(scale) && scale > 0 {
            at -= 1;
            set(&mut digits, at, b'.');
        }
        at -= 1;
        set(&mut digits, at, b'0' + (left % 10) as u8);
        left /= 10;
        written += 1;
    }
    if value < 0 {
        out.push('-');
    }
    out.push_str(digits.get(at..).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or(""));
}

fn set(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

/// Reads `2006-01-02T15:04:05.999999Z`: Unix nanoseconds and digits behind the second.
pub(crate) fn parse_time(text: &str) -> Option<(i64, u8)> {
    let bytes = text.as_bytes();
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] =
        bytes
    else {
        return None;
    };
    let rest = rest.strip_suffix(b"Z")?;
    let fraction = match rest {
        [] => rest,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => digits,
        _ => return None,
    };
    let number = |digits: &[&u8]| {
        digits
            .iter()
            .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(**digit - b'0')))
    };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    let fits = (1678..2262).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fits {
        return None;
    }
    let mut nanos = 0i64;
    for digit in fraction {
        nanos = nanos * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    nanos *= 10i64.pow(9 - fraction.len() as u32);
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds * 1_000_000_000 + nanos, fraction.len() as u8))
}

/// Appends a time; what is finer than `digits` is cut off.
pub(crate) fn render_time(nanos: i64, digits: u8, out: &mut String) {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    push_digits(year, 4, "-", out);
    push_digits(month, 2, "-", out);
    push_digits(day, 2, "T", out);
    push_digits(second / 3600, 2, ":", out);
    push_digits(second / 60 % 60, 2, ":", out);
    if digits == 0 {
        push_digits(second % 60, 2, "Z", out);
    } else {
        push_digits(second % 60, 2, ".", out);
        let digits = digits.min(9);
        let fraction = nanos.rem_euclid(1_000_000_000) / 10i64.pow(9 - u32::from(digits));
        push_digits(fraction, usize::from(digits), "Z", out);
    }
}

/// Appends the last `width` digits of a number, at most nine, and what follows them.
fn push_digits(mut value: i64, width: usize, after: &str, out: &mut String) {
    let mut text = [b'0'; 9];
    for digit in text.iter_mut().take(width).rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.push_str(text.get(..width).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or(""));
    out.push_str(after);
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01; Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The value of each byte as a lower-case hexadecimal digit; 0xff for others.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
const HEX_DIGITS: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[if digit < 10 { b'0' + digit } else { b'a' + digit - 10 } as usize] = digit;
        digit += 1;
    }
    table
};

/// The bytes that lower-case hexadecimal digits stand for; `false` for other text or another length.
pub(crate) fn parse_hex(text: &str, bytes: u8, out: &mut Vec<u8>) -> bool {
    if text.len() != 2 * usize::from(bytes) {
        return false;
    }
    let before = out.len();
    let mut all = 0;
    out.extend(text.as_bytes().chunks_exact(2).map(|pair| {
        let [high, low] = pair else { return 0 };
        let (high, low) = (hex_digit(*high), hex_digit(*low));
        all |= high | low;
        high << 4 | low & 15
    }));
    if all > 15 {
        out.truncate(before);
    }
    all <= 15
}

fn hex_digit(byte: u8) -> u8 {
    HEX_DIGITS.get(usize::from(byte)).copied().unwrap_or(0xff)
}

/// Bytes a value of the kind `hex` has at most.
pub(crate) const MOST_HEX: usize = 32;

/// Each byte as two lower-case hexadecimal digits.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
const HEX_PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// At most [`MOST_HEX`] bytes as lower-case hexadecimal digits, in `digits`.
pub(crate) fn hex_digits<'a>(bytes: &[u8], digits: &'a mut [u8; 2 * MOST_HEX]) -> &'a [u8] {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(HEX_PAIRS.get(usize::from(*byte)).unwrap_or(b"00"));
    }
    digits.get(..2 * bytes.len()).unwrap_or_default()
}

/// Appends bytes as lower-case hexadecimal digits.
pub(crate) fn render_hex(bytes: &[u8], out: &mut String) {
    let mut digits = [0; 2 * MOST_HEX];
    for chunk in bytes.chunks(MOST_HEX) {
        out.push_str(std::str::from_utf8(hex_digits(chunk, &mut digits)).unwrap_or(""));
    }
}

/// What the values of a field look like, from a sample of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    seen: u32,
    shortest: u32,
    most_scale: u8,
    fixed: u32,
    fixed_scale: Option<u8>,
    hex: u32,
    hex_length: usize,
    time: u32,
    time_digits: u8,
    distinct: hashbrown::HashSet<u64>,
}

impl Sample {
    /// Looks at one value.
    pub(crate) fn add(&mut self, text: &str) {
        self.seen += 1;
        let first = text.as_bytes().first().copied().unwrap_or(0);
        if first.is_ascii_digit() || first == b'-' {
            if let Some((_, scale)) = read_decimal(text) {
                self.shortest += 1;
                self.most_scale = self.most_scale.max(scale);
            }
            if let Some(scale) = fixed_scale(text) {
                self.fixed += u32::from(*self.fixed_scale.get_or_insert(scale) == scale);
            }
            if let Some((_, digits)) = parse_time(text) {
                if self.time == 0 {
                    self.time_digits = digits;
                }
                self.time += u32::from(self.time_digits == digits);
            }
        }
        let hex_length = (8..=64).contains(&text.len()) && text.len().is_multiple_of(2);
        if hex_length && text.bytes().all(|byte| hex_digit(byte) < 16) {
            if self.hex == 0 {
                self.hex_length = text.len();
            }
            self.hex += u32::from(self.hex_length == text.len());
            if self.distinct.len() < 1024 {
                self.distinct.insert(xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
            }
        }
    }

    /// The kind that suits at least 99 of a hundred values. Texts that repeat a lot stay texts, which are
    /// then kept as a dictionary.
    pub(crate) fn kind(&self) -> Kind {
        let most = |count: u32| u64::from(count) * 100 >= u64::from(self.seen) * 99 && count > 0;
        if most(self.fixed) && self.fixed > self.shortest {
            return Kind::Number { scale: self.fixed_scale.unwrap_or(0), fixed: true };
        }
        if most(self.shortest) {
            return Kind::Number { scale: self.most_scale, fixed: false };
        }
        if most(self.time) {
            return Kind::Time { digits: self.time_digits };
        }
        let varied = self.distinct.len() >= 1024 || self.distinct.len() as u64 * 4 >= u64::from(self.seen);
        if most(self.hex) && varied {
            return Kind::Hex { bytes: (self.hex_length / 2) as u8 };
        }
        Kind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_as_they_were_read() {
        let fixed = Kind::Number { scale: 3, fixed: true };
        for text in ["0.000", "12.500", "-0.125", "123456789012345.678"] {
            let mut back = String::new();
            fixed.render(fixed.parse(text).unwrap(), &mut back);
            assert_eq!(back, text);
        }
        for text in ["-0.000", "1.5", "01.000", "1.0000", ".500", "1234567890123456.789", "1.x00"] {
            assert_eq!(fixed.parse(text), None, "{text}");
        }
        for text in ["2026-02-28T23:59:59Z", "1969-12-31T23:59:59.999999999Z", "2024-02-29T00:00:00.120Z"] {
            let (time, digits) = parse_time(text).unwrap();
            let mut back = String::new();
            render_time(time, digits, &mut back);
            assert_eq!(back, text);
        }
        assert_eq!(parse_time("1970-01-01T00:00:01.5Z"), Some((1_500_000_000, 1)));
        for text in
            ["2025-02-29T00:00:00Z", "2025-01-01T00:00:00", "2025-01-01T00:00:60Z", "2025-01-01 00:00:00Z"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn a_sample_chooses_the_kind() {
        let kind = |texts: &[&str]| {
            let mut sample = Sample::default();
            texts.iter().for_each(|text| sample.add(text));
            sample.kind()
        };
        assert_eq!(kind(&["1", "2.5", "-3.25"]), Kind::Number { scale: 2, fixed: false });
        assert_eq!(kind(&["1.50", "2.25", "3.00"]), Kind::Number { scale: 2, fixed: true });
        assert_eq!(kind(&["00ff00ff", "0123abcd"]), Kind::Hex { bytes: 4 });
        assert_eq!(kind(&["a", "1"]), Kind::Text);
        assert_eq!(kind(&["2025-01-01T00:00:00.1Z"]), Kind::Time { digits: 1 });
    }
}
