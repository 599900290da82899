//! Writes a part: rows in order of stream and time, column by column, row group by row group.

use std::io::{self, Write};

use novaobs_model::labels::Labels;

use crate::columns::{
    BLOCK_ROWS, ColumnBuilder, ColumnSpec, FIXED_COLUMNS, GROUP_ROWS, LINE, METADATA_REST, METADATA_SHAPE,
    REST, SHAPE, STREAM, TIME, take_listed,
};
use crate::filters::{FilterBuilder, Words};
use crate::layout::{
    ColumnText, Description, FilterRecord, GroupRecord, MAGIC, Section, VERSION, encode_filters,
    encode_pages, footer, is_required,
};
use crate::pages::PageWriter;
use crate::shapes::{NO_METADATA, Shapes};
use crate::streams::{self, Run};
use crate::{PartInfo, WriteError};

/// A row group of longer lines has fewer rows than others, whole blocks.
const MOST_GROUP_BYTES: usize = 64 << 20;

/// A part being written. Rows must come in order of stream and time, each begun by [`PartWriter::row`].
pub(crate) struct PartWriter<'a> {
    out: &'a mut dyn Write,
    written: u64,
    specs: Vec<ColumnSpec>,
    /// One for each of `specs`.
    pub(crate) columns: Vec<ColumnBuilder>,
    pub(crate) shapes: Shapes,
    pages: PageWriter,
    /// Of the block whose words are being collected.
    filter: FilterBuilder,
    /// Rows of the row group being built.
    group_rows: usize,
    groups: Vec<GroupRecord>,
    filters: Vec<FilterRecord>,
    streams: Vec<Labels>,
    stream_text: String,
    runs: Vec<Run>,
    info: PartInfo,
}

/// What went wrong: the place written to, or a limit.
pub(crate) enum Failure {
    Io(io::Error),
    Limit(WriteError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl<'a> PartWriter<'a> {
    /// A part with these columns; the first are [`ColumnSpec::fixed`].
    pub(crate) fn new(out: &'a mut dyn Write, specs: Vec<ColumnSpec>, shapes: Shapes) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(PartWriter {
            out,
            written: MAGIC.len() as u64,
            columns: specs.iter().map(|spec| ColumnBuilder::new(spec.kind)).collect(),
            specs,
            shapes,
            pages: PageWriter::new()?,
            filter: FilterBuilder::default(),
            group_rows: 0,
            groups: Vec::new(),
            filters: Vec::new(),
            streams: Vec::new(),
            stream_text: String::new(),
            runs: Vec::new(),
            info: PartInfo { first: i64::MAX, last: i64::MIN, ..PartInfo::default() },
        })
    }

    /// The number of the row group being built: codes of its dictionaries are good for it only.
    pub(crate) fn group(&self) -> usize {
        self.groups.len()
    }

    /// Rows of the next stream follow.
    pub(crate) fn stream(&mut self, labels: &Labels) -> Result<(), Failure> {
        if self.streams.len() >= u32::MAX as usize {
            return Err(Failure::Limit(WriteError::TooLarge("4 billion streams")));
        }
        self.streams.push(labels.clone());
        self.stream_text = labels.to_string();
        Ok(())
    }

    /// Begins rows of the current stream with these times, of so many raw bytes each: the number in the
    /// row group of the first, and how many fit (at least one). The rest must be begun anew after
    /// [`PartWriter::flush_if_full`].
    pub(crate) fn rows_of(&mut self, times: &[i64], bytes: impl Fn(usize) -> u64) -> (usize, usize) {
        let first = self.group_rows;
        let fits = times.len().min(BLOCK_ROWS - first % BLOCK_ROWS);
        for (at, time) in times.iter().take(fits).enumerate() {
            self.count_row(*time, bytes(at));
        }
        (first, fits)
    }

    fn count_row(&mut self, time: i64, bytes: u64) {
        let row = self.group_rows;
        if let Some(column) = self.columns.get_mut(TIME) {
            column.push_integer(row, time);
        }
        if let Some(column) = self.columns.get_mut(STREAM) {
            column.push_text(row, &self.stream_text);
        }
        let block = (self.info.rows / BLOCK_ROWS as u64) as u32;
        let start = (self.info.rows % BLOCK_ROWS as u64) as u32;
        let stream = self.streams.len().saturating_sub(1) as u32;
        match self.runs.last_mut() {
            Some(run) if run.stream == stream && run.block == block => {
                run.rows += 1;
                run.last = time;
                run.bytes += bytes;
            }
            _ => self.runs.push(Run { stream, block, start, rows: 1, first: time, last: time, bytes }),
        }
        self.info.rows += 1;
        self.info.raw_bytes += bytes;
        self.info.first = self.info.first.min(time);
        self.info.last = self.info.last.max(time);
        self.group_rows += 1;
    }

    /// Adds a value to a row.
    pub(crate) fn text(&mut self, column: usize, row: usize, text: &str) -> bool {
        self.columns.get_mut(column).is_some_and(|column| column.push_text(row, text))
    }

    /// Sets the shapes of a row.
    pub(crate) fn shape(&mut self, row: usize, line: u32, metadata: u32) {
        if let Some(column) = self.columns.get_mut(SHAPE) {
            column.push_integer(row, i64::from(line));
        }
        if metadata != NO_METADATA
            && let Some(column) = self.columns.get_mut(METADATA_SHAPE)
        {
            column.push_integer(row, i64::from(metadata));
        }
    }

    /// Writes the row group when it has all its rows, or takes too much memory at a block's end.
    pub(crate) fn flush_if_full(&mut self) -> Result<(), Failure> {
        let at_block_end = self.group_rows.is_multiple_of(BLOCK_ROWS);
        let bytes = || self.columns.iter().map(ColumnBuilder::bytes).sum::<usize>();
        if self.group_rows == GROUP_ROWS || (at_block_end && bytes() > MOST_GROUP_BYTES) {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let rows = self.group_rows;
        if rows == 0 {
            return Ok(());
        }
        if self.columns.iter().any(|column| column.bytes() >= 1 << 30) {
            return Err(Failure::Limit(WriteError::TooLarge("1 GiB of one column in 4096 rows")));
        }
        let mut out = Vec::new();
        let mut chunks = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter_mut().enumerate() {
            chunks.push(column.encode(rows, is_required(at), self.written, &mut out, &mut self.pages));
        }
        self.out.write_all(&out)?;
        self.written += out.len() as u64;
        self.groups.push(GroupRecord { rows, chunks });
        self.write_filters(rows)?;
        self.columns.iter_mut().for_each(ColumnBuilder::clear);
        self.group_rows = 0;
        Ok(())
    }

    fn write_filters(&mut self, rows: usize) -> Result<(), Failure> {
        let values: Vec<(&ColumnBuilder, bool, Words)> = self
            .columns
            .iter()
            .zip(&self.specs)
            .enumerate()
            .filter(|(at, _)| *at == LINE || *at >= FIXED_COLUMNS)
            .map(|(_, (column, spec))| (column, spec.metadata, column.words(spec.metadata)))
            .collect();
        let (mut words, mut pieces, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        // Block by block, so that what is known of one stays in the caches.
        for from in (0..rows).step_by(BLOCK_ROWS) {
            let range = from..rows.min(from + BLOCK_ROWS);
            let filter = &mut self.filter;
            for (column, hidden, words) in &values {
                column.fill_filter(filter, range.clone(), words, *hidden);
            }
            let mut shapes: Vec<i64> = self.columns.get(SHAPE).map_or_else(Vec::new, |column| {
                column.integers().get(range.clone()).unwrap_or_default().to_vec()
            });
            shapes.dedup();
            shapes.sort_unstable();
            shapes.dedup();
            for shape in shapes.iter().filter_map(|shape| self.shapes.get(*shape as u32)) {
                shape.literals.iter().for_each(|literal| filter.add_text(literal.as_bytes()));
            }
            for (column, hidden) in [(REST, false), (METADATA_REST, true)] {
                let Some(column) = self.columns.get(column).filter(|column| column.any()) else { continue };
                for mut list in range.clone().filter_map(|row| column.text_at(row)) {
                    while let Some(text) = take_listed(&mut list) {
                        if hidden {
                            filter.add_hidden(text.as_bytes());
                        } else {
                            filter.add_text(text.as_bytes());
                        }
                    }
                }
            }
            filter.finish(&mut words, &mut pieces);
            ends.push((words.len(), pieces.len()));
        }
        let (pieces_at, words_at) = (self.written, self.written + pieces.len() as u64);
        let (mut words_from, mut pieces_from) = (0, 0);
        for (words_end, pieces_end) in ends {
            self.filters.push(FilterRecord {
                words: section(&words, words_from..words_end, words_at),
                pieces: section(&pieces, pieces_from..pieces_end, pieces_at),
            });
            (words_from, pieces_from) = (words_end, pieces_end);
        }
        self.out.write_all(&pieces)?;
        self.out.write_all(&words)?;
        self.written += (words.len() + pieces.len()) as u64;
        Ok(())
    }

    /// Writes what is left and the footer.
    pub(crate) fn finish(mut self) -> Result<PartInfo, Failure> {
        self.flush()?;
        if self.info.rows == 0 {
            return Err(Failure::Limit(WriteError::Empty));
        }
        self.info.streams = self.streams.len() as u32;
        let stream_table = self.section(&streams::encode(&self.streams, &self.runs), true)?;
        let shapes = self.section(&self.shapes.encode(), true)?;
        let pages = self.section(&encode_pages(&self.groups), false)?;
        let filters = self.section(&encode_filters(&self.filters), false)?;
        let description = Description {
            version: VERSION,
            rows: self.info.rows,
            raw_bytes: self.info.raw_bytes,
            first: self.info.first,
            last: self.info.last,
            streams: self.info.streams,
            columns: self.specs.iter().map(ColumnText::new).collect(),
            stream_table,
            shapes,
            pages,
            filters,
        };
        let mut footer = footer(&self.specs, &self.groups, &description);
        let length = footer.len() as u32;
        footer.extend(length.to_le_bytes());
        footer.extend(MAGIC);
        self.out.write_all(&footer)?;
        self.info.file_bytes = self.written + footer.len() as u64;
        Ok(self.info)
    }

    fn section(&mut self, data: &[u8], compress: bool) -> Result<Section, Failure> {
        let too_large = Failure::Limit(WriteError::TooLarge("4 GiB of directory"));
        let Ok(raw) = u32::try_from(data.len()) else { return Err(too_large) };
        let packed;
        let body = if compress {
            packed = zstd::bulk::compress(data, 3)?;
            packed.as_slice()
        } else {
            data
        };
        let section = Section {
            offset: self.written,
            length: body.len() as u32,
            crc: crc32fast::hash(body),
            raw: if compress { raw } else { 0 },
        };
        self.out.write_all(body)?;
        self.written += body.len() as u64;
        Ok(section)
    }
}

fn section(data: &[u8], range: std::ops::Range<usize>, at: u64) -> Section {
    let offset = at + range.start as u64;
    let data = data.get(range).unwrap_or_default();
    Section { offset, length: data.len() as u32, crc: crc32fast::hash(data), raw: 0 }
}
