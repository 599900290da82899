//! Reads one block: tests column by column on the rows that are left, then the wanted columns of those.

mod fields;
mod find;
mod verdicts;

use std::sync::Arc;

use novaobs_model::logs::{
    FieldSource, LineWanted, LogBatch, LogScan, PairLists, ScanStats, StreamRun, Strings, Structure,
};
use novaobs_model::select::QueryControl;

use crate::PartError;
use crate::cells::Cells;
use crate::columns::{LINE, METADATA_REST, METADATA_SHAPE, REST, SHAPE, TIME, take_listed};
use crate::kinds::render_time;
use crate::part::{Block, Part};
use crate::shapes::{NAMED_METADATA, NO_METADATA, Of, Place, Shape, ShapeHole, Shapes};

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
}
