//! Reads one block: tests column by column on the rows that are left, then the wanted columns of those.

use std::sync::Arc;

use novaobs_model::logs::{
    Field, FieldSource, FieldTest, LineWanted, LogBatch, LogScan, PairLists, ScanStats, StreamRun, Strings,
    Structure, TextColumn,
};
use novaobs_model::select::QueryControl;

use crate::PartError;
use crate::align::{Condition, Ways};
use crate::cells::Cells;
use crate::columns::{LINE, METADATA_REST, METADATA_SHAPE, REST, SHAPE, TIME, take_listed};
use crate::kinds::{Kind, parse_hex, render_time};
use crate::part::{Block, Part};
use crate::search::{Test, Text, Wanted};
use crate::shapes::{NAMED_METADATA, NO_METADATA, Of, Place, Shape, ShapeHole, Shapes, TEXT};
use crate::shred::{HoleKind, unescape};

/// Fewer rows than this are put together and searched as lines.
const FEW_ROWS: usize = 48;

impl Part {
    /// The rows of a block that `scan` wants; `None` when there is none. The scan is the one the block was
    /// planned for, whose time range may have become narrower.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn read(
        &self,
        scan: &LogScan,
        block: &Block,
        control: &QueryControl,
        stats: &mut ScanStats,
    ) -> Result<Option<LogBatch>, PartError> {
        control.check()?;
        let mut reader = BlockReader::new(self, block.number)?;
        let batch = reader.answer(scan, block, control);
        stats.rows += reader.rows as u64;
        stats.bytes += reader.bytes;
        batch
    }
}

/// The columns of a block that have been decoded so far.
pub(crate) struct BlockReader<'a> {
    part: &'a Part,
    block: usize,
    pub(crate) rows: usize,
    pub(crate) shapes: Arc<Shapes>,
    cells: Vec<Option<Box<Cells>>>,
    /// Decoded so far.
    bytes: u64,
    /// The one shape that all lines have, if so; likewise of metadata.
    one_line: Option<u32>,
    one_metadata: Option<u32>,
}

impl<'a> BlockReader<'a> {
    fn answer(
        &mut self,
        scan: &LogScan,
        block: &Block,
        control: &QueryControl,
    ) -> Result<Option<LogBatch>, PartError> {
        let reader = self;
        let mut rows = reader.rows_in_time(scan, block)?;
        for test in &scan.fields {
            if rows.is_empty() {
                return Ok(None);
            }
            reader.test_field(test, &mut rows)?;
        }
        for test in &block.search.tests {
            if rows.is_empty() {
                return Ok(None);
            }
            reader.test_lines(test, &mut rows)?;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        control.check()?;
        reader.batch(scan, block, &rows).map(Some)
    }

    pub(crate) fn new(part: &'a Part, block: usize) -> Result<Self, PartError> {
        let cells = std::iter::repeat_with(|| None).take(part.specs.len()).collect();
        let rows = part.block_rows(block);
        Ok(BlockReader {
            part,
            block,
            rows,
            shapes: part.shapes()?.clone(),
            cells,
            bytes: 0,
            one_line: part.only_integer(block, SHAPE)?.flatten().map(|number| number as u32),
            one_metadata: part
                .only_integer(block, METADATA_SHAPE)?
                .map(|number| number.map_or(NO_METADATA, |number| number as u32)),
        })
    }

    /// Decodes a column if it is not yet.
    pub(crate) fn load(&mut self, column: usize) -> Result<(), PartError> {
        let Some(slot) = self.cells.get_mut(column) else {
            return Err(self.part.corrupt("a shape names no column"));
        };
        if slot.is_none() {
            let cells = self.part.cells(self.block, column)?;
            self.bytes += cells.bytes() as u64;
            *slot = Some(Box::new(cells));
        }
        Ok(())
    }

    /// A column that was loaded.
    pub(crate) fn get(&self, column: usize) -> &Cells {
        self.cells.get(column).and_then(Option::as_deref).unwrap_or(&Cells::Absent)
    }

    fn rows_in_time(&mut self, scan: &LogScan, block: &Block) -> Result<Vec<u32>, PartError> {
        let mut rows = Vec::with_capacity(block.rows as usize);
        let cut = |first: i64, last: i64| first < scan.start || last >= scan.end;
        if block.runs.iter().any(|run| cut(run.first, run.last)) {
            self.load(TIME)?;
        }
        for run in &block.runs {
            let range = run.start..(run.start + run.rows).min(self.rows as u32);
            if cut(run.first, run.last) {
                let times = self.get(TIME);
                rows.extend(range.filter(|row| {
                    let time = times.integer(*row as usize);
                    time >= scan.start && time < scan.end
                }));
            } else {
                rows.extend(range);
            }
        }
        Ok(rows)
    }

    /// The number of a row's shape of line; its column must be loaded.
    pub(crate) fn line_shape(&self, row: usize) -> u32 {
        self.one_line.unwrap_or_else(|| self.get(SHAPE).integer(row) as u32)
    }

    /// The one shape that all rows have, if so.
    fn one_shape(&self, metadata: bool) -> Option<u32> {
        if metadata { self.one_metadata } else { self.one_line }
    }

    /// Loads what [`BlockReader::line_shape`] needs.
    fn load_line_shapes(&mut self) -> Result<(), PartError> {
        if self.one_line.is_none() { self.load(SHAPE) } else { Ok(()) }
    }

    fn load_metadata_shapes(&mut self) -> Result<(), PartError> {
        if self.one_metadata.is_none() { self.load(METADATA_SHAPE) } else { Ok(()) }
    }

    pub(crate) fn metadata_shape(&self, row: usize) -> u32 {
        if let Some(number) = self.one_metadata {
            return number;
        }
        let cells = self.get(METADATA_SHAPE);
        if cells.has(row) { cells.integer(row) as u32 } else { NO_METADATA }
    }

    fn shape_of(&self, row: usize, metadata: bool) -> u32 {
        if metadata { self.metadata_shape(row) } else { self.line_shape(row) }
    }

    fn shape(&self, number: u32) -> Result<&Shape, PartError> {
        self.shapes.get(number).ok_or_else(|| self.part.corrupt("a row has a shape that is not there"))
    }

    /// Distinct shapes of some rows.
    fn shapes_of(&self, rows: &[u32], metadata: bool) -> Vec<u32> {
        if let Some(number) = self.one_shape(metadata) {
            return if rows.is_empty() { Vec::new() } else { vec![number] };
        }
        let mut seen = vec![false; self.shapes.len()];
        let mut all = Vec::new();
        let mut last = None;
        for row in rows {
            let number = self.shape_of(*row as usize, metadata);
            if last == Some(number) {
                continue;
            }
            last = Some(number);
            match seen.get_mut(number as usize) {
                Some(seen) if !*seen => {
                    *seen = true;
                    all.push(number);
                }
                Some(_) => {}
                None => all.push(number),
            }
        }
        all
    }

    /// Appends the value of a row's hole as it stands in the line. `rest` is the row's list.
    pub(crate) fn push_hole(
        &self,
        hole: &ShapeHole,
        row: usize,
        rest: &mut &str,
        out: &mut String,
    ) -> Result<(), PartError> {
        let there = match hole.place {
            Place::Column(column) => self.get(usize::from(column)).push_text(row, out),
            Place::OwnTime(digits) => {
                render_time(self.get(TIME).integer(row), digits, out);
                true
            }
            Place::Rest => match take_listed(rest) {
                Some(text) => {
                    out.push_str(text);
                    true
                }
                None => false,
            },
        };
        if there { Ok(()) } else { Err(self.missing()) }
    }

    fn missing(&self) -> PartError {
        self.part.corrupt(format!("a value of a shape is not there in block {}", self.block))
    }

    /// Loads what lines of these rows are put together from.
    pub(crate) fn load_lines(&mut self, rows: &[u32]) -> Result<(), PartError> {
        self.load_line_shapes()?;
        for number in self.shapes_of(rows, false) {
            self.load_shape(number, LINE, REST)?;
        }
        Ok(())
    }

    fn load_shape(&mut self, number: u32, text: usize, rest: usize) -> Result<(), PartError> {
        let shapes = self.shapes.clone();
        let Some(shape) = shapes.get(number) else {
            return Err(self.part.corrupt("a row has a shape that is not there"));
        };
        if shape.of == Of::Text {
            self.load(text)?;
        }
        if shape.has_rest() {
            self.load(rest)?;
        }
        for hole in &shape.holes {
            match hole.place {
                Place::Column(column) => self.load(usize::from(column))?,
                Place::OwnTime(_) => self.load(TIME)?,
                Place::Rest => {}
            }
        }
        Ok(())
    }

    /// Appends the line of a row.
    pub(crate) fn push_line(&self, row: usize, out: &mut String) -> Result<(), PartError> {
        let shape = self.shape(self.line_shape(row))?;
        if shape.of == Of::Text {
            return if self.get(LINE).push_text(row, out) { Ok(()) } else { Err(self.missing()) };
        }
        let mut scratch = String::new();
        let mut rest =
            if shape.has_rest() { self.get(REST).text(row, &mut scratch).unwrap_or("") } else { "" };
        let mut literals = shape.literals.iter();
        for hole in &shape.holes {
            out.push_str(literals.next().map_or("", String::as_str));
            self.push_hole(hole, row, &mut rest, out)?;
        }
        out.push_str(literals.next().map_or("", String::as_str));
        Ok(())
    }

    /// Loads what metadata of these rows is read from.
    pub(crate) fn load_metadata(&mut self, rows: &[u32]) -> Result<(), PartError> {
        self.load_metadata_shapes()?;
        for number in self.shapes_of(rows, true) {
            if number != NO_METADATA {
                self.load_shape(number, METADATA_REST, METADATA_REST)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with the pairs of a row's metadata.
    pub(crate) fn metadata(&self, row: usize, mut each: impl FnMut(&str, &str)) -> Result<(), PartError> {
        let number = self.metadata_shape(row);
        if number == NO_METADATA {
            return Ok(());
        }
        let mut scratch = String::new();
        let shape = self.shape(number)?;
        let mut rest =
            if shape.has_rest() { self.get(METADATA_REST).text(row, &mut scratch).unwrap_or("") } else { "" };
        if number == NAMED_METADATA {
            while !rest.is_empty() {
                match (take_listed(&mut rest), take_listed(&mut rest)) {
                    (Some(name), Some(value)) => each(name, value),
                    _ => return Err(self.missing()),
                }
            }
            return Ok(());
        }
        let mut value = String::new();
        for hole in &shape.holes {
            value.clear();
            self.push_hole(hole, row, &mut rest, &mut value)?;
            each(&hole.name, &value);
        }
        Ok(())
    }

    /// The value of a field whose place is not a column, as LogQL shows it.
    fn odd_value(&self, shape: &Shape, hole: &ShapeHole, row: usize) -> Result<String, PartError> {
        let list = if hole.kind == HoleKind::Metadata { METADATA_REST } else { REST };
        let mut scratch = String::new();
        let mut rest = self.get(list).text(row, &mut scratch).unwrap_or("");
        let mut value = String::new();
        for other in &shape.holes {
            if std::ptr::eq(other, hole) {
                self.push_hole(hole, row, &mut rest, &mut value)?;
                break;
            }
            if other.place == Place::Rest {
                take_listed(&mut rest);
            }
        }
        if hole.kind.has_escapes() && value.contains('\\') {
            let mut shown = String::new();
            unescape(&value, &mut shown);
            return Ok(shown);
        }
        Ok(value)
    }

    /// Loads what a field of some rows is read from: whether it is in its column for all of them.
    fn load_field(&mut self, field: &Field, rows: &[u32]) -> Result<FieldPlaces, PartError> {
        let metadata = field.source == FieldSource::Metadata;
        let column = self.part.column_of(&field.name, metadata);
        if let Some(column) = column {
            self.load(column)?;
        }
        if metadata {
            self.load_metadata_shapes()?
        } else {
            self.load_line_shapes()?
        }
        let mut odd = vec![false; self.shapes.len()];
        let mut any = false;
        for number in self.shapes_of(rows, metadata) {
            let shapes = self.shapes.clone();
            let Some(shape) = shapes.get(number) else {
                return Err(self.part.corrupt("a row has a shape that is not there"));
            };
            let elsewhere = match shape.hole_of(&field.name).map(|hole| hole.place) {
                Some(Place::Column(place)) => Some(usize::from(place)) != column,
                Some(Place::Rest) => {
                    self.load(if metadata { METADATA_REST } else { REST })?;
                    true
                }
                Some(Place::OwnTime(_)) => {
                    self.load(TIME)?;
                    true
                }
                None if shape.of == Of::NamedMetadata => {
                    self.load(METADATA_REST)?;
                    true
                }
                None => false,
            };
            any |= elsewhere;
            if let Some(odd) = odd.get_mut(number as usize) {
                *odd = elsewhere;
            }
        }
        let escapes = match column {
            Some(column) if !metadata => self.part.has_escapes(self.block, column)?,
            _ => false,
        };
        Ok(FieldPlaces { column, odd: if any { odd } else { Vec::new() }, escapes, metadata })
    }

    /// The value of a field of a row that is not in its column.
    fn value_elsewhere(
        &self,
        field: &Field,
        row: usize,
        metadata: bool,
    ) -> Result<Option<String>, PartError> {
        let number = self.shape_of(row, metadata);
        if number == NAMED_METADATA {
            let mut value = None;
            self.metadata(row, |name, text| {
                if name == &*field.name {
                    value = Some(text.to_owned());
                }
            })?;
            return Ok(value);
        }
        let shape = self.shape(number)?;
        match shape.hole_of(&field.name) {
            Some(hole) => self.odd_value(shape, hole, row).map(Some),
            None => Ok(None),
        }
    }

    /// Keeps the rows that pass a test of a field.
    fn test_field(&mut self, test: &FieldTest, rows: &mut Vec<u32>) -> Result<(), PartError> {
        let places = self.load_field(&test.field, rows)?;
        let speaks = self.speaks(test.field.source);
        let mut verdicts = ColumnTest::new(test, self.column(&places), places.escapes);
        if let Some(number) = self.one_shape(places.metadata)
            && places.odd.is_empty()
        {
            if speaks.get(number as usize) == Some(&true) {
                verdicts.keep(rows);
            }
            return Ok(());
        }
        let mut failed = None;
        rows.retain(|row| {
            let at = *row as usize;
            let number = self.shape_of(at, places.metadata);
            if speaks.get(number as usize) != Some(&true) {
                return true;
            }
            if places.odd.get(number as usize) == Some(&true) {
                return match self.value_elsewhere(&test.field, at, places.metadata) {
                    Ok(value) => (test.accepts)(value.as_deref()),
                    Err(error) => {
                        failed = Some(error);
                        true
                    }
                };
            }
            verdicts.passes(at)
        });
        failed.map_or(Ok(()), Err)
    }

    fn column(&self, places: &FieldPlaces) -> &Cells {
        places.column.map_or(&Cells::Absent, |column| self.get(column))
    }

    /// For which shapes a field of this source is known.
    fn speaks(&self, source: FieldSource) -> Vec<bool> {
        let known = |shape: &Shape| match source {
            FieldSource::Metadata => matches!(shape.of, Of::Metadata | Of::NamedMetadata),
            FieldSource::Json => shape.of == Of::Json,
            FieldSource::Logfmt => shape.of == Of::Logfmt,
        };
        self.shapes.iter().map(known).collect()
    }

    /// Keeps the rows whose lines pass a test.
    fn test_lines(&mut self, test: &Test, rows: &mut Vec<u32>) -> Result<(), PartError> {
        if rows.len() < FEW_ROWS {
            return self
                .keep_lines(rows, |line| test.any.iter().any(|wanted| wanted.is_in(line)) != test.negated);
        }
        self.load_line_shapes()?;
        let mut found = vec![false; self.rows];
        for wanted in &test.any {
            match wanted {
                Wanted::Text(text) => self.find_text(text, rows, &mut found)?,
                Wanted::Regex { regex, required } => {
                    let mut candidates: Vec<u32> =
                        rows.iter().copied().filter(|row| found.get(*row as usize) != Some(&true)).collect();
                    if !required.is_empty() {
                        let mut near = vec![false; self.rows];
                        for text in required {
                            self.find_text(text, &candidates, &mut near)?;
                        }
                        candidates.retain(|row| near.get(*row as usize) == Some(&true));
                    }
                    self.keep_lines(&mut candidates, |line| regex.is_match(line))?;
                    candidates.iter().for_each(|row| mark(&mut found, *row));
                }
                Wanted::Nothing => {}
            }
        }
        rows.retain(|row| (found.get(*row as usize) == Some(&true)) != test.negated);
        Ok(())
    }

    /// Keeps the rows whose lines, put together, pass.
    fn keep_lines(&mut self, rows: &mut Vec<u32>, passes: impl Fn(&str) -> bool) -> Result<(), PartError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.load_lines(rows)?;
        let mut line = String::new();
        let mut failed = None;
        rows.retain(|row| {
            line.clear();
            if let Err(error) = self.push_line(*row as usize, &mut line) {
                failed = Some(error);
            }
            passes(&line)
        });
        failed.map_or(Ok(()), Err)
    }

    /// Marks those of `rows` whose lines have a text, without putting lines together: it is in a literal
    /// of the shape, within a value, or across both.
    fn find_text(&mut self, text: &Text, rows: &[u32], found: &mut [bool]) -> Result<(), PartError> {
        if text.text.is_empty() {
            rows.iter().for_each(|row| mark(found, *row));
            return Ok(());
        }
        let numbers = self.shapes_of(rows, false);
        let shapes = self.shapes.clone();
        let mut plans: Vec<Option<Arc<Ways>>> = vec![None; shapes.len()];
        let mut columns: Vec<usize> = Vec::new();
        let (mut in_rest, mut in_time, mut whole) = (false, false, Vec::new());
        let time = Kind::Time { digits: 9 };
        let time_like = text.text.bytes().all(|byte| time.has_byte(byte));
        for number in &numbers {
            let Some(shape) = shapes.get(*number) else {
                return Err(self.part.corrupt("a row has a shape that is not there"));
            };
            let ways = text.ways(*number, shape);
            match *ways {
                Ways::All => {}
                Ways::Many => whole.push(*number),
                Ways::Some(ref lists) => {
                    for (hole, _) in lists.iter().flatten() {
                        match shape.holes.get(*hole).map(|hole| hole.place) {
                            Some(Place::Column(column)) => self.load(usize::from(column))?,
                            Some(Place::OwnTime(_)) => self.load(TIME)?,
                            _ => self.load(REST)?,
                        }
                    }
                    if shape.of == Of::Text {
                        columns.push(LINE);
                    }
                    columns.extend(shape.holes.iter().filter_map(|hole| match hole.place {
                        Place::Column(column) => Some(usize::from(column)),
                        Place::Rest | Place::OwnTime(_) => None,
                    }));
                    in_rest |= shape.has_rest();
                    in_time |=
                        time_like && shape.holes.iter().any(|hole| matches!(hole.place, Place::OwnTime(_)));
                }
            }
            if let Some(plan) = plans.get_mut(*number as usize) {
                *plan = Some(ways);
            }
        }
        columns.sort_unstable();
        columns.dedup();
        for column in columns {
            self.find_in_column(text, column, rows, &plans, found)?;
        }
        if in_rest {
            self.load(REST)?;
        }
        if in_time {
            self.load(TIME)?;
        }
        if !whole.is_empty() {
            let mut some: Vec<u32> =
                rows.iter().copied().filter(|row| whole.contains(&self.line_shape(*row as usize))).collect();
            self.keep_lines(&mut some, |line| text.finder.find(line.as_bytes()).is_some())?;
            some.iter().for_each(|row| mark(found, *row));
        }
        let across =
            plans.iter().flatten().any(|ways| !matches!(**ways, Ways::Some(ref lists) if lists.is_empty()));
        if across || in_rest || in_time {
            for row in rows {
                let at = *row as usize;
                if found.get(at) == Some(&true) {
                    continue;
                }
                let number = self.line_shape(at);
                let ways = plans.get(number as usize).and_then(Option::as_deref);
                if self.is_across(text, at, self.shape(number)?, ways, in_rest, in_time)? {
                    mark(found, *row);
                }
            }
        }
        Ok(())
    }

    /// Whether a row's line has a text in its literals, its rest, its own time, or across values.
    fn is_across(
        &self,
        text: &Text,
        row: usize,
        shape: &Shape,
        ways: Option<&Ways>,
        in_rest: bool,
        in_time: bool,
    ) -> Result<bool, PartError> {
        let lists = match ways {
            Some(Ways::All) => return Ok(true),
            Some(Ways::Some(lists)) => lists,
            Some(Ways::Many) | None => return Ok(false),
        };
        let mut scratch = String::new();
        if in_rest && shape.has_rest() {
            let mut rest = self.get(REST).text(row, &mut scratch).unwrap_or("");
            while let Some(value) = take_listed(&mut rest) {
                if text.finder.find(value.as_bytes()).is_some() {
                    return Ok(true);
                }
            }
        }
        if in_time {
            for hole in shape.holes.iter().filter(|hole| matches!(hole.place, Place::OwnTime(_))) {
                let mut value = String::new();
                self.push_hole(hole, row, &mut "", &mut value)?;
                if value.contains(&text.text) {
                    return Ok(true);
                }
            }
        }
        for list in lists {
            let mut all = true;
            for (hole, condition) in list {
                let Some(hole) = shape.holes.get(*hole) else { continue };
                if !self.holds(shape, hole, condition, row)? {
                    all = false;
                    break;
                }
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn holds(
        &self,
        shape: &Shape,
        hole: &ShapeHole,
        condition: &Condition,
        row: usize,
    ) -> Result<bool, PartError> {
        let test = |value: &str| match condition {
            Condition::Starts(text) => value.starts_with(text.as_str()),
            Condition::Ends(text) => value.ends_with(text.as_str()),
            Condition::Is(text) => value == text,
        };
        let mut scratch = String::new();
        if let Place::Column(column) = hole.place {
            return Ok(self.get(usize::from(column)).text(row, &mut scratch).is_some_and(test));
        }
        let mut rest = self.get(REST).text(row, &mut scratch).unwrap_or("");
        let mut value = String::new();
        for other in &shape.holes {
            if std::ptr::eq(other, hole) {
                self.push_hole(hole, row, &mut rest, &mut value)?;
                break;
            }
            if other.place == Place::Rest {
                take_listed(&mut rest);
            }
        }
        Ok(test(&value))
    }

    /// Marks rows where a value of a column has a text, when their shape has that column.
    fn find_in_column(
        &mut self,
        text: &Text,
        column: usize,
        rows: &[u32],
        plans: &[Option<Arc<Ways>>],
        found: &mut [bool],
    ) -> Result<(), PartError> {
        let kind = self.part.specs.get(column).map_or(Kind::Text, |spec| spec.kind);
        let too_long = matches!(kind, Kind::Hex { bytes } if text.text.len() > 2 * usize::from(bytes));
        if too_long || !text.text.bytes().all(|byte| kind.has_byte(byte)) {
            return Ok(());
        }
        self.load(column)?;
        let hits = hits(self.get(column), text, self.rows);
        if hits.is_empty() {
            return Ok(());
        }
        for row in rows {
            let at = *row as usize;
            if hits.get(at) != Some(&true) || found.get(at) == Some(&true) {
                continue;
            }
            let number = self.line_shape(at);
            let known = plans.get(number as usize).is_some_and(Option::is_some);
            let shape = self.shape(number)?;
            let has = match column {
                LINE => number == TEXT,
                _ => shape
                    .holes
                    .iter()
                    .any(|hole| matches!(hole.place, Place::Column(c) if usize::from(c) == column)),
            };
            if known && has {
                mark(found, *row);
            }
        }
        Ok(())
    }

    /// The answer for the rows that passed.
    fn batch(&mut self, scan: &LogScan, block: &Block, rows: &[u32]) -> Result<LogBatch, PartError> {
        let columns = &scan.columns;
        let mut batch = LogBatch { streams: self.stream_runs(block, rows)?, ..LogBatch::default() };
        self.load(TIME)?;
        batch.timestamps = match self.get(TIME) {
            Cells::Integers { values, .. } if rows.len() == self.rows => values.clone(),
            times => rows.iter().map(|row| times.integer(*row as usize)).collect(),
        };
        let of_lines = columns.fields.iter().any(|field| field.source != FieldSource::Metadata);
        if of_lines {
            self.load_line_shapes()?;
            let structures: Vec<Structure> = self.shapes.iter().map(Shape::structure).collect();
            let structure = |row: &u32| structures.get(self.line_shape(*row as usize) as usize).copied();
            batch.structures = rows.iter().map(|row| structure(row).unwrap_or(Structure::Text)).collect();
        }
        self.fill_lines(scan, rows, &mut batch)?;
        if columns.metadata {
            self.load_metadata(rows)?;
            let mut metadata = PairLists::default();
            for row in rows {
                self.metadata(*row as usize, |name, value| metadata.pair(name, value))?;
                metadata.end_row();
            }
            batch.metadata = metadata;
        }
        for field in &columns.fields {
            let column = self.field_column(field, rows)?;
            batch.fields.push(column);
        }
        Ok(batch)
    }

    fn stream_runs(&self, block: &Block, rows: &[u32]) -> Result<Vec<StreamRun>, PartError> {
        let table = self.part.stream_table()?;
        let mut out = Vec::new();
        let mut rest = rows;
        for run in &block.runs {
            let count = rest.partition_point(|row| *row < run.start + run.rows);
            let (here, after) = rest.split_at_checked(count).unwrap_or_default();
            rest = after;
            if !here.is_empty() {
                out.push(StreamRun { labels: table.labels(run.stream), rows: here.len() });
            }
        }
        Ok(out)
    }

    fn fill_lines(&mut self, scan: &LogScan, rows: &[u32], batch: &mut LogBatch) -> Result<(), PartError> {
        let columns = &scan.columns;
        if columns.line == LineWanted::Never && !columns.line_bytes {
            return Ok(());
        }
        self.load_line_shapes()?;
        let spoken = match columns.line {
            LineWanted::Unless(source) => self.speaks(source),
            LineWanted::Always | LineWanted::Never => Vec::new(),
        };
        let is_wanted = |reader: &Self, row: u32| match columns.line {
            LineWanted::Never => false,
            LineWanted::Always => true,
            LineWanted::Unless(FieldSource::Metadata) => true,
            LineWanted::Unless(_) => spoken.get(reader.line_shape(row as usize) as usize) != Some(&true),
        };
        if columns.line_bytes {
            self.load_lines(rows)?;
        } else {
            let wanted: Vec<u32> = rows.iter().copied().filter(|row| is_wanted(self, *row)).collect();
            self.load_lines(&wanted)?;
        }
        let mut lines = Strings::default();
        let mut line = String::new();
        for row in rows {
            let wanted = is_wanted(self, *row);
            line.clear();
            if wanted || columns.line_bytes {
                self.push_line(*row as usize, &mut line)?;
            }
            if columns.line_bytes {
                batch.line_bytes.push(line.len() as u32);
            }
            if columns.line != LineWanted::Never {
                lines.push(if wanted { &line } else { "" });
            }
        }
        batch.lines = lines;
        Ok(())
    }

    /// A field of some rows.
    fn field_column(&mut self, field: &Field, rows: &[u32]) -> Result<TextColumn, PartError> {
        let places = self.load_field(field, rows)?;
        if places.odd.is_empty()
            && let Some(column) = plain_column(self.column(&places), rows, self.rows, places.escapes)
        {
            return Ok(column);
        }
        let (mut present, mut values) = (Vec::with_capacity(rows.len()), Strings::default());
        let (mut scratch, mut shown) = (String::new(), String::new());
        for row in rows {
            let at = *row as usize;
            if places.odd.get(self.shape_of(at, places.metadata) as usize) == Some(&true) {
                let value = self.value_elsewhere(field, at, places.metadata)?;
                present.push(value.is_some());
                values.push(value.as_deref().unwrap_or(""));
                continue;
            }
            let value = self.column(&places).text(at, &mut scratch);
            present.push(value.is_some());
            values.push(show(value.unwrap_or(""), places.escapes, &mut shown));
        }
        Ok(TextColumn::Plain { present, values })
    }
}

/// Where a field's values are.
struct FieldPlaces {
    column: Option<usize>,
    /// The shapes whose value is not in the column; empty when there is none.
    odd: Vec<bool>,
    /// Whether values of the column may have escapes.
    escapes: bool,
    metadata: bool,
}

fn mark(found: &mut [bool], row: u32) {
    if let Some(found) = found.get_mut(row as usize) {
        *found = true;
    }
}

/// A value as LogQL shows it.
fn show<'a>(value: &'a str, escapes: bool, scratch: &'a mut String) -> &'a str {
    if !escapes || !value.contains('\\') {
        return value;
    }
    scratch.clear();
    unescape(value, scratch);
    scratch
}

/// Which rows of a column have a text; nothing when none has.
fn hits(cells: &Cells, text: &Text, rows: usize) -> Vec<bool> {
    let mut out = Vec::new();
    let mut hit = |row: usize| {
        if out.is_empty() {
            out.resize(rows, false);
        }
        mark(&mut out, row as u32);
    };
    match cells {
        Cells::Absent => {}
        Cells::Codes { codes, dictionary } => {
            let has: Vec<bool> =
                dictionary.texts.iter().map(|value| text.finder.find(value.as_bytes()).is_some()).collect();
            if has.contains(&true) {
                let found = |code: &u32| has.get(*code as usize) == Some(&true);
                codes.iter().enumerate().filter(|(_, code)| found(code)).for_each(|(row, _)| hit(row));
            }
        }
        Cells::Texts { texts, .. } => {
            let bytes = texts.text().as_bytes();
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| text.finder.find(rest)) {
                let start = from + at;
                let row = texts.ends().partition_point(|end| *end as usize <= start);
                let end = texts.ends().get(row).map_or(bytes.len(), |end| *end as usize);
                if start + text.text.len() <= end {
                    hit(row);
                    from = end;
                } else {
                    from = start + 1;
                }
            }
        }
        Cells::Hex { width, bytes, present } if text.text.len() == 2 * width => {
            let mut wanted = Vec::new();
            if parse_hex(&text.text, *width as u8, &mut wanted) {
                let same = |(_, value): &(usize, &[u8])| *value == wanted.as_slice();
                let there = |row: usize| present.get(row) != Some(&false);
                let found = bytes.chunks_exact(*width).enumerate().filter(same);
                found.filter(|(row, _)| there(*row)).for_each(|(row, _)| hit(row));
            }
        }
        Cells::Integers { .. } | Cells::Hex { .. } => {
            let mut scratch = String::new();
            for row in 0..rows {
                if cells
                    .text(row, &mut scratch)
                    .is_some_and(|value| text.finder.find(value.as_bytes()).is_some())
                {
                    hit(row);
                }
            }
        }
    }
    out
}

/// A column as it is, for some of its rows; none where it must be written out.
fn plain_column(cells: &Cells, rows: &[u32], all: usize, escapes: bool) -> Option<TextColumn> {
    let whole = rows.len() == all;
    let some = |present: &[bool]| -> Vec<bool> {
        if present.is_empty() || whole {
            return present.to_vec();
        }
        rows.iter().map(|row| present.get(*row as usize) == Some(&true)).collect()
    };
    match cells {
        Cells::Absent => Some(TextColumn::Dictionary {
            codes: vec![TextColumn::ABSENT; rows.len()],
            values: Strings::default(),
        }),
        Cells::Codes { codes, dictionary } => {
            let mut codes: Vec<u32> = match whole {
                true => codes.clone(),
                false => rows
                    .iter()
                    .map(|row| codes.get(*row as usize).copied().unwrap_or(TextColumn::ABSENT))
                    .collect(),
            };
            let mut shown = String::new();
            if dictionary.texts.len() > rows.len() / 2 {
                // Only the values that occur: the answer must not be larger than its rows.
                let mut numbers = vec![TextColumn::ABSENT; dictionary.texts.len()];
                let mut values = Strings::default();
                for code in codes.iter_mut().filter(|code| **code != TextColumn::ABSENT) {
                    if let Some(number) = numbers.get_mut(*code as usize) {
                        if *number == TextColumn::ABSENT {
                            *number = values.len() as u32;
                            values.push(show(dictionary.texts.get(*code as usize), escapes, &mut shown));
                        }
                        *code = *number;
                    }
                }
                return Some(TextColumn::Dictionary { codes, values });
            }
            let mut values = Strings::with_capacity(dictionary.texts.len(), dictionary.texts.text().len());
            dictionary.texts.iter().for_each(|text| values.push(show(text, escapes, &mut shown)));
            Some(TextColumn::Dictionary { codes, values })
        }
        Cells::Integers { kind: Kind::Number { scale, fixed: false }, values, present } => {
            let mantissas = match whole {
                true => values.clone(),
                false => rows.iter().map(|row| values.get(*row as usize).copied().unwrap_or(0)).collect(),
            };
            Some(TextColumn::Decimal { present: some(present), mantissas, scale: *scale })
        }
        Cells::Texts { texts, present } if whole && !escapes => {
            Some(TextColumn::Plain { present: some(present), values: texts.clone() })
        }
        Cells::Integers { .. } | Cells::Hex { .. } | Cells::Texts { .. } => None,
    }
}

/// A test of a field on the cells of its column: each distinct value is asked once.
struct ColumnTest<'a> {
    test: &'a FieldTest,
    cells: &'a Cells,
    escapes: bool,
    absent: Option<bool>,
    /// Of each code.
    verdicts: Vec<Option<bool>>,
    /// Least and greatest integer that pass by the test's range, when that can be said of integers.
    bounds: Option<(i64, i64)>,
    scratch: String,
    shown: String,
}

impl<'a> ColumnTest<'a> {
    fn new(test: &'a FieldTest, cells: &'a Cells, escapes: bool) -> Self {
        let verdicts = match cells {
            Cells::Codes { dictionary, .. } => vec![None; dictionary.texts.len()],
            _ => Vec::new(),
        };
        let bounds = match (cells, test.range) {
            (Cells::Integers { kind: Kind::Number { scale: 0, .. }, .. }, Some(range)) if !range.outside => {
                whole_bounds(range)
            }
            _ => None,
        };
        ColumnTest {
            test,
            cells,
            escapes,
            absent: None,
            verdicts,
            bounds,
            scratch: String::new(),
            shown: String::new(),
        }
    }

    fn passes(&mut self, row: usize) -> bool {
        match self.cells {
            Cells::Codes { codes, dictionary } => {
                let code = codes.get(row).copied().unwrap_or(TextColumn::ABSENT);
                let Some(verdict) = self.verdicts.get_mut(code as usize) else { return self.absent() };
                *verdict.get_or_insert_with(|| {
                    let value = dictionary.texts.get(code as usize);
                    (self.test.accepts)(Some(show(value, self.escapes, &mut self.shown)))
                })
            }
            cells if !cells.has(row) => self.absent(),
            Cells::Integers { kind: Kind::Number { scale, .. }, values, .. } => {
                let value = values.get(row).copied().unwrap_or(0);
                if let Some((low, high)) = self.bounds {
                    return value >= low && value <= high;
                }
                match self.test.range {
                    // Both are exact there, so that the quotient is the nearest number to the decimal.
                    Some(range) if value.unsigned_abs() < 1 << 53 && *scale <= 22 => {
                        range.accepts(value as f64 / 10f64.powi(i32::from(*scale)))
                    }
                    _ => self.ask(row),
                }
            }
            _ => self.ask(row),
        }
    }

    /// Keeps the rows that pass.
    fn keep(&mut self, rows: &mut Vec<u32>) {
        match (self.cells, &self.test.one_of) {
            (Cells::Codes { codes, dictionary }, _) => {
                let shown = &mut self.shown;
                let table: Vec<bool> = dictionary
                    .texts
                    .iter()
                    .map(|value| (self.test.accepts)(Some(show(value, self.escapes, shown))))
                    .collect();
                let absent = self.absent();
                rows.retain(|row| {
                    let code = codes.get(*row as usize).copied().unwrap_or(TextColumn::ABSENT);
                    table.get(code as usize).copied().unwrap_or(absent)
                });
            }
            (Cells::Hex { width, bytes, present }, Some(wanted)) if present.is_empty() => {
                let mut values = Vec::new();
                for text in wanted {
                    parse_hex(text, *width as u8, &mut values);
                }
                rows.retain(|row| {
                    let at = *row as usize * width;
                    let value = bytes.get(at..at + width);
                    values.chunks_exact(*width).any(|wanted| Some(wanted) == value)
                });
            }
            _ => rows.retain(|row| self.passes(*row as usize)),
        }
    }

    fn absent(&mut self) -> bool {
        *self.absent.get_or_insert_with(|| (self.test.accepts)(None))
    }

    fn ask(&mut self, row: usize) -> bool {
        let value = self.cells.text(row, &mut self.scratch);
        (self.test.accepts)(value.map(|value| show(value, self.escapes, &mut self.shown)))
    }
}

/// The whole numbers in a range whose ends are small enough to be exact.
fn whole_bounds(range: novaobs_model::logs::NumberRange) -> Option<(i64, i64)> {
    const EXACT: f64 = 9e15;
    let low = match range.low {
        (low, _) if low < -EXACT => return None,
        (low, true) => low.ceil(),
        (low, false) => low.floor() + 1.0,
    };
    let high = match range.high {
        (high, _) if high > EXACT => return Some((low as i64, i64::MAX)).filter(|_| high.is_infinite()),
        (high, true) => high.floor(),
        (high, false) => high.ceil() - 1.0,
    };
    (low <= EXACT && high >= -EXACT).then_some((low as i64, high as i64))
}
