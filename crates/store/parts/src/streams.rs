//! The stream table: which streams a part has, and where and when each one's rows are.

use novaobs_model::labels::Labels;
use novaobs_model::logs::Strings;
use novaobs_model::matcher::Matcher;

use crate::bits::{
    hybrid_decode, hybrid_encode, put_int, put_text, put_uint, take_int, take_text, take_uint, width_of,
};
use crate::columns::BLOCK_ROWS;

/// Consecutive rows of one stream in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) stream: u32,
    pub(crate) block: u32,
    /// First row within the block.
    pub(crate) start: u32,
    pub(crate) rows: u32,
    /// Unix nanoseconds of the first and of the last row.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Of lines and metadata.
    pub(crate) bytes: u64,
}

/// Streams in order of their labels.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    names: Vec<LabelColumn>,
    pub(crate) count: usize,
    pub(crate) runs: Vec<Run>,
}

/// The values of one label.
#[derive(Debug)]
struct LabelColumn {
    name: String,
    /// The first is the empty text of streams without the label.
    values: Strings,
    codes: Vec<u32>,
}

/// Writes the section of a file.
pub(crate) fn encode(streams: &[Labels], runs: &[Run]) -> Vec<u8> {
    let mut names: std::collections::BTreeMap<&str, std::collections::BTreeMap<&str, u32>> =
        Default::default();
    for (name, value) in streams.iter().flat_map(Labels::iter) {
        names.entry(name).or_default().insert(value, 0);
    }
    let mut out = Vec::new();
    put_uint(&mut out, streams.len() as u64);
    put_uint(&mut out, names.len() as u64);
    let mut codes: std::collections::BTreeMap<&str, Vec<u32>> = Default::default();
    for (name, values) in &mut names {
        put_text(&mut out, name.as_bytes());
        put_uint(&mut out, values.len() as u64);
        for ((value, number), next) in values.iter_mut().zip(1..) {
            *number = next;
            put_text(&mut out, value.as_bytes());
        }
        codes.insert(name, vec![0; streams.len()]);
    }
    for (at, labels) in streams.iter().enumerate() {
        for (name, value) in labels {
            let number = names.get(name).and_then(|values| values.get(value)).copied().unwrap_or(0);
            if let Some(code) = codes.get_mut(name).and_then(|codes| codes.get_mut(at)) {
                *code = number;
            }
        }
    }
    for codes in codes.values() {
        let width = width_of(u64::from(codes.iter().copied().max().unwrap_or(0)));
        let mut packed = Vec::new();
        hybrid_encode(codes, width, &mut packed);
        out.push(width as u8);
        put_text(&mut out, &packed);
    }
    put_uint(&mut out, runs.len() as u64);
    let (mut stream, mut time) = (0, 0i64);
    for run in runs {
        put_uint(&mut out, u64::from(run.rows) << 1 | u64::from(run.stream != stream));
        put_int(&mut out, run.first.wrapping_sub(time));
        put_uint(&mut out, run.last.wrapping_sub(run.first) as u64);
        put_uint(&mut out, run.bytes);
        (stream, time) = (run.stream, run.last);
    }
    out
}

impl StreamTable {
    /// Reads the section of a file with this many rows.
    pub(crate) fn decode(mut data: &[u8], rows: u64) -> Option<Self> {
        let data = &mut data;
        let count = usize::try_from(take_uint(data)?).ok()?;
        let mut table = StreamTable { count, ..StreamTable::default() };
        if count as u64 > rows {
            return None;
        }
        for _ in 0..take_uint(data)? {
            let name = std::str::from_utf8(take_text(data)?).ok()?.to_owned();
            let mut values = Strings::default();
            values.push("");
            for _ in 0..take_uint(data)? {
                values.push(std::str::from_utf8(take_text(data)?).ok()?);
            }
            table.names.push(LabelColumn { name, values, codes: Vec::new() });
        }
        for column in &mut table.names {
            let (width, rest) = data.split_first()?;
            *data = rest;
            hybrid_decode(take_text(data)?, u32::from(*width), count, &mut column.codes)?;
            if column.codes.iter().any(|code| *code as usize >= column.values.len()) {
                return None;
            }
        }
        let (mut stream, mut time, mut row) = (0u32, 0i64, 0u64);
        for _ in 0..take_uint(data)? {
            let head = take_uint(data)?;
            let first = time.wrapping_add(take_int(data)?);
            let last = first.wrapping_add(take_uint(data)? as i64);
            stream = stream.checked_add((head & 1) as u32)?;
            let rows_here = u32::try_from(head >> 1).ok()?;
            let (block, start) = (row / BLOCK_ROWS as u64, row % BLOCK_ROWS as u64);
            if rows_here == 0 || start + u64::from(rows_here) > BLOCK_ROWS as u64 || stream as usize >= count
            {
                return None;
            }
            let bytes = take_uint(data)?;
            let run =
                Run { stream, block: block as u32, start: start as u32, rows: rows_here, first, last, bytes };
            table.runs.push(run);
            row += u64::from(rows_here);
            time = last;
        }
        (data.is_empty() && row == rows).then_some(table)
    }

    /// The labels of a stream.
    pub(crate) fn labels(&self, stream: u32) -> Labels {
        Labels::from_sorted(self.names.iter().filter_map(|column| {
            let code = column.codes.get(stream as usize).copied().filter(|code| *code != 0)?;
            Some((column.name.as_str(), column.values.get(code as usize)))
        }))
    }

    /// Which streams satisfy all matchers: each distinct value is asked once.
    pub(crate) fn matching(&self, matchers: &[Matcher]) -> Vec<bool> {
        let mut wanted = vec![true; self.count];
        for matcher in matchers {
            match self.names.iter().find(|column| column.name == matcher.name) {
                None if matcher.matches_empty() => {}
                None => wanted.fill(false),
                Some(column) => {
                    let accepted: Vec<bool> =
                        column.values.iter().map(|value| matcher.matches(value)).collect();
                    for (wanted, code) in wanted.iter_mut().zip(&column.codes) {
                        *wanted = *wanted && accepted.get(*code as usize) == Some(&true);
                    }
                }
            }
        }
        wanted
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let names: usize =
            self.names.iter().map(|column| column.values.memory() + 4 * column.codes.len()).sum();
        names + self.runs.len() * size_of::<Run>()
    }
}
