//! Integer streams: greatest common divisor removed, best of plain, delta and delta of delta, then blocks
//! of 128 bit-packed over a base, outliers kept aside.
//!
//! The count is not part of the stream: pages know it. Layout in `docs/formats/metrics-block.md`.

use super::bytes::{Reader, put_int, put_uint, uint_len};

/// Numbers packed together with one base and one width.
const BLOCK: usize = 128;
/// A stream holds at most this many numbers; a larger count in a file is a lie.
pub(crate) const MAX_COUNT: usize = 1 << 20;
/// Numbers at either end of a long stream that are packed to choose between the orders.
const TRIAL: usize = 2 * BLOCK;

const ORDER_MASK: u8 = 0x03;
const CONSTANT: u8 = 0x03;
const HAS_DIVISOR: u8 = 0x04;
const HAS_OUTLIERS: u8 = 0x80;

/// Appends `numbers` (not empty) to `out`.
pub(crate) fn encode(numbers: &[i64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = numbers.split_first() else { return };
    if rest.iter().all(|n| *n == first) {
        out.push(CONSTANT);
        put_int(out, first);
        return;
    }
    let divisor = common_divisor(first, rest);
    let steps: Vec<i64> = rest.iter().map(|n| n.wrapping_sub(first) / divisor).collect();

    let mut residuals = Vec::with_capacity(steps.len());
    let mut best: Option<(u8, usize)> = None;
    for order in 0..=2u8 {
        let trial = steps.get(..TRIAL).unwrap_or(&steps);
        difference(trial, order, &mut residuals);
        let size = residuals.chunks(BLOCK).map(|block| Packing::choose(block).size).sum();
        if best.is_none_or(|(_, smallest)| size < smallest) {
            best = Some((order, size));
        }
    }
    let order = best.map_or(0, |(order, _)| order);
    out.push(order | if divisor > 1 { HAS_DIVISOR } else { 0 });
    put_int(out, first);
    if divisor > 1 {
        put_uint(out, divisor as u64);
    }
    let lead = difference(&steps, order, &mut residuals);
    if order == 2 {
        put_int(out, lead);
    }
    for block in residuals.chunks(BLOCK) {
        Packing::choose(block).write(block, out);
    }
}

/// Reads `count` numbers, appending them to `out`.
pub(crate) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<i64>) -> Option<()> {
    if count == 0 || count > MAX_COUNT {
        return None;
    }
    let kind = reader.u8()?;
    let first = reader.int()?;
    if kind == CONSTANT {
        out.resize(out.len() + count, first);
        return Some(());
    }
    let (order, flags) = (kind & ORDER_MASK, kind & !ORDER_MASK);
    if order == CONSTANT || flags & !HAS_DIVISOR != 0 {
        return None;
    }
    let divisor = if flags & HAS_DIVISOR != 0 { reader.uint()? as i64 } else { 1 };
    // Every block takes at least two bytes.
    let blocks = (count - 1).div_ceil(BLOCK);
    if reader.rest().len() < 2 * blocks {
        return None;
    }
    out.reserve(count);
    out.push(first);
    let mut delta = if order == 2 { reader.int()? } else { 0 };
    let mut sum = 0i64;
    let mut left = count - 1;
    let mut block = [0i64; BLOCK];
    while left > 0 {
        let n = left.min(BLOCK);
        let block = block.get_mut(..n)?;
        unpack(reader, block)?;
        match order {
            0 => out.extend(block.iter().map(|r| first.wrapping_add(r.wrapping_mul(divisor)))),
            1 => out.extend(block.iter().map(|r| {
                sum = sum.wrapping_add(*r);
                first.wrapping_add(sum.wrapping_mul(divisor))
            })),
            _ => out.extend(block.iter().map(|r| {
                delta = delta.wrapping_add(*r);
                sum = sum.wrapping_add(delta);
                first.wrapping_add(sum.wrapping_mul(divisor))
            })),
        }
        left -= n;
    }
    Some(())
}

/// The largest number that divides all distances from `first`; 1 when a distance overflows.
fn common_divisor(first: i64, rest: &[i64]) -> i64 {
    let mut divisor = 0u64;
    for number in rest {
        let Some(distance) = number.checked_sub(first) else { return 1 };
        let distance = distance.unsigned_abs();
        if divisor != 0 && distance % divisor == 0 {
            continue;
        }
        divisor = gcd(divisor, distance);
        if divisor == 1 {
            return 1;
        }
    }
    i64::try_from(divisor).unwrap_or(1).max(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Differences `steps` (which follow an implied 0) `order` times into `out`. For order 2 the first step
/// is returned as the lead and its residual is zero.
fn difference(steps: &[i64], order: u8, out: &mut Vec<i64>) -> i64 {
    out.clear();
    let lead = steps.first().copied().unwrap_or(0);
    let mut previous = 0i64;
    let mut slope = lead;
    match order {
        0 => out.extend_from_slice(steps),
        1 => out.extend(steps.iter().map(|step| {
            let delta = step.wrapping_sub(previous);
            previous = *step;
            delta
        })),
        _ => out.extend(steps.iter().map(|step| {
            let delta = step.wrapping_sub(previous);
            previous = *step;
            let bend = delta.wrapping_sub(slope);
            slope = delta;
            bend
        })),
    }
    lead
}

/// How one block is laid out.
struct Packing {
    base: i64,
    width: u32,
    outliers: usize,
    size: usize,
}

impl Packing {
    /// The cheapest base and width. The base is the smallest number, or the fourth smallest so that a
    /// counter's reset does not widen its whole block.
    fn choose(block: &[i64]) -> Packing {
        let lowest = block.iter().copied().min().unwrap_or(0);
        let mut best = Packing::with_base(block, lowest);
        let mut sorted = [0i64; BLOCK];
        if let Some(sorted) = sorted.get_mut(..block.len())
            && block.len() > 16
            && best.width > 0
        {
            sorted.copy_from_slice(block);
            let (_, fourth, _) = sorted.select_nth_unstable(3);
            if *fourth != lowest {
                let other = Packing::with_base(block, *fourth);
                if other.size < best.size {
                    best = other;
                }
            }
        }
        best
    }

    fn with_base(block: &[i64], base: i64) -> Packing {
        let mut lengths = [0u32; 65];
        for number in block {
            let bits = 64 - (number.wrapping_sub(base) as u64).leading_zeros();
            if let Some(slot) = lengths.get_mut(bits as usize) {
                *slot += 1;
            }
        }
        // The lengths that occur, longest first: few, so that trying each as the width is cheap.
        let mut present = [(0u32, 0usize); 65];
        let mut kinds = 0;
        for (bits, n) in (0..65u32).zip(lengths).rev().filter(|(_, n)| *n > 0) {
            if let Some(place) = present.get_mut(kinds) {
                *place = (bits, n as usize);
                kinds += 1;
            }
        }
        let header = 1 + uint_len(super::bytes::zigzag(base));
        let mut best = Packing { base, width: 64, outliers: 0, size: usize::MAX };
        let mut outliers = 0;
        for (place, (width, n)) in present.iter().take(kinds).enumerate() {
            let longer = present.iter().take(place);
            let aside: usize = longer.map(|(bits, n)| n * (1 + (bits - width).div_ceil(7) as usize)).sum();
            let packed = (block.len() * *width as usize).div_ceil(8);
            let size = header + packed + aside + usize::from(outliers > 0);
            if size < best.size {
                best = Packing { base, width: *width, outliers, size };
            }
            outliers += n;
        }
        best
    }

    fn write(&self, block: &[i64], out: &mut Vec<u8>) {
        let width = self.width;
        out.push(width as u8 | if self.outliers > 0 { HAS_OUTLIERS } else { 0 });
        put_int(out, self.base);
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        let mut pending = 0u128;
        let mut filled = 0;
        for number in block {
            let code = number.wrapping_sub(self.base) as u64;
            pending |= u128::from(code & mask) << filled;
            filled += width;
            while filled >= 8 {
                out.push(pending as u8);
                pending >>= 8;
                filled -= 8;
            }
        }
        if filled > 0 {
            out.push(pending as u8);
        }
        if self.outliers == 0 {
            return;
        }
        out.push(self.outliers as u8);
        for (number, at) in block.iter().zip(0u8..) {
            let code = number.wrapping_sub(self.base) as u64;
            if code & mask != code {
                out.push(at);
                put_uint(out, code >> width);
            }
        }
    }
}

/// Reads one block's numbers into `block`.
fn unpack(reader: &mut Reader<'_>, block: &mut [i64]) -> Option<()> {
    let head = reader.u8()?;
    let width = u32::from(head & !HAS_OUTLIERS);
    if width > 64 {
        return None;
    }
    let base = reader.int()?;
    let packed = reader.take((block.len() * width as usize).div_ceil(8))?;
    if width == 0 {
        block.fill(base);
    } else {
        // A copy with room behind it, so that every number can be read as one wide word.
        let mut padded = [0u8; BLOCK * 8 + 16];
        padded.get_mut(..packed.len())?.copy_from_slice(packed);
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        let mut bit = 0usize;
        for number in block.iter_mut() {
            let word = padded.get(bit / 8..)?.first_chunk::<16>()?;
            let code = if width <= 56 {
                u64::from_le_bytes(*word.first_chunk::<8>()?) >> (bit % 8)
            } else {
                (u128::from_le_bytes(*word) >> (bit % 8)) as u64
            };
            *number = base.wrapping_add((code & mask) as i64);
            bit += width as usize;
        }
    }
    if head & HAS_OUTLIERS != 0 {
        let outliers = reader.u8()?;
        if width == 64 {
            return None;
        }
        for _ in 0..outliers {
            let at = usize::from(reader.u8()?);
            let high = reader.uint()?;
            let number = block.get_mut(at)?;
            let low = number.wrapping_sub(base) as u64;
            *number = base.wrapping_add((low | (high << width)) as i64);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(numbers, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let mut back = Vec::new();
        decode(&mut reader, numbers.len(), &mut back).unwrap();
        assert_eq!(back, numbers);
        assert!(reader.is_empty());
        bytes.len()
    }

    #[test]
    fn packs_the_common_shapes_tightly() {
        let f = |name: &str, most: usize, numbers: Vec<i64>| {
            let size = round_trip(&numbers);
            assert!(size <= most, "{name}: {size} bytes, wanted at most {most}");
        };
        f("constant", 4, vec![4096; 480]);
        f("steady scrape times", 20, (0..480).map(|i| 1_700_000_000_000 + i * 15_000).collect());
        f("multiples of 4096", 260, (0..480).map(|i| 4096 * (i * 7 % 13)).collect());
        let mut counter: Vec<i64> = (0..480).map(|i| i * 150 + i % 3).collect();
        counter.iter_mut().skip(300).for_each(|n| *n -= 45_000);
        f("a counter with a reset", 260, counter);
    }

    #[test]
    fn keeps_extremes() {
        round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN, i64::MAX]);
        round_trip(&[7]);
        round_trip(&[i64::MAX, i64::MIN]);
        round_trip(&[0, i64::MIN, 0, i64::MIN]);
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(numbers in prop::collection::vec(any::<i64>(), 1..300)) {
            round_trip(&numbers);
        }

        #[test]
        fn walks_come_back(start in any::<i64>(), scale in 1i64..1_000_000, steps in prop::collection::vec(-9i64..9, 1..500)) {
            let mut at = start;
            let walk: Vec<i64> = steps.iter().map(|s| { at = at.wrapping_add(s * scale); at }).collect();
            round_trip(&walk);
        }

        #[test]
        fn hostile_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..5000) {
            let mut out = Vec::new();
            if decode(&mut Reader::new(&bytes), count, &mut out).is_some() {
                prop_assert_eq!(out.len(), count);
            }
        }
    }
}
