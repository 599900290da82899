//! Integers in few bits: LEB128, and the two integer encodings of Parquet that pages are written in.
//!
//! `DELTA_BINARY_PACKED` and the hybrid of runs and bit-packed groups (`RLE`) are described in Parquet's
//! `Encodings.md`.

/// Values in a block of `DELTA_BINARY_PACKED`, and in each of its four miniblocks.
const DELTA_BLOCK: usize = 128;
const DELTA_MINI: usize = 32;

/// Appends a LEB128 number.
pub(crate) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the LEB128 zigzag code of a number.
pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and bytes.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_uint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Takes a LEB128 number off the front.
pub(crate) fn take_uint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes the LEB128 zigzag code of a number off the front.
pub(crate) fn take_int(data: &mut &[u8]) -> Option<i64> {
    take_uint(data).map(|code| ((code >> 1) as i64) ^ -((code & 1) as i64))
}

/// Takes a length and that many bytes off the front.
pub(crate) fn take_text<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_uint(data)?).ok()?;
    let (text, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(text)
}

/// Bits that `value` needs.
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Appends numbers of `width` bits each, low bits first, padded with zero bits to whole bytes.
fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    let (mut bits, mut filled) = (0u128, 0u32);
    for value in values {
        bits |= u128::from(value) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= 64;
            filled -= 64;
        }
    }
    out.extend(bits.to_le_bytes().iter().take(filled.div_ceil(8) as usize));
}

/// Calls `each` with `count` numbers of `width` bits each from the front of `data`, which may go on behind
/// them; missing bytes count as zero.
fn unpack(data: &[u8], width: u32, count: usize, mut each: impl FnMut(u64)) {
    if width == 0 {
        (0..count).for_each(|_| each(0));
        return;
    }
    let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    if width > 56 {
        for at in 0..count {
            let bit = at * width as usize;
            let mut bytes = [0u8; 16];
            let from = data.get(bit / 8..).unwrap_or_default();
            let have = from.len().min(16);
            if let (Some(to), Some(from)) = (bytes.get_mut(..have), from.get(..have)) {
                to.copy_from_slice(from);
            }
            each((u128::from_le_bytes(bytes) >> (bit % 8)) as u64 & mask);
        }
        return;
    }
    let word_at = |at: usize| match data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => u64::from_le_bytes(bytes),
        None => tail_word(data, at),
    };
    let (mut bit, mut left) = (0usize, count);
    if width <= 8 {
        // Eight numbers are as many bytes as one has bits: one load for all.
        while left >= 8 {
            let word = word_at(bit / 8);
            (0..8).for_each(|at| each((word >> (at * width)) & mask));
            bit += 8 * width as usize;
            left -= 8;
        }
    }
    for _ in 0..left {
        each((word_at(bit / 8) >> (bit % 8)) & mask);
        bit += width as usize;
    }
}

/// The up to eight bytes from `at`, as a number.
fn tail_word(data: &[u8], at: usize) -> u64 {
    let rest = data.get(at..).unwrap_or_default();
    rest.iter().take(8).enumerate().fold(0, |word, (byte, value)| word | u64::from(*value) << (8 * byte))
}

/// Appends integers as `DELTA_BINARY_PACKED`.
pub(crate) fn delta_encode(values: &[i64], out: &mut Vec<u8>) {
    put_uint(out, DELTA_BLOCK as u64);
    put_uint(out, (DELTA_BLOCK / DELTA_MINI) as u64);
    put_uint(out, values.len() as u64);
    put_int(out, values.first().copied().unwrap_or(0));
    let mut deltas = Vec::with_capacity(DELTA_BLOCK);
    let mut previous = values.first().copied().unwrap_or(0);
    for block in values.get(1..).unwrap_or_default().chunks(DELTA_BLOCK) {
        deltas.clear();
        for value in block {
            deltas.push(value.wrapping_sub(previous));
            previous = *value;
        }
        let least = deltas.iter().copied().min().unwrap_or(0);
        put_int(out, least);
        let widths_at = out.len();
        out.extend_from_slice(&[0; DELTA_BLOCK / DELTA_MINI]);
        for (mini, chunk) in deltas.chunks(DELTA_MINI).enumerate() {
            let most = chunk.iter().map(|delta| delta.wrapping_sub(least) as u64).max().unwrap_or(0);
            let width = width_of(most);
            if let Some(byte) = out.get_mut(widths_at + mini) {
                *byte = width as u8;
            }
            let padding = std::iter::repeat_n(0, DELTA_MINI - chunk.len());
            pack(out, chunk.iter().map(|delta| delta.wrapping_sub(least) as u64).chain(padding), width);
        }
    }
}

/// Takes `DELTA_BINARY_PACKED` integers off the front, at most `limit` of them.
pub(crate) fn delta_decode(data: &mut &[u8], limit: usize, out: &mut Vec<i64>) -> Option<()> {
    let block = usize::try_from(take_uint(data)?).ok()?;
    let minis = usize::try_from(take_uint(data)?).ok()?;
    let count = usize::try_from(take_uint(data)?).ok().filter(|count| *count <= limit)?;
    let mut value = take_int(data)?;
    if block != DELTA_BLOCK || minis != DELTA_BLOCK / DELTA_MINI {
        return None;
    }
    out.reserve(count);
    if count > 0 {
        out.push(value);
    }
    let mut left = count.saturating_sub(1);
    let mut deltas = Vec::with_capacity(DELTA_MINI);
    while left > 0 {
        let least = take_int(data)?;
        let (widths, rest) = data.split_at_checked(minis)?;
        *data = rest;
        for width in widths {
            if left == 0 {
                break;
            }
            let width = u32::from(*width);
            if width > 64 {
                return None;
            }
            let packed = *data;
            *data = data.get(DELTA_MINI * width as usize / 8..)?;
            let here = left.min(DELTA_MINI);
            deltas.clear();
            unpack(packed, width, here, |delta| deltas.push(delta as i64));
            out.extend(deltas.iter().map(|delta| {
                value = value.wrapping_add(least).wrapping_add(*delta);
                value
            }));
            left -= here;
        }
    }
    Some(())
}

/// Appends codes of `width` bits as the hybrid of runs and bit-packed groups.
pub(crate) fn hybrid_encode(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut packed_from = 0;
    let mut at = 0;
    while at < codes.len() {
        let run = run_length(codes.get(at..).unwrap_or_default());
        // A run begins where a group of eight would, so that packed groups are always full.
        let aligned = at + (8 - (at - packed_from) % 8) % 8;
        if run < 16 + (aligned - at) {
            at += run;
            continue;
        }
        put_packed(codes.get(packed_from..aligned).unwrap_or_default(), width, out);
        let rest = run - (aligned - at);
        put_uint(out, (rest as u64) << 1);
        let value = codes.get(at).copied().unwrap_or(0).to_le_bytes();
        out.extend(value.iter().take(width.div_ceil(8) as usize));
        at = aligned + rest;
        packed_from = at;
    }
    put_packed(codes.get(packed_from..).unwrap_or_default(), width, out);
}

fn run_length(codes: &[u32]) -> usize {
    codes.iter().take_while(|code| Some(*code) == codes.first()).count()
}

fn put_packed(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    if codes.is_empty() {
        return;
    }
    let groups = codes.len().div_ceil(8);
    put_uint(out, (groups as u64) << 1 | 1);
    let padding = std::iter::repeat_n(0, groups * 8 - codes.len());
    pack(out, codes.iter().map(|code| u64::from(*code)).chain(padding), width);
}

/// Reads `count` codes of `width` bits from the hybrid encoding.
pub(crate) fn hybrid_decode(mut data: &[u8], width: u32, count: usize, out: &mut Vec<u32>) -> Option<()> {
    if width > 32 {
        return None;
    }
    // A count of a corrupt file must not reserve memory: longer lists grow as they are read.
    out.reserve(count.min(1 << 16));
    let mut left = count;
    while left > 0 {
        let header = take_uint(&mut data)?;
        let length = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let (value, rest) = data.split_at_checked(width.div_ceil(8) as usize)?;
            data = rest;
            let here = length.min(left);
            if here == 0 {
                return None;
            }
            out.resize(out.len() + here, tail_word(value, 0) as u32);
            left -= here;
        } else {
            let bytes = length.checked_mul(width as usize)?;
            let packed = data;
            data = data.get(bytes..)?;
            let here = length.checked_mul(8)?.min(left);
            if here == 0 {
                return None;
            }
            unpack(packed, width, here, |code| out.push(code as u32));
            left -= here;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back(
            values in prop_oneof![
                prop::collection::vec(any::<i64>(), 0..400),
                prop::collection::vec(0i64..1000, 0..400),
            ],
        ) {
            let mut bytes = Vec::new();
            delta_encode(&values, &mut bytes);
            let mut back = Vec::new();
            let mut rest = bytes.as_slice();
            delta_decode(&mut rest, values.len(), &mut back).unwrap();
            prop_assert_eq!(back, values);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn codes_come_back(
            runs in prop::collection::vec((0u32..200_000, prop_oneof![Just(1usize), 1usize..60]), 0..60),
        ) {
            let codes: Vec<u32> = runs.iter().flat_map(|(code, n)| std::iter::repeat_n(*code, *n)).collect();
            let width = width_of(u64::from(codes.iter().copied().max().unwrap_or(0)));
            let mut bytes = Vec::new();
            hybrid_encode(&codes, width, &mut bytes);
            let mut back = Vec::new();
            hybrid_decode(&bytes, width, codes.len(), &mut back).unwrap();
            prop_assert_eq!(back, codes);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (mut numbers, mut codes) = (Vec::new(), Vec::new());
            let _ = delta_decode(&mut bytes.as_slice(), 1000, &mut numbers);
            let _ = hybrid_decode(&bytes, 7, 1000, &mut codes);
            prop_assert!(numbers.len() <= 1000 && codes.len() <= 1000);
        }
    }
}
