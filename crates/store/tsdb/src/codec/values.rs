//! Float streams, bit-exact: decimals become integers, what is no decimal is packed by its bits.
//!
//! Most metrics are integers or decimals of few digits: `value = number / 10^exponent` with one exponent
//! per stream. The few values of a stream that are not (a staleness marker, -0, infinities) are listed
//! beside it. Layout in `docs/formats/metrics-block.md`.

use super::bytes::{Reader, put_uint};
use super::ints;

/// Tag bytes: an exponent below 16, with this bit when exceptions are listed, or [`BITS`].
const HAS_EXCEPTIONS: u8 = 0x20;
const BITS: u8 = 0x40;
/// Powers of ten that are exact floats and divide without surprises in the range of 53-bit integers.
const POWERS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Integers up to here convert to floats and back exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends `values` (not empty) to `out`.
pub(crate) fn encode(values: &[f64], out: &mut Vec<u8>) {
    let start = out.len();
    if encode_decimals(values, out) && (out.len() - start < 5 * values.len() || values.len() < 4) {
        return;
    }
    let decimals = out.split_off(start);
    out.push(BITS);
    let bits: Vec<i64> = values.iter().map(|v| v.to_bits() as i64).collect();
    ints::encode(&bits, out);
    if !decimals.is_empty() && decimals.len() <= out.len() - start {
        out.truncate(start);
        out.extend_from_slice(&decimals);
    }
}

/// Writes `values` as decimals; `false` (and nothing written) when too many are none.
fn encode_decimals(values: &[f64], out: &mut Vec<u8>) -> bool {
    let most_exceptions = values.len() / 16 + 1;
    let Some((exponent, power)) = common_exponent(values, most_exceptions) else { return false };
    let mut numbers = Vec::with_capacity(values.len());
    let mut exceptions = Vec::new();
    let mut previous = 0i64;
    for (at, value) in values.iter().enumerate() {
        match as_decimal(*value, power) {
            Some(number) => previous = number,
            // Repeating the number before it keeps the differences small.
            None => exceptions.push((at, value.to_bits())),
        }
        numbers.push(previous);
    }
    if exceptions.len() > most_exceptions || exceptions.len() == values.len() {
        return false;
    }
    if let [(0, _), ..] = exceptions.as_slice() {
        // Leading exceptions repeat the first real number instead.
        let lead =
            numbers.iter().zip(values).find(|(_, v)| as_decimal(**v, power).is_some()).map_or(0, |(n, _)| *n);
        for (number, value) in numbers.iter_mut().zip(values) {
            if as_decimal(*value, power).is_some() {
                break;
            }
            *number = lead;
        }
    }
    out.push(exponent | if exceptions.is_empty() { 0 } else { HAS_EXCEPTIONS });
    if !exceptions.is_empty() {
        put_uint(out, exceptions.len() as u64);
        let mut after = 0;
        for (at, bits) in exceptions {
            put_uint(out, (at - after) as u64);
            out.extend_from_slice(&bits.to_le_bytes());
            after = at;
        }
    }
    ints::encode(&numbers, out);
    true
}

/// The smallest exponent that makes integers of all values but `most_exceptions`.
fn common_exponent(values: &[f64], most_exceptions: usize) -> Option<(u8, f64)> {
    let mut powers = (0u8..).zip(POWERS);
    let (mut exponent, mut power) = powers.next()?;
    let mut misfits = 0;
    for value in values {
        if as_decimal(*value, power).is_some() {
            continue;
        }
        match powers.clone().find(|(_, p)| as_decimal(*value, *p).is_some()) {
            Some((e, p)) => {
                powers.by_ref().find(|(passed, _)| *passed == e);
                (exponent, power) = (e, p);
            }
            None => misfits += 1,
        }
        if misfits > most_exceptions {
            return None;
        }
    }
    Some((exponent, power))
}

/// The integer that divided by `power` gives exactly `value`, sign of zero included.
#[inline]
fn as_decimal(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round_ties_even();
    if scaled.abs() < EXACT && (scaled / power).to_bits() == value.to_bits() {
        // -0 passes the test above with power 1 and must not become +0.
        let number = scaled as i64;
        return (number != 0 || value.to_bits() == 0).then_some(number);
    }
    None
}

/// Reads `count` values, appending them to `out`. `scratch` is overwritten.
pub(crate) fn decode(bytes: &[u8], count: usize, scratch: &mut Vec<i64>, out: &mut Vec<f64>) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u8()?;
    scratch.clear();
    if tag == BITS {
        ints::decode(&mut reader, count, scratch)?;
        out.extend(scratch.iter().map(|n| f64::from_bits(*n as u64)));
        return Some(());
    }
    let power = *POWERS.get(usize::from(tag & !HAS_EXCEPTIONS))?;
    let mut exceptions = reader;
    if tag & HAS_EXCEPTIONS != 0 {
        let listed = reader.count()?;
        exceptions = reader;
        for _ in 0..listed {
            reader.uint()?;
            reader.u64()?;
        }
        ints::decode(&mut reader, count, scratch)?;
        let start = out.len();
        out.extend(scratch.iter().map(|n| *n as f64 / power));
        let mut at = 0usize;
        for _ in 0..listed {
            at = at.checked_add(usize::try_from(exceptions.uint()?).ok()?)?;
            let bits = exceptions.u64()?;
            *out.get_mut(start.checked_add(at)?)? = f64::from_bits(bits);
        }
        return Some(());
    }
    ints::decode(&mut exceptions, count, scratch)?;
    if power == 1.0 {
        out.extend(scratch.iter().map(|n| *n as f64));
    } else {
        out.extend(scratch.iter().map(|n| *n as f64 / power));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[f64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let mut back = Vec::new();
        decode(&bytes, values.len(), &mut Vec::new(), &mut back).unwrap();
        let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        bytes.len()
    }

    #[test]
    fn keeps_special_values_and_stays_small() {
        let stale = novaobs_model::stale_nan();
        let mut counter: Vec<f64> = (0..120).map(|i| f64::from(i) * 0.25).collect();
        counter.push(stale);
        assert!(round_trip(&counter) < 40);
        round_trip(&[stale]);
        round_trip(&[stale, 1.0, 2.0]);
        round_trip(&[
            -0.0,
            0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            f64::MIN_POSITIVE / 2.0,
            f64::MAX,
        ]);
        round_trip(&[f64::from_bits(0x7ff8_0000_dead_beef), f64::from_bits(0xfff0_0000_0000_0001)]);
        assert_eq!(round_trip(&[0.0; 500]), 3);
        assert!(round_trip(&[1.5; 500]) <= 4);
        let gauge: Vec<f64> = (0..480).map(|i| f64::from(i * 7919 % 1000) / 100.0).collect();
        assert!(round_trip(&gauge) < 480 * 10 / 8 + 40);
    }

    fn any_bits() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits)
    }

    proptest! {
        #[test]
        fn any_bits_come_back(values in prop::collection::vec(any_bits(), 1..200)) {
            round_trip(&values);
        }

        #[test]
        fn decimals_with_specials_come_back(
            numbers in prop::collection::vec((-1_000_000i64..1_000_000, 0u32..14), 1..300),
            specials in prop::collection::vec((any::<prop::sample::Index>(), any_bits()), 0..5),
        ) {
            let mut values: Vec<f64> = numbers.iter().map(|(n, e)| *n as f64 / 10f64.powi(*e as i32)).collect();
            for (at, special) in specials {
                let at = at.index(values.len());
                values[at] = special;
            }
            round_trip(&values);
        }

        #[test]
        fn hostile_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..3000) {
            let mut out = Vec::new();
            if decode(&bytes, count, &mut Vec::new(), &mut out).is_some() {
                prop_assert_eq!(out.len(), count);
            }
        }
    }
}
