//! What a log store answers a scan with: rows in columns.

use crate::labels::Labels;
use crate::logs::strings::{PairLists, Strings};

/// Rows of a scan, at most some ten thousand, in columns of [`LogBatch::rows`] length (or empty where the
/// scan did not ask). Rows of one stream stand together; within a stream they are in time order. Nothing is
/// said about the order of batches but what [`Order`](crate::logs::Order) says.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    /// Consecutive rows of one stream each; their counts add up to the number of rows.
    pub streams: Vec<StreamRun>,
    /// Unix nanoseconds. Always filled.
    pub timestamps: Vec<i64>,
    /// The raw lines; filled as [`LineWanted`](crate::logs::LineWanted) asked. A row whose line was not
    /// wanted has an empty one.
    pub lines: Strings,
    /// Bytes of each raw line, when asked for.
    pub line_bytes: Vec<u32>,
    /// All structured metadata of each row, in the order it was sent, when asked for.
    pub metadata: PairLists,
    /// How the store read each row's line; empty when no field of lines was asked for.
    pub structures: Vec<Structure>,
    /// One column for each field asked for, in that order.
    pub fields: Vec<TextColumn>,
}

/// Consecutive rows of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRun {
    /// The stream.
    pub labels: Labels,
    /// How many rows.
    pub rows: usize,
}

/// How a store read a line, and so which field columns speak for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// As text only: columns of JSON and logfmt fields say nothing about this row, parse its line.
    Text,
    /// A JSON object. Columns of [`FieldSource::Json`](crate::logs::FieldSource) have what LogQL's
    /// `| json` gives: nested names joined by `_`, arrays left out, strings unescaped, numbers as written.
    /// Objects with a repeated or odd name are [`Structure::Text`].
    Json,
    /// logfmt pairs. Columns of [`FieldSource::Logfmt`](crate::logs::FieldSource) have what `| logfmt`
    /// gives. Lines with an error or a repeated name are [`Structure::Text`].
    Logfmt,
}

/// The values of one field, one for each row.
#[derive(Clone, Debug, PartialEq)]
pub enum TextColumn {
    /// Few distinct values: `codes[row]` is an index into `values`, or [`TextColumn::ABSENT`].
    Dictionary {
        /// One for each row.
        codes: Vec<u32>,
        /// Distinct values; not all need occur in this batch.
        values: Strings,
    },
    /// Each row its own; `present` is empty when all have one.
    Plain {
        /// One for each row, or none.
        present: Vec<bool>,
        /// One for each row, empty where absent.
        values: Strings,
    },
    /// Numbers in their shortest decimal form: the text of row `r` is `mantissas[r]` with its last `scale`
    /// digits behind the point, zeros at the end of the fraction left out. `present` is empty when all
    /// have one.
    Decimal {
        /// One for each row, or none.
        present: Vec<bool>,
        /// One for each row, 0 where absent.
        mantissas: Vec<i64>,
        /// Digits behind the point, at most 18.
        scale: u8,
    },
}

impl TextColumn {
    /// The code of a row without a value.
    pub const ABSENT: u32 = u32::MAX;

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            TextColumn::Dictionary { codes, .. } => codes.len(),
            TextColumn::Plain { values, .. } => values.len(),
            TextColumn::Decimal { mantissas, .. } => mantissas.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row; `scratch` is used where it must be written out.
    pub fn get<'a>(&'a self, row: usize, scratch: &'a mut String) -> Option<&'a str> {
        match self {
            TextColumn::Dictionary { codes, values } => {
                let code = *codes.get(row).filter(|code| **code != TextColumn::ABSENT)?;
                Some(values.get(code as usize))
            }
            TextColumn::Plain { present, values } => {
                (row < values.len() && present.get(row) != Some(&false)).then(|| values.get(row))
            }
            TextColumn::Decimal { present, mantissas, scale } => {
                let mantissa = *mantissas.get(row).filter(|_| present.get(row) != Some(&false))?;
                scratch.clear();
                write_decimal(scratch, mantissa, *scale);
                Some(scratch)
            }
        }
    }
}

/// Writes `mantissa * 10^-scale` in its shortest form: no exponent, no zeros at the end of a fraction.
pub fn write_decimal(out: &mut String, mantissa: i64, scale: u8) {
    use std::fmt::Write as _;
    let (mut digits, mut scale) = (mantissa.unsigned_abs(), scale);
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    if mantissa < 0 {
        out.push('-');
    }
    // Writing to a String does not fail.
    if scale == 0 {
        let _ = write!(out, "{digits}");
        return;
    }
    let unit = 10u64.pow(u32::from(scale.min(18)));
    let _ = write!(out, "{}.{:0width$}", digits / unit, digits % unit, width = usize::from(scale.min(18)));
}

/// Reads a number that [`write_decimal`] writes back to the same text: mantissa and digits behind the
/// point. `None` for any other text, also for `-0`, exponents, leading zeros and more than 18 digits.
pub fn read_decimal(text: &str) -> Option<(i64, u8)> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let point = digits.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
        None => (digits, &[][..]),
    };
    let odd = whole.is_empty()
        || whole.len() + fraction.len() > 18
        || (whole.len() > 1 && whole.first() == Some(&b'0'))
        || (point.is_some() && matches!(fraction.last(), None | Some(b'0')));
    if odd {
        return None;
    }
    let mut mantissa = 0i64;
    for digit in whole.iter().chain(fraction) {
        mantissa = mantissa * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    if negative && mantissa == 0 {
        return None;
    }
    Some((if negative { -mantissa } else { mantissa }, fraction.len() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_read_back_only_when_they_are_written_the_same() {
        for text in ["0", "7", "-12", "0.5", "-0.001", "12.345", "999999999999999999", "1.2"] {
            let (mantissa, scale) = read_decimal(text).unwrap();
            let mut back = String::new();
            write_decimal(&mut back, mantissa, scale);
            assert_eq!(back, text);
            let mut wider = String::new();
            if let Some(more) = mantissa.checked_mul(10) {
                write_decimal(&mut wider, more, scale + 1);
                assert_eq!(wider, text);
            }
        }
        for text in ["", "-", "-0", "00", "01", "1.", ".5", "1.50", "1e3", "+1", "1234567890123456789", "1.x"]
        {
            assert_eq!(read_decimal(text), None, "{text}");
        }
    }
}
