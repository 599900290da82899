//! Makes one part of several without parsing their lines again: columns are copied, codes translated.
//!
//! All parts are sorted alike, so that each block of each is decoded once, and one row group of the result is
//! in memory at a time.

use std::io;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use novaobs_model::labels::Labels;
use novaobs_model::logs::{RowView, TextColumn};
use novaobs_model::select::QueryControl;

use crate::cells::{Cells, DictionaryValues};
use crate::columns::{ColumnSpec, FIXED_COLUMNS, LINE, METADATA_REST, REST, TIME, push_listed};
use crate::kinds::Kind;
use crate::part::Part;
use crate::read::BlockReader;
use crate::search::LineSearch;
use crate::shapes::{NAMED_METADATA, NO_METADATA, Of, Place, Shape, Shapes, TEXT};
use crate::streams::{Run, StreamTable};
use crate::write::{MOST_COLUMNS, has_column};
use crate::writer::{Failure, PartWriter};
use crate::{Dropped, MergeError, PartError, PartInfo, WriteError};

/// A field keeps its column when it is in one of so many rows: fewer than a new part asks for, so that
/// fields at the limit do not go to and fro.
const RARE: u64 = 800;
/// Shapes of the result; rows of further ones become text.
const MOST_SHAPES: usize = 1 << 16;

impl From<Failure> for MergeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io(error) => MergeError::Write(error),
            Failure::Limit(limit) => MergeError::Limit(limit),
        }
    }
}

/// Merges parts into one, which is written to `out`: rows in order of stream and time, equal rows once,
/// those of `drop` left out. `None` when no row is left; what was written is to be thrown away then, as
/// after an error.
///
/// # Errors
/// [`MergeError`].
pub fn merge(
    parts: &[Arc<Part>],
    drop: &[Dropped<'_>],
    out: &mut dyn io::Write,
    control: &QueryControl,
) -> Result<Option<PartInfo>, MergeError> {
    let specs = columns_of(parts)?;
    let mut sources = Vec::with_capacity(parts.len());
    for part in parts {
        sources.push(Source::new(part, &specs)?);
    }
    let writer = PartWriter::new(out, specs.clone(), Shapes::default())?;
    let searches = drop.iter().map(|one| LineSearch::new(&one.filter.lines)).collect();
    let mut merge = Merge { writer, specs, drop, searches, tie: Tie::default() };
    while let Some(labels) = sources.iter().filter_map(|source| source.labels.as_ref()).min().cloned() {
        control.check()?;
        merge.stream(&labels, &mut sources, control)?;
        for source in &mut sources {
            if source.labels.as_ref() == Some(&labels) {
                source.next_stream();
            }
        }
    }
    match merge.writer.finish() {
        Ok(info) => Ok(Some(info)),
        Err(Failure::Limit(WriteError::Empty)) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// A field in the parts that are merged.
#[derive(Default)]
struct Seen {
    /// With the least and greatest integer.
    kinds: Vec<(Kind, i64, i64)>,
    values: u64,
}

/// The columns of the result: those of all parts, but for the rarest ones.
fn columns_of(parts: &[Arc<Part>]) -> Result<Vec<ColumnSpec>, PartError> {
    let mut digits = 3;
    let mut kinds: HashMap<(Arc<str>, bool), Seen> = HashMap::new();
    let mut names = Vec::new();
    for part in parts {
        if let Some(Kind::Time { digits: other }) = part.specs.get(TIME).map(|spec| spec.kind) {
            digits = digits.max(other);
        }
        for (column, spec) in part.specs.iter().enumerate().skip(FIXED_COLUMNS) {
            let (min, max, count) = part.column_figures(column)?;
            let key = (spec.name.clone(), spec.metadata);
            let entry = kinds.entry(key.clone()).or_insert_with(|| {
                names.push(key);
                Seen::default()
            });
            if count > 0 {
                entry.kinds.push((spec.kind, min, max));
                entry.values += count;
            }
        }
    }
    let rows: u64 = parts.iter().map(|part| part.info().rows).sum();
    let count = |key: &(Arc<str>, bool)| kinds.get(key).map_or(0, |seen| seen.values);
    let mut chosen: Vec<&(Arc<str>, bool)> =
        names.iter().filter(|key| count(key) > 0 && count(key) * RARE >= rows).collect();
    if chosen.len() > MOST_COLUMNS {
        let mut counts: Vec<u64> = chosen.iter().map(|key| count(key)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let least = counts.get(MOST_COLUMNS).copied().unwrap_or(0);
        chosen.retain(|key| count(key) > least);
    }
    let mut specs = ColumnSpec::fixed(digits);
    for key in chosen {
        let kind = kinds.get(key).map_or(Kind::Text, |seen| common_kind(&seen.kinds));
        specs.push(ColumnSpec { name: key.0.clone(), metadata: key.1, kind });
    }
    Ok(specs)
}

/// A kind that keeps the values of all.
fn common_kind(all: &[(Kind, i64, i64)]) -> Kind {
    let Some((first, _, _)) = all.first() else { return Kind::Text };
    if all.iter().all(|(kind, _, _)| kind == first) {
        return *first;
    }
    let mut scales = all.iter().map(|(kind, _, _)| match kind {
        Kind::Number { scale, fixed: false } => Some(*scale),
        _ => None,
    });
    let Some(scale) = scales.try_fold(0, |most, scale| scale.map(|scale| most.max(scale))) else {
        return Kind::Text;
    };
    let fits = all.iter().all(|(kind, min, max)| {
        [*min, *max]
            .into_iter()
            .all(|value| scaled(value, *kind, scale).is_some_and(|v| v.unsigned_abs() < 1 << 62))
    });
    if fits { Kind::Number { scale, fixed: false } } else { Kind::Text }
}

fn scaled(value: i64, from: Kind, scale: u8) -> Option<i64> {
    match from {
        Kind::Number { scale: less, .. } => {
            value.checked_mul(10i64.checked_pow(u32::from(scale.checked_sub(less)?))?)
        }
        _ => Some(value),
    }
}

/// A part being merged, at one of its streams.
struct Source<'a> {
    part: &'a Part,
    table: Arc<StreamTable>,
    /// The column of the result for each column.
    columns: Vec<Option<usize>>,
    labels: Option<Labels>,
    /// The runs of the current stream that are left, the next first, and rows of it that are done.
    run: usize,
    done: usize,
    reader: Option<(usize, BlockReader<'a>)>,
    /// What becomes of each shape, once known.
    shapes: Vec<Option<Fate>>,
    codes: HashMap<usize, Codes>,
}

/// What becomes of rows of a shape.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// Their columns are copied, and they have this shape.
    Copied(u32),
    /// Some value moves between a column and the rest: row by row.
    Moved,
}

/// The codes of a source's dictionary in the one being built.
struct Codes {
    dictionary: Arc<DictionaryValues>,
    group: usize,
    codes: Vec<Option<(u32, bool)>>,
}

impl<'a> Source<'a> {
    fn new(part: &'a Part, specs: &[ColumnSpec]) -> Result<Self, PartError> {
        let table = part.stream_table()?;
        let column = |(at, spec): (usize, &ColumnSpec)| {
            if at < FIXED_COLUMNS {
                return Some(at);
            }
            specs
                .iter()
                .position(|other| other.name == spec.name && other.metadata == spec.metadata)
                .filter(|column| *column >= FIXED_COLUMNS)
        };
        let mut source = Source {
            part,
            labels: None,
            columns: part.specs.iter().enumerate().map(column).collect(),
            run: 0,
            done: 0,
            reader: None,
            shapes: vec![None; part.shapes()?.len()],
            codes: HashMap::new(),
            table,
        };
        source.labels = source.current().map(|run| source.table.labels(run.stream));
        Ok(source)
    }

    fn current(&self) -> Option<Run> {
        self.table.runs.get(self.run).copied()
    }

    /// Goes on when all rows of the current stream are done.
    fn next_stream(&mut self) {
        self.labels = self.current().map(|run| self.table.labels(run.stream));
    }

    /// The run with the next row of a stream, and the place of that row in its block; its times are loaded.
    fn next_run(&mut self, stream: u32) -> Result<Option<(Run, usize)>, PartError> {
        let Some(run) = self.current().filter(|run| run.stream == stream) else { return Ok(None) };
        let block = run.block as usize;
        if self.reader.as_ref().is_none_or(|(number, _)| *number != block) {
            self.reader = Some((block, BlockReader::new(self.part, block)?));
        }
        if let Some((_, reader)) = &mut self.reader {
            reader.load(TIME)?;
        }
        Ok(Some((run, run.start as usize + self.done)))
    }

    fn time(&self, row: usize) -> i64 {
        self.reader.as_ref().map_or(0, |(_, reader)| reader.get(TIME).integer(row))
    }

    fn advance(&mut self, run: &Run, rows: usize) {
        self.done += rows;
        if self.done >= run.rows as usize {
            self.done = 0;
            self.run += 1;
        }
    }
}

/// Rows of one time that came from several parts.
#[derive(Default)]
struct Tie {
    time: Option<i64>,
    seen: HashSet<String>,
}

/// The merge under way.
struct Merge<'a, 'o> {
    writer: PartWriter<'o>,
    specs: Vec<ColumnSpec>,
    drop: &'a [Dropped<'a>],
    searches: Vec<LineSearch>,
    tie: Tie,
}

impl Merge<'_, '_> {
    /// Merges the rows of one stream.
    fn stream(
        &mut self,
        labels: &Labels,
        sources: &mut [Source<'_>],
        control: &QueryControl,
    ) -> Result<(), MergeError> {
        let mut here: Vec<(&mut Source<'_>, u32)> = Vec::new();
        for source in sources.iter_mut().filter(|source| source.labels.as_ref() == Some(labels)) {
            if let Some(run) = source.current() {
                here.push((source, run.stream));
            }
        }
        let drops: Vec<usize> = (0..self.drop.len())
            .filter(|at| {
                self.drop
                    .get(*at)
                    .is_some_and(|one| one.filter.matchers.iter().all(|m| m.matches_labels(labels)))
            })
            .collect();
        self.tie = Tie::default();
        let mut begun = false;
        let mut steps = 0u32;
        loop {
            steps += 1;
            if steps.is_multiple_of(1024) {
                control.check()?;
            }
            let mut next: Vec<(i64, usize, Run, usize)> = Vec::with_capacity(here.len());
            for (at, (source, stream)) in here.iter_mut().enumerate() {
                if let Some((run, row)) = source.next_run(*stream)? {
                    next.push((source.time(row), at, run, row));
                }
            }
            let Some((time, at, run, row)) = next.iter().min_by_key(|one| (one.0, one.1)).copied() else {
                break;
            };
            let limit = next.iter().filter(|one| one.1 != at).map(|one| one.0).min();
            let Some((source, _)) = here.get_mut(at) else { break };
            let end = (run.start + run.rows) as usize;
            let tied = limit == Some(time) || self.tie.time == Some(time);
            let stop = match (tied, limit) {
                (true, _) => end_of(source, row, end, |t| t == time),
                (false, Some(limit)) => end_of(source, row, end, |t| t < limit),
                (false, None) => end,
            };
            let stop = stop.max(row + 1);
            if tied && self.tie.time != Some(time) {
                self.tie = Tie { time: Some(time), seen: HashSet::new() };
            }
            for range in self.kept(labels, source, row..stop, tied, &drops)? {
                if !begun {
                    self.writer.stream(labels)?;
                    begun = true;
                }
                self.append(source, &run, range)?;
            }
            source.advance(&run, stop - row);
        }
        Ok(())
    }

    /// The rows that are neither dropped nor, where times are tied, there already.
    fn kept(
        &mut self,
        labels: &Labels,
        source: &mut Source<'_>,
        rows: std::ops::Range<usize>,
        tied: bool,
        drops: &[usize],
    ) -> Result<Vec<std::ops::Range<usize>>, MergeError> {
        let (first, last) = (source.time(rows.start), source.time(rows.end.saturating_sub(1)));
        let drops: Vec<usize> = drops
            .iter()
            .copied()
            .filter(|at| self.drop.get(*at).is_some_and(|one| one.start <= last && one.end >= first))
            .collect();
        if drops.is_empty() && !tied {
            return Ok(vec![rows]);
        }
        let Some((_, reader)) = &mut source.reader else { return Ok(Vec::new()) };
        let numbers: Vec<u32> = rows.clone().map(|row| row as u32).collect();
        reader.load_lines(&numbers)?;
        reader.load_metadata(&numbers)?;
        let mut kept: Vec<std::ops::Range<usize>> = Vec::new();
        let (mut line, mut pairs) = (String::new(), Vec::new());
        for row in rows {
            line.clear();
            pairs.clear();
            reader.push_line(row, &mut line)?;
            reader.metadata(row, |name, value| pairs.push((name.to_owned(), value.to_owned())))?;
            let borrowed: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let timestamp = reader.get(TIME).integer(row);
            let view = RowView { labels, timestamp, line: &line, metadata: &borrowed };
            if drops.iter().any(|at| self.is_dropped(*at, &view)) {
                continue;
            }
            if tied {
                let mut content = String::new();
                push_listed(&mut content, &line);
                borrowed.iter().for_each(|(name, value)| {
                    push_listed(&mut content, name);
                    push_listed(&mut content, value);
                });
                if !self.tie.seen.insert(content) {
                    continue;
                }
            }
            match kept.last_mut() {
                Some(range) if range.end == row => range.end += 1,
                _ => kept.push(row..row + 1),
            }
        }
        Ok(kept)
    }

    fn is_dropped(&self, at: usize, view: &RowView<'_>) -> bool {
        let (Some(one), Some(search)) = (self.drop.get(at), self.searches.get(at)) else { return false };
        (one.start..=one.end).contains(&view.timestamp)
            && search.passes(view.line)
            && one.filter.rest.as_ref().is_none_or(|rest| rest(view))
    }

    /// Adds rows of a source's current block.
    fn append(
        &mut self,
        source: &mut Source<'_>,
        run: &Run,
        rows: std::ops::Range<usize>,
    ) -> Result<(), MergeError> {
        let numbers: Vec<u32> = rows.clone().map(|row| row as u32).collect();
        let Some((_, reader)) = &mut source.reader else { return Ok(()) };
        reader.load_lines(&numbers)?;
        reader.load_metadata(&numbers)?;
        // Bytes of single rows are not known without putting lines together: those of the run, evenly.
        let bytes = |row: usize| {
            let (at, all) = ((row - run.start as usize) as u128, u128::from(run.rows));
            (u128::from(run.bytes) * (at + 1) / all - u128::from(run.bytes) * at / all) as u64
        };
        let mut from = rows.start;
        while from < rows.end {
            let times: Vec<i64> = (from..rows.end).map(|row| source.time(row)).collect();
            let (to, fits) = self.writer.rows_of(&times, |at| bytes(from + at));
            let mut done = 0;
            while done < fits {
                let copied = self.copied(source, from + done, from + fits)?;
                if copied > 0 {
                    self.copy(source, from + done..from + done + copied, to + done);
                    done += copied;
                } else {
                    self.move_row(source, from + done, to + done)?;
                    done += 1;
                }
            }
            from += fits;
            self.writer.flush_if_full()?;
        }
        Ok(())
    }

    /// How many rows from `from` on are of shapes whose columns are copied.
    fn copied(&mut self, source: &mut Source<'_>, from: usize, end: usize) -> Result<usize, PartError> {
        for row in from..end {
            let Some((_, reader)) = &source.reader else { return Ok(0) };
            for number in [reader.line_shape(row), reader.metadata_shape(row)] {
                if self.fate(source, number)? == Fate::Moved {
                    return Ok(row - from);
                }
            }
        }
        Ok(end - from)
    }

    fn fate(&mut self, source: &mut Source<'_>, number: u32) -> Result<Fate, PartError> {
        if let Some(Some(fate)) = source.shapes.get(number as usize) {
            return Ok(*fate);
        }
        let missing = || source.part.corrupt("a row has a shape that is not there");
        let shape = source.part.shapes()?.get(number).ok_or_else(missing)?;
        let fate = self.fate_of(source, shape);
        if let Some(slot) = source.shapes.get_mut(number as usize) {
            *slot = Some(fate);
        }
        Ok(fate)
    }

    fn fate_of(&mut self, source: &Source<'_>, shape: &Shape) -> Fate {
        let mut mapped = shape.clone();
        for hole in &mut mapped.holes {
            let metadata = shape.of == Of::Metadata;
            hole.place = match hole.place {
                Place::OwnTime(digits) => Place::OwnTime(digits),
                Place::Column(column) => match source.columns.get(usize::from(column)).copied().flatten() {
                    Some(column) => Place::Column(column as u16),
                    None => return Fate::Moved,
                },
                Place::Rest => {
                    let wanted = |spec: &&ColumnSpec| spec.name == hole.name && spec.metadata == metadata;
                    let column = self.specs.iter().skip(FIXED_COLUMNS).find(wanted);
                    if has_column(hole.kind) && column.is_some_and(|spec| spec.kind == Kind::Text) {
                        return Fate::Moved;
                    }
                    Place::Rest
                }
            };
        }
        if self.writer.shapes.len() >= MOST_SHAPES {
            return Fate::Moved;
        }
        Fate::Copied(self.writer.shapes.number(mapped))
    }

    /// Copies rows column by column.
    fn copy(&mut self, source: &mut Source<'_>, rows: std::ops::Range<usize>, to: usize) {
        let Some((_, reader)) = &source.reader else { return };
        let group = self.writer.group();
        for (column, target) in source.columns.iter().enumerate() {
            let fixed = column < FIXED_COLUMNS && !matches!(column, LINE | REST | METADATA_REST);
            let Some(target) = target.filter(|_| !fixed) else { continue };
            let Some(builder) = self.writer.columns.get_mut(target) else { continue };
            let cells = reader.get(column);
            let shift = rows.start;
            match cells {
                Cells::Absent => {}
                Cells::Codes { codes, dictionary } if builder.kind() == Kind::Text => {
                    let map = source.codes.entry(column).or_insert_with(|| Codes::new(dictionary, group));
                    if !Arc::ptr_eq(&map.dictionary, dictionary) || map.group != group {
                        *map = Codes::new(dictionary, group);
                    }
                    for row in rows.clone() {
                        let code = codes.get(row).copied().unwrap_or(TextColumn::ABSENT);
                        let Some(slot) = map.codes.get_mut(code as usize) else { continue };
                        let text = dictionary.texts.get(code as usize);
                        if slot.is_none() {
                            *slot = builder.code_of(text).map(|code| (code, text.contains('\\')));
                        }
                        let done = slot
                            .is_some_and(|(code, escape)| builder.push_code(to + row - shift, code, escape));
                        if !done {
                            builder.push_text(to + row - shift, text);
                        }
                    }
                }
                Cells::Integers { kind, .. } if builder.kind().is_integer() => {
                    copy_integers(cells, *kind, &rows, builder, to);
                }
                Cells::Codes { .. } => {
                    let kind = source.part.specs.get(column).map_or(Kind::Text, |spec| spec.kind);
                    copy_integers(cells, kind, &rows, builder, to);
                }
                Cells::Hex { width, bytes, .. } if matches!(builder.kind(), Kind::Hex { .. }) => {
                    for row in rows.clone().filter(|row| cells.has(*row)) {
                        builder.push_bytes(
                            to + row - shift,
                            bytes.get(row * width..(row + 1) * width).unwrap_or_default(),
                        );
                    }
                }
                Cells::Integers { .. } | Cells::Hex { .. } | Cells::Texts { .. } => {
                    let mut scratch = String::new();
                    for row in rows.clone() {
                        if let Some(text) = cells.text(row, &mut scratch) {
                            builder.push_text(to + row - shift, text);
                        }
                    }
                }
            }
        }
        let number = |fate: Option<&Option<Fate>>| match fate {
            Some(Some(Fate::Copied(number))) => *number,
            _ => 0,
        };
        for row in rows.clone() {
            let line = number(source.shapes.get(reader.line_shape(row) as usize));
            let metadata = number(source.shapes.get(reader.metadata_shape(row) as usize));
            self.writer.shape(to + row - rows.start, line, metadata);
        }
    }

    /// Adds a row whose values change places.
    fn move_row(&mut self, source: &mut Source<'_>, row: usize, to: usize) -> Result<(), MergeError> {
        let shapes = source.part.shapes()?.clone();
        let Some((_, reader)) = &source.reader else { return Ok(()) };
        let mut numbers = [0, NO_METADATA];
        let rows = [
            (reader.line_shape(row), LINE, REST),
            (reader.metadata_shape(row), METADATA_REST, METADATA_REST),
        ];
        for ((number, text, rest), out) in rows.into_iter().zip(&mut numbers) {
            let missing = || source.part.corrupt("a row has a shape that is not there");
            let shape = shapes.get(number).ok_or_else(missing)?;
            let mut scratch = String::new();
            let mut list =
                if shape.has_rest() { reader.get(rest).text(row, &mut scratch).unwrap_or("") } else { "" };
            if shape.holes.is_empty() {
                let whole = match shape.of {
                    Of::Text => reader.get(text).text(row, &mut String::new()).map(str::to_owned),
                    Of::NamedMetadata => Some(list.to_owned()),
                    _ => None,
                };
                if let Some(whole) = whole {
                    self.writer.text(text, to, &whole);
                }
                *out = self.writer.shapes.number(shape.clone());
                continue;
            }
            if self.writer.shapes.len() >= MOST_SHAPES {
                let mut whole = String::new();
                *out = if shape.of == Of::Metadata {
                    reader.metadata(row, |name, value| {
                        push_listed(&mut whole, name);
                        push_listed(&mut whole, value);
                    })?;
                    NAMED_METADATA
                } else {
                    reader.push_line(row, &mut whole)?;
                    TEXT
                };
                self.writer.text(text, to, &whole);
                continue;
            }
            let mut moved = shape.clone();
            let mut kept = String::new();
            for hole in &mut moved.holes {
                if matches!(hole.place, Place::OwnTime(_)) {
                    continue;
                }
                let mut value = String::new();
                reader.push_hole(hole, row, &mut list, &mut value)?;
                let was_rest = hole.place == Place::Rest;
                let metadata = shape.of == Of::Metadata;
                let mut specs = self.specs.iter().enumerate().skip(FIXED_COLUMNS);
                let column = specs
                    .find(|(_, spec)| spec.name == hole.name && spec.metadata == metadata)
                    .filter(|(_, spec)| has_column(hole.kind) && (!was_rest || spec.kind == Kind::Text))
                    .map(|(column, _)| column);
                hole.place = match column {
                    Some(column) if self.writer.text(column, to, &value) => Place::Column(column as u16),
                    _ => {
                        push_listed(&mut kept, &value);
                        Place::Rest
                    }
                };
            }
            if !kept.is_empty() {
                self.writer.text(rest, to, &kept);
            }
            *out = self.writer.shapes.number(moved);
        }
        self.writer.shape(to, numbers[0], numbers[1]);
        Ok(())
    }
}

impl Codes {
    fn new(dictionary: &Arc<DictionaryValues>, group: usize) -> Self {
        Codes { dictionary: dictionary.clone(), group, codes: vec![None; dictionary.texts.len()] }
    }
}

fn copy_integers(
    cells: &Cells,
    kind: Kind,
    rows: &std::ops::Range<usize>,
    builder: &mut crate::columns::ColumnBuilder,
    to: usize,
) {
    let scale = match builder.kind() {
        Kind::Number { scale, .. } => scale,
        _ => 0,
    };
    for row in rows.clone().filter(|row| cells.has(*row)) {
        // Bounds were looked at when the kind was chosen.
        builder.push_integer(to + row - rows.start, scaled(cells.integer(row), kind, scale).unwrap_or(0));
    }
}

/// The first row from `from` on whose time `goes_on` refuses.
fn end_of(source: &Source<'_>, from: usize, end: usize, goes_on: impl Fn(i64) -> bool) -> usize {
    match source.reader.as_ref().map(|(_, reader)| reader.get(TIME)) {
        Some(Cells::Integers { values, .. }) => {
            from + values.get(from..end).unwrap_or_default().partition_point(|time| goes_on(*time))
        }
        _ => end,
    }
}
