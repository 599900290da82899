//! Sizes as Prometheus writes them: `512MB`, `1GiB512MiB`, always in powers of 1024.

use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not `<number><unit>` pairs.
    #[error(
        "not a valid size: {0:?}: write a number with a unit of B, KB, MB, GB, TB, PB or EB, such as 512MB"
    )]
    Invalid(String),
    /// More than 2^63-1 bytes.
    #[error("size out of range: {0:?}")]
    OutOfRange(String),
}

/// The units, largest first, as powers of two. `KB` and `KiB` mean the same.
const UNITS: [(&str, &str, u32); 7] = [
    ("EiB", "EB", 60),
    ("PiB", "PB", 50),
    ("TiB", "TB", 40),
    ("GiB", "GB", 30),
    ("MiB", "MB", 20),
    ("KiB", "KB", 10),
    ("B", "B", 0),
];

/// Parses one or more `<number><unit>` (numbers may have a fraction) or `0`.
///
/// # Errors
/// [`SizeError`] for anything else, and for more than 2^63-1 bytes.
pub fn parse(text: &str) -> Result<Bytes, SizeError> {
    let invalid = || SizeError::Invalid(text.to_owned());
    let out_of_range = || SizeError::OutOfRange(text.to_owned());
    if text == "0" {
        return Ok(Bytes(0));
    }
    let mut total = 0u64;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, _, shift) =
            UNITS.iter().find(|(new, old, _)| *new == unit || *old == unit).ok_or_else(invalid)?;
        let part = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(1 << shift).ok_or_else(out_of_range)?,
            Err(_) if number.contains('.') => {
                let number: f64 = number.parse().map_err(|_| invalid())?;
                // Saturates, and the check of the total refuses it.
                (number * 2f64.powi(i32::try_from(*shift).unwrap_or(0))) as u64
            }
            Err(_) if number.is_empty() => return Err(invalid()),
            Err(_) => return Err(out_of_range()),
        };
        total = total.checked_add(part).filter(|t| i64::try_from(*t).is_ok()).ok_or_else(out_of_range)?;
        rest = after;
    }
    Ok(Bytes(total))
}

/// Prints units in descending order: `1GiB512MiB`; zero as `0B`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let mut rest = self.0;
        for (unit, _, shift) in UNITS {
            let count = rest >> shift;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest -= count << shift;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let f = |text: &str, bytes: u64, printed: &str| {
            assert_eq!(parse(text), Ok(Bytes(bytes)), "{text}");
            assert_eq!(Bytes(bytes).to_string(), printed);
        };
        f("0", 0, "0B");
        f("1B", 1, "1B");
        f("10MB", 10 << 20, "10MiB");
        f("10MiB", 10 << 20, "10MiB");
        f("1.5GB", 1536 << 20, "1GiB512MiB");
        f("1GB512MB", 1536 << 20, "1GiB512MiB");
        f("7EB", 7 << 60, "7EiB");
    }

    #[test]
    fn refuses() {
        for bad in ["", "5", "MB", "5M", "5mb", "-1B", "8EB", "1..2B", "99999999999999999999B", "1 GB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
