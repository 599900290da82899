//! One acknowledged call as bytes and back. Layout in `docs/formats/logs-wal.md`.

use novaobs_model::logs::{PairLists, Strings};
use novaobs_model::{Labels, LogStream, Tenant};

/// Writes `value` as LEB128.
pub(crate) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The plain form of a call, before compression.
fn put_streams(out: &mut Vec<u8>, tenant: &Tenant, streams: &[LogStream]) {
    put_text(out, tenant.as_str());
    put_uint(out, streams.len() as u64);
    for stream in streams {
        put_text(out, stream.labels.as_packed());
        put_uint(out, stream.timestamps.len() as u64);
        let mut before = 0i64;
        for time in &stream.timestamps {
            put_int(out, time.wrapping_sub(before));
            before = *time;
        }
        let rows = 0..stream.timestamps.len();
        rows.clone().for_each(|row| put_uint(out, stream.lines.get(row).len() as u64));
        rows.clone().for_each(|row| out.extend_from_slice(stream.lines.get(row).as_bytes()));
        let pairs: usize = rows.clone().map(|row| stream.metadata.get(row).len()).sum();
        put_uint(out, pairs as u64);
        if pairs == 0 {
            continue;
        }
        for row in rows {
            let row = stream.metadata.get(row);
            put_uint(out, row.len() as u64);
            for (name, value) in row {
                put_text(out, name);
                put_text(out, value);
            }
        }
    }
}

/// The compressed form of a call: length of the plain form, LZ4 block.
pub(crate) fn encode(tenant: &Tenant, streams: &[LogStream]) -> Vec<u8> {
    let text: usize =
        streams.iter().map(|stream| stream.lines.text().len() + 16 * stream.timestamps.len()).sum();
    let mut plain = Vec::with_capacity(text + 256);
    put_streams(&mut plain, tenant, streams);
    let mut out = Vec::with_capacity(plain.len() / 4 + 64);
    put_uint(&mut out, plain.len() as u64);
    let head = out.len();
    out.resize(head + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
    let room = out.get_mut(head..).unwrap_or_default();
    match lz4_flex::block::compress_into(&plain, room) {
        Ok(length) => out.truncate(head + length),
        Err(error) => novaobs_model::never!("a buffer of the largest size was too small: {error}"),
    }
    out
}

/// Writes which rows of a call were dropped: distances, 0 for neighbours.
pub(crate) fn put_dropped(out: &mut Vec<u8>, dropped: &[u32]) {
    put_uint(out, dropped.len() as u64);
    let mut next = 0;
    for row in dropped {
        put_uint(out, u64::from(*row) - next);
        next = u64::from(*row) + 1;
    }
}

/// A call as read back.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub tenant: Tenant,
    pub streams: Vec<LogStream>,
    /// Rows, counted over all streams, that are not to be stored; ascending.
    pub dropped: Vec<u32>,
}

/// Reads a record's payload; `None` when it is not one.
pub(crate) fn decode(payload: &[u8]) -> Option<Record> {
    let mut reader = Reader(payload);
    let count = reader.count()?;
    let mut dropped = Vec::with_capacity(count);
    let mut next = 0u32;
    for _ in 0..count {
        let row = next.checked_add(u32::try_from(reader.uint()?).ok()?)?;
        dropped.push(row);
        next = row.checked_add(1)?;
    }
    let (tenant, streams) = decode_streams(reader.0)?;
    Some(Record { tenant, streams, dropped })
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode_streams(bytes: &[u8]) -> Option<(Tenant, Vec<LogStream>)> {
    let mut reader = Reader(bytes);
    let length = usize::try_from(reader.uint()?).ok()?;
    // No LZ4 block unfolds more than 255 times: a larger length is damage, not a reason to allocate.
    if length > reader.0.len().checked_mul(255)?.checked_add(64)? {
        return None;
    }
    let plain = lz4_flex::block::decompress(reader.0, length).ok().filter(|plain| plain.len() == length)?;
    let mut reader = Reader(&plain);
    let tenant = Tenant::new(reader.text()?);
    let count = reader.count()?;
    let mut streams = Vec::with_capacity(count.min(1 << 16));
    for _ in 0..count {
        streams.push(reader.stream()?);
    }
    reader.0.is_empty().then_some((tenant, streams))
}

/// Takes pieces from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn uint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        let code = self.uint()?;
        Some((code >> 1) as i64 ^ -((code & 1) as i64))
    }

    /// A number of things that take at least a byte each.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.uint()?).ok().filter(|count| *count <= self.0.len())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn stream(&mut self) -> Option<LogStream> {
        let labels = Labels::from_packed(self.text()?)?;
        let rows = self.count()?;
        let mut stream = LogStream { labels, ..LogStream::default() };
        stream.timestamps.reserve_exact(rows);
        let mut time = 0i64;
        for _ in 0..rows {
            time = time.wrapping_add(self.int()?);
            stream.timestamps.push(time);
        }
        let mut lengths = Vec::with_capacity(rows);
        for _ in 0..rows {
            lengths.push(usize::try_from(self.uint()?).ok()?);
        }
        let total = lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(*length))?;
        let text = std::str::from_utf8(self.take(total)?).ok()?;
        stream.lines = Strings::with_capacity(rows, total);
        let mut at = 0;
        for length in lengths {
            stream.lines.push(text.get(at..at + length)?);
            at += length;
        }
        if self.uint()? == 0 {
            stream.metadata = PairLists::empty_rows(rows);
            return Some(stream);
        }
        for _ in 0..rows {
            for _ in 0..self.count()? {
                let name = self.text()?;
                stream.metadata.pair(name, self.text()?);
            }
            stream.metadata.end_row();
        }
        Some(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream() -> impl Strategy<Value = LogStream> {
        let pairs = prop::collection::vec(("[a-z]{1,4}", ".{0,4}"), 0..3);
        let row = (any::<i64>(), ".{0,12}", pairs);
        ("[a-z]{1,3}", prop::collection::vec(row, 0..6)).prop_map(|(app, rows)| {
            let mut stream = LogStream { labels: Labels::from_pairs([("app", app)]), ..LogStream::default() };
            for (time, line, pairs) in rows {
                stream.timestamps.push(time);
                stream.lines.push(&line);
                stream.metadata.push(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            }
            stream
        })
    }

    proptest! {
        #[test]
        fn calls_come_back(
            streams in prop::collection::vec(stream(), 0..5),
            dropped in prop::collection::btree_set(0u32..1000, 0..10),
        ) {
            let tenant = Tenant::new("t");
            let dropped: Vec<u32> = dropped.into_iter().collect();
            let mut payload = Vec::new();
            put_dropped(&mut payload, &dropped);
            payload.extend_from_slice(&encode(&tenant, &streams));
            prop_assert_eq!(decode(&payload), Some(Record { tenant, streams, dropped }));
        }

        #[test]
        fn hostile_payloads_are_refused_or_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            streams in prop::collection::vec(stream(), 0..3),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            decode(&bytes);
            let mut payload = vec![0];
            payload.extend_from_slice(&encode(&Tenant::new("t"), &streams));
            let at = at.index(payload.len());
            payload[at] = byte;
            if let Some(record) = decode(&payload) {
                prop_assert!(record.streams.iter().all(|s| s.lines.len() == s.timestamps.len()));
            }
        }
    }
}
