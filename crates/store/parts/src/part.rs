//! An open part: its sections, loaded when first needed, and the choice of blocks for a scan.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hashbrown::HashMap;
use novaobs_model::labels::Labels;
use novaobs_model::logs::{LogScan, LogStats, Order};
use novaobs_model::matcher::Matcher;
use novaobs_model::select::QueryControl;
use parking_lot::Mutex;

use crate::cells::{Cells, DictionaryValues};
use crate::columns::{BLOCK_ROWS, ColumnSpec, FIXED_COLUMNS, LINE, METADATA_REST};
use crate::filters::{Needle, Unfiltered};
use crate::kinds::Kind;
use crate::layout::{
    Description, FOOTER_KEY, MAGIC, Pages, Section, VERSION, filter_record, read_description,
};
use crate::search::LineSearch;
use crate::shapes::{Place, Shapes};
use crate::streams::{Run, StreamTable};
use crate::{PartError, PartFile, PartInfo};

/// The end of a file that is read at once when it is opened.
const TAIL_BYTES: u64 = 64 << 10;
/// Stream tables above this size are read anew for each query instead of being kept.
const KEPT_TABLE_BYTES: usize = 16 << 20;
/// Blocks looked at between two questions whether the query shall go on.
const BLOCKS_PER_CHECK: usize = 64;

/// A part file that is open for reading. Reads may come from any number of threads.
pub struct Part {
    pub(crate) name: Arc<str>,
    file: Arc<dyn PartFile>,
    info: PartInfo,
    description: Description,
    pub(crate) specs: Vec<ColumnSpec>,
    /// By name, for fields of lines and of metadata.
    columns: HashMap<(Arc<str>, bool), u16>,
    pages: OnceLock<Pages>,
    filters: OnceLock<Bytes>,
    /// Bits of blocks whose filters were checked: words in even places, pieces in odd ones.
    checked: Mutex<Vec<u64>>,
    shapes: OnceLock<Arc<Shapes>>,
    streams: OnceLock<Arc<StreamTable>>,
    /// Of each column the dictionary that was used last, with its row group.
    dictionaries: Mutex<HashMap<usize, (usize, Arc<DictionaryValues>)>>,
}

/// A block of rows that may hold wanted ones, for the scan it was planned for.
#[derive(Clone, Debug)]
pub struct Block {
    /// Unix nanoseconds of the oldest row there may be.
    pub first: i64,
    /// Unix nanoseconds of the newest row there may be.
    pub last: i64,
    /// How many rows there are at most.
    pub rows: u64,
    pub(crate) number: usize,
    pub(crate) runs: Vec<Run>,
    pub(crate) search: Arc<LineSearch>,
}

impl Part {
    /// Opens a part; `name` is what errors call it. Reads the footer only.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn open(name: &str, file: Arc<dyn PartFile>) -> Result<Arc<Part>, PartError> {
        let part: Arc<str> = name.into();
        let corrupt = |what: &str| PartError::Corrupt { part: part.clone(), what: what.to_owned() };
        let io = |error| PartError::Io { part: part.clone(), error };
        let length = file.len();
        let mut tail = file.read(length.saturating_sub(TAIL_BYTES)..length).map_err(io)?;
        let (rest, magic) =
            tail.split_last_chunk::<4>().ok_or_else(|| corrupt("it is shorter than a footer"))?;
        let footer = rest.last_chunk::<4>().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
        if magic != MAGIC || footer + 12 > length {
            return Err(corrupt("it does not end with a footer"));
        }
        if footer + 8 > tail.len() as u64 {
            tail = file.read(length - footer - 8..length).map_err(io)?;
        }
        let start = tail.len() - footer as usize - 8;
        let text = tail
            .get(start..tail.len() - 8)
            .and_then(|footer| crate::thrift::footer_value(footer, FOOTER_KEY))
            .ok_or_else(|| corrupt("its footer does not describe log entries"))?;
        let description = read_description(text).map_err(|what| corrupt(&what))?;
        if description.version != VERSION {
            return Err(PartError::Version { part: part.clone(), version: description.version });
        }
        let specs: Option<Vec<ColumnSpec>> = description.columns.iter().map(|column| column.spec()).collect();
        let specs =
            specs.filter(|specs| specs.len() >= FIXED_COLUMNS && specs.len() < usize::from(u16::MAX) - 16);
        let specs = specs.ok_or_else(|| corrupt("its columns are not ones this program writes"))?;
        let fields = specs.iter().zip(0..).skip(FIXED_COLUMNS);
        let columns = fields.map(|(spec, at)| ((spec.name.clone(), spec.metadata), at)).collect();
        Ok(Arc::new(Part {
            name: part,
            file,
            info: description.info(length),
            description,
            specs,
            columns,
            pages: OnceLock::new(),
            filters: OnceLock::new(),
            checked: Mutex::default(),
            shapes: OnceLock::new(),
            streams: OnceLock::new(),
            dictionaries: Mutex::default(),
        }))
    }

    /// What it holds.
    pub fn info(&self) -> &PartInfo {
        &self.info
    }

    /// Bytes of memory it takes: it grows as sections are needed.
    pub fn memory(&self) -> usize {
        let dictionaries: usize = self.dictionaries.lock().values().map(|(_, values)| values.memory()).sum();
        size_of::<Part>()
            + self.specs.len() * 96
            + self.pages.get().map_or(0, Pages::memory)
            + self.filters.get().map_or(0, Bytes::len)
            + self.shapes.get().map_or(0, |shapes| shapes.memory())
            + self.streams.get().map_or(0, |streams| streams.memory())
            + dictionaries
    }

    pub(crate) fn corrupt(&self, what: impl Into<String>) -> PartError {
        PartError::Corrupt { part: self.name.clone(), what: what.into() }
    }

    pub(crate) fn bytes(&self, offset: u64, length: u64) -> Result<Bytes, PartError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.info.file_bytes);
        let end = end.ok_or_else(|| self.corrupt("it is shorter than its directory says"))?;
        let bytes =
            self.file.read(offset..end).map_err(|error| PartError::Io { part: self.name.clone(), error })?;
        if bytes.len() as u64 != length {
            return Err(self.corrupt("it is shorter than its directory says"));
        }
        Ok(bytes)
    }

    /// A checked stretch of the file.
    fn section(&self, section: &Section, what: &str) -> Result<Bytes, PartError> {
        let body = self.bytes(section.offset, u64::from(section.length))?;
        if crc32fast::hash(&body) != section.crc {
            return Err(self.corrupt(format!("its {what} fail their checksum")));
        }
        if section.raw == 0 {
            return Ok(body);
        }
        crate::pages::decompress(&body, section.raw as usize)
            .map(Bytes::from)
            .ok_or_else(|| self.corrupt(format!("its {what} cannot be decompressed")))
    }

    fn pages(&self) -> Result<&Pages, PartError> {
        if let Some(pages) = self.pages.get() {
            return Ok(pages);
        }
        let data = self.section(&self.description.pages, "page directory")?;
        let pages = Pages::new(data, self.specs.len());
        let pages = pages.ok_or_else(|| self.corrupt("its page directory is cut"))?;
        // Each block has a page of times at least; who walks over blocks relies on there not being more.
        if self.info.rows.div_ceil(BLOCK_ROWS as u64) > pages.count() as u64 {
            return Err(self.corrupt("it has fewer pages than its rows need"));
        }
        Ok(self.pages.get_or_init(|| pages))
    }

    pub(crate) fn shapes(&self) -> Result<&Arc<Shapes>, PartError> {
        if let Some(shapes) = self.shapes.get() {
            return Ok(shapes);
        }
        let data = self.section(&self.description.shapes, "shapes")?;
        let shapes =
            Shapes::decode(&data, self.specs.len()).ok_or_else(|| self.corrupt("its shapes are odd"))?;
        Ok(self.shapes.get_or_init(|| Arc::new(shapes)))
    }

    pub(crate) fn stream_table(&self) -> Result<Arc<StreamTable>, PartError> {
        if let Some(table) = self.streams.get() {
            return Ok(table.clone());
        }
        let data = self.section(&self.description.stream_table, "streams")?;
        let table = StreamTable::decode(&data, self.info.rows);
        let table = Arc::new(table.ok_or_else(|| self.corrupt("its stream table is odd"))?);
        if table.memory() <= KEPT_TABLE_BYTES {
            return Ok(self.streams.get_or_init(|| table).clone());
        }
        Ok(table)
    }

    /// The column of a field.
    pub(crate) fn column_of(&self, name: &Arc<str>, metadata: bool) -> Option<usize> {
        self.columns.get(&(name.clone(), metadata)).map(|column| usize::from(*column))
    }

    /// Rows of a block.
    pub(crate) fn block_rows(&self, block: usize) -> usize {
        let before = (block * BLOCK_ROWS) as u64;
        self.info.rows.saturating_sub(before).min(BLOCK_ROWS as u64) as usize
    }

    /// The values of a column in a block.
    pub(crate) fn cells(&self, block: usize, column: usize) -> Result<Cells, PartError> {
        let pages = self.pages()?;
        let odd = || self.corrupt("its page directory is cut");
        let spec = self.specs.get(column).ok_or_else(odd)?;
        let chunk = pages.chunk(block, column).ok_or_else(odd)?;
        let Some(page) = pages.page(&chunk, block).ok_or_else(odd)? else { return Ok(Cells::Absent) };
        let damaged = |what: &str| {
            self.corrupt(format!("{what} of column {:?} in block {block} is damaged", spec.name))
        };
        let dictionary = match chunk.dictionary.length {
            0 => None,
            length => Some(self.dictionary(block, column, || {
                let offset = chunk.start.saturating_add(u64::from(chunk.dictionary.offset));
                let body = self.bytes(offset, u64::from(length))?;
                DictionaryValues::decode(&body, &chunk.dictionary, spec.kind)
                    .ok_or_else(|| damaged("the dictionary"))
            })?),
        };
        let offset = chunk.start.saturating_add(u64::from(page.offset));
        let body = self.bytes(offset, u64::from(page.length))?;
        Cells::decode(&body, &page, self.block_rows(block), spec.kind, &chunk, dictionary)
            .ok_or_else(|| damaged("the page"))
    }

    fn dictionary(
        &self,
        block: usize,
        column: usize,
        load: impl FnOnce() -> Result<DictionaryValues, PartError>,
    ) -> Result<Arc<DictionaryValues>, PartError> {
        let group = self.pages()?.group_of(block);
        if let Some((_, there)) = self.dictionaries.lock().get(&column).filter(|(other, _)| *other == group) {
            return Ok(there.clone());
        }
        let loaded = Arc::new(load()?);
        self.dictionaries.lock().insert(column, (group, loaded.clone()));
        Ok(loaded)
    }

    /// The integer that all rows of a block have in a column: `Some(None)` when none has one, `None` when they
    /// differ.
    pub(crate) fn only_integer(&self, block: usize, column: usize) -> Result<Option<Option<i64>>, PartError> {
        let pages = self.pages()?;
        let page = pages.chunk(block, column).and_then(|chunk| pages.page(&chunk, block));
        Ok(match page.ok_or_else(|| self.corrupt("its page directory is cut"))? {
            None => Some(None),
            Some(page) if page.present == 0 => Some(None),
            Some(page) => {
                let all = page.present as usize == self.block_rows(block) && page.min == page.max;
                all.then_some(Some(page.min))
            }
        })
    }

    /// Least and greatest integer of a column, and how many values it has.
    pub(crate) fn column_figures(&self, column: usize) -> Result<(i64, i64, u64), PartError> {
        let pages = self.pages()?;
        let mut figures = (i64::MAX, i64::MIN, 0);
        for block in 0..(self.info.rows as usize).div_ceil(BLOCK_ROWS) {
            let page = pages.chunk(block, column).and_then(|chunk| pages.page(&chunk, block));
            if let Some(page) = page.ok_or_else(|| self.corrupt("its page directory is cut"))? {
                figures =
                    (figures.0.min(page.min), figures.1.max(page.max), figures.2 + u64::from(page.present));
            }
        }
        Ok(figures)
    }

    /// Whether values of a column in a block's row group have a backslash.
    pub(crate) fn has_escapes(&self, block: usize, column: usize) -> Result<bool, PartError> {
        Ok(self.pages()?.chunk(block, column).is_none_or(|chunk| chunk.escapes))
    }

    /// The blocks that may hold rows of a scan, after what its streams, times and filters leave out; in the
    /// scan's order.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn plan(&self, scan: &LogScan, control: &QueryControl) -> Result<Vec<Block>, PartError> {
        control.check()?;
        if self.info.first >= scan.end || self.info.last < scan.start {
            return Ok(Vec::new());
        }
        let table = self.stream_table()?;
        let wanted = table.matching(&scan.matchers);
        let search = Arc::new(LineSearch::new(&scan.lines));
        let mut blocks: Vec<Block> = Vec::new();
        for run in &table.runs {
            if wanted.get(run.stream as usize) != Some(&true)
                || run.first >= scan.end
                || run.last < scan.start
            {
                continue;
            }
            match blocks.last_mut() {
                Some(block) if block.number == run.block as usize => {
                    block.first = block.first.min(run.first);
                    block.last = block.last.max(run.last);
                    block.rows += u64::from(run.rows);
                    block.runs.push(*run);
                }
                _ => blocks.push(Block {
                    first: run.first,
                    last: run.last,
                    rows: u64::from(run.rows),
                    number: run.block as usize,
                    runs: vec![*run],
                    search: search.clone(),
                }),
            }
        }
        self.prune(scan, &search, control, &mut blocks)?;
        match scan.order {
            Order::Any => {}
            Order::Newest => blocks.sort_by_key(|block| std::cmp::Reverse(block.last)),
            Order::Oldest => blocks.sort_by_key(|block| block.first),
        }
        Ok(blocks)
    }

    /// Leaves out blocks whose filters and bounds say that no row passes.
    fn prune(
        &self,
        scan: &LogScan,
        search: &LineSearch,
        control: &QueryControl,
        blocks: &mut Vec<Block>,
    ) -> Result<(), PartError> {
        let needed: Vec<_> = search.tests.iter().filter_map(|test| test.needed()).collect();
        let values: Vec<FieldNeed> =
            scan.fields.iter().filter_map(|test| FieldNeed::new(self, test)).collect();
        if (needed.is_empty() && values.is_empty()) || blocks.is_empty() {
            return Ok(());
        }
        let other = self.unfiltered()?;
        let mut failed = None;
        let mut looked = 0;
        blocks.retain(|block| {
            looked += 1;
            if failed.is_some() {
                return true;
            }
            if looked % BLOCKS_PER_CHECK == 0
                && let Err(interrupt) = control.check()
            {
                failed = Some(interrupt.into());
                return true;
            }
            self.block_may_pass(block.number, &needed, &values, &other).unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        });
        failed.map_or(Ok(()), Err)
    }

    fn block_may_pass(
        &self,
        block: usize,
        needed: &[Vec<&crate::search::Text>],
        values: &[FieldNeed],
        other: &Unfiltered,
    ) -> Result<bool, PartError> {
        let pages = self.pages()?;
        let values: Vec<&FieldNeed> =
            values.iter().filter(|need| need.speaks_for_all(pages, block)).collect();
        for need in &values {
            if let Some((column, low, high)) = need.range {
                let chunk = pages.chunk(block, column);
                let page = chunk.and_then(|chunk| pages.page(&chunk, block));
                match page {
                    Some(None) if need.only_column => return Ok(false),
                    Some(Some(page))
                        if need.only_column && (page.present == 0 || page.max < low || page.min > high) =>
                    {
                        return Ok(false);
                    }
                    _ => {}
                }
            }
        }
        let record = || {
            let filters = self.filter_directory()?;
            filter_record(filters, block).ok_or_else(|| self.corrupt("its filter directory is cut"))
        };
        let mut words: Option<Bytes> = None;
        for need in values.iter().filter(|need| !need.one_of.is_empty()) {
            if need.escapes(self, block)? {
                continue;
            }
            let words = match &words {
                Some(words) => words,
                None => words.insert(self.filter(&record()?.words, block * 2)?),
            };
            if !need.one_of.iter().any(|value| value.may_be_value(other, words)) {
                return Ok(false);
            }
        }
        let mut pieces: Option<Bytes> = None;
        for any in needed {
            let mut found = false;
            for text in any {
                let pieces = match &pieces {
                    Some(pieces) => pieces,
                    None => pieces.insert(self.filter(&record()?.pieces, block * 2 + 1)?),
                };
                let load = || match &words {
                    Some(words) => Ok(words.clone()),
                    None => self.filter(&record()?.words, block * 2),
                };
                if text.needle.may_be_in(other, pieces, load)? {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A filter. It is checked when it is first read: summing all filters up again for each query would cost
    /// more than asking them.
    fn filter(&self, section: &Section, bit: usize) -> Result<Bytes, PartError> {
        if self.checked.lock().get(bit / 64).is_some_and(|bits| bits & (1 << (bit % 64)) != 0) {
            return self.bytes(section.offset, u64::from(section.length));
        }
        let filter = self.section(section, "filters")?;
        let mut checked = self.checked.lock();
        if checked.len() <= bit / 64 {
            checked.resize(bit / 64 + 1, 0);
        }
        if let Some(bits) = checked.get_mut(bit / 64) {
            *bits |= 1 << (bit % 64);
        }
        Ok(filter)
    }

    fn filter_directory(&self) -> Result<&Bytes, PartError> {
        if let Some(filters) = self.filters.get() {
            return Ok(filters);
        }
        let filters = self.section(&self.description.filters, "filter directory")?;
        Ok(self.filters.get_or_init(|| filters))
    }

    /// Which values the filters do not have.
    fn unfiltered(&self) -> Result<Unfiltered, PartError> {
        let mut other = Unfiltered::default();
        self.specs.iter().skip(FIXED_COLUMNS).for_each(|spec| other.add(spec.kind));
        let mut places = self.shapes()?.iter().flat_map(|shape| &shape.holes).map(|hole| hole.place);
        other.times |= places.any(|place| matches!(place, Place::OwnTime(_)));
        Ok(other)
    }

    /// Calls `each` with the streams that match any of `selectors` (each a list of matchers that must all
    /// hold; none: all streams) and may have entries in `[start, end)`, from the stream table alone: figures
    /// are estimates where the range cuts a block.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn streams(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), PartError> {
        if self.info.first >= end || self.info.last < start {
            return Ok(());
        }
        let table = self.stream_table()?;
        let mut wanted = vec![selectors.is_empty(); table.count];
        for selector in selectors {
            wanted.iter_mut().zip(table.matching(selector)).for_each(|(wanted, matches)| *wanted |= matches);
        }
        for runs in table.runs.chunk_by(|a, b| a.stream == b.stream) {
            let Some(stream) = runs.first().map(|run| run.stream) else { continue };
            if wanted.get(stream as usize) != Some(&true) {
                continue;
            }
            let mut stats = LogStats { first: i64::MAX, last: i64::MIN, ..LogStats::default() };
            for run in runs.iter().filter(|run| run.first < end && run.last >= start) {
                let (entries, bytes) = share(run, start, end);
                stats.entries += entries;
                stats.bytes += bytes;
                stats.blocks += 1;
                stats.first = stats.first.min(run.first.max(start));
                stats.last = stats.last.max(run.last.min(end.saturating_sub(1)));
            }
            if stats.blocks > 0 {
                each(&table.labels(stream), stats);
            }
        }
        Ok(())
    }
}

/// Entries and bytes of a run within a range, as if they were evenly spread.
fn share(run: &Run, start: i64, end: i64) -> (u64, u64) {
    if run.first >= start && run.last < end {
        return (u64::from(run.rows), run.bytes);
    }
    let all = (run.last as i128 - run.first as i128 + 1).max(1) as f64;
    let part = (run.last.min(end.saturating_sub(1)) as i128 - run.first.max(start) as i128 + 1).max(0) as f64;
    let scaled = |figure: u64| ((figure as f64 * part / all).ceil() as u64).min(figure);
    (scaled(u64::from(run.rows)), scaled(run.bytes))
}

/// What a test of a field needs of a block.
struct FieldNeed {
    column: Option<usize>,
    /// The column and the least and greatest integer that pass.
    range: Option<(usize, i64, i64)>,
    /// Whether every value of the field is in the column, and rows that the test does not speak for are
    /// not in this part.
    only_column: bool,
    one_of: Vec<Needle>,
    metadata: bool,
}

impl FieldNeed {
    /// None when nothing can be left out for it.
    fn new(part: &Part, test: &novaobs_model::logs::FieldTest) -> Option<Self> {
        use novaobs_model::logs::FieldSource;

        use crate::shapes::Of;
        let metadata = test.field.source == FieldSource::Metadata;
        let accepts_missing = (test.accepts)(None);
        let shapes = part.shapes().ok()?;
        // A row of another structure passes whatever its fields are.
        let sure = !accepts_missing
            && shapes.iter().skip(3).all(|shape| match test.field.source {
                FieldSource::Metadata => true,
                FieldSource::Json => shape.of != Of::Logfmt,
                FieldSource::Logfmt => shape.of != Of::Json,
            });
        if !sure {
            return None;
        }
        let column = part.column_of(&test.field.name, metadata);
        let of_this = |of: Of| (of == Of::Metadata) == metadata;
        let holes = shapes
            .iter()
            .filter(|shape| of_this(shape.of))
            .filter_map(|shape| shape.hole_of(&test.field.name));
        let only_column = holes.clone().all(|hole| matches!(hole.place, Place::Column(_)));
        let kind = column.and_then(|column| part.specs.get(column)).map(|spec| spec.kind);
        let range = match (test.range, column, kind) {
            (Some(range), Some(column), Some(Kind::Number { scale, .. })) if !range.outside => {
                let unit = 10f64.powi(i32::from(scale));
                // Wider by one: rounding here must not leave a value out.
                Some((column, (range.low.0 * unit).floor() as i64, (range.high.0 * unit).ceil() as i64))
                    .map(|(column, low, high)| (column, low.saturating_sub(1), high.saturating_add(1)))
            }
            _ => None,
        };
        let one_of: Vec<Needle> = test.one_of.iter().flatten().map(|value| Needle::whole(value)).collect();
        let blind = one_of.iter().any(Needle::is_blind);
        let any_time = holes.clone().any(|hole| matches!(hole.place, Place::OwnTime(_)));
        let in_rest = holes.clone().any(|hole| hole.place == Place::Rest && hole.kind.has_escapes());
        let one_of = if blind || any_time || in_rest { Vec::new() } else { one_of };
        (range.is_some() || !one_of.is_empty()).then_some(FieldNeed {
            column,
            range,
            only_column,
            one_of,
            metadata,
        })
    }

    /// Whether no row of a block is text, or has metadata whose names the shapes do not tell.
    fn speaks_for_all(&self, pages: &Pages, block: usize) -> bool {
        let odd = if self.metadata { METADATA_REST } else { LINE };
        let page = pages.chunk(block, odd).and_then(|chunk| pages.page(&chunk, block));
        page.is_some_and(|page| page.is_none_or(|page| page.present == 0))
    }

    /// Whether values may be written with escapes, so that words in the filter are others.
    fn escapes(&self, part: &Part, block: usize) -> Result<bool, PartError> {
        self.column.map_or(Ok(false), |column| part.has_escapes(block, column))
    }
}
