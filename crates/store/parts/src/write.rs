//! Makes a part of entries: sorts them, takes out repeats, chooses columns and splits the lines.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use novaobs_model::logs::LogStream;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::{ColumnSpec, FIXED_COLUMNS, LINE, METADATA_REST, REST, push_listed};
use crate::kinds::{Sample, parse_time};
use crate::shapes::{
    MOST_SHAPES, NAMED_METADATA, NO_METADATA, Of, Place, Shape, ShapeHole, Shapes, TEXT, line_key,
};
use crate::shred::{Form, Hole, HoleKind, names, shred, shred_like};
use crate::writer::{Failure, PartWriter};
use crate::{PartInfo, WriteError};

/// Columns of fields a part has at most.
pub(crate) const MOST_COLUMNS: usize = 200;
/// A field has a column when it is in one of so many rows.
const RARE: u64 = 200;
/// The first values of a field are all looked at for its kind, then one of so many.
const SAMPLE_FIRST: u64 = 512;
const SAMPLE_EACH: u64 = 16;
/// Rows with one time in one stream from which repeats are looked for with a table.
const MANY_EQUAL: usize = 16;

/// Writes a part of `streams`, in any order and with rows in any order; several may have the same labels.
/// Rows equal in stream, time, line and metadata are written once.
///
/// # Errors
/// [`WriteError`].
pub fn write(streams: &[LogStream], out: &mut Vec<u8>) -> Result<PartInfo, WriteError> {
    let rows = sorted_rows(streams);
    if rows.is_empty() {
        return Err(WriteError::Empty);
    }
    let mut lines = Lines::default();
    lines.read(streams, &rows);
    let fields = lines.columns();
    let digits = time_digits(rows.iter().map(|row| row.time(streams)));
    let mut specs = ColumnSpec::fixed(digits);
    specs.extend(fields.specs.iter().cloned());
    let failed = |failure| match failure {
        Failure::Limit(limit) => limit,
        Failure::Io(_) => WriteError::TooLarge("memory"),
    };
    let writer = PartWriter::new(out, specs, Shapes::default()).map_err(|error| failed(error.into()))?;
    write_rows(writer, streams, &rows, &lines, &fields).map_err(failed)
}

/// How finely times must be kept: the digits behind the second.
pub(crate) fn time_digits(mut times: impl Iterator<Item = i64>) -> u8 {
    let mut digits = 3;
    while digits < 9
        && let Some(time) = times.next()
    {
        if time % 1_000 != 0 {
            digits = 9;
        } else if time % 1_000_000 != 0 {
            digits = 6;
        }
    }
    digits
}

/// A row of the input.
#[derive(Clone, Copy)]
struct Row {
    stream: u32,
    row: u32,
}

impl Row {
    fn source(self, streams: &[LogStream]) -> Option<&LogStream> {
        streams.get(self.stream as usize)
    }

    fn time(self, streams: &[LogStream]) -> i64 {
        self.source(streams).and_then(|stream| stream.timestamps.get(self.row as usize)).copied().unwrap_or(0)
    }

    fn line(self, streams: &[LogStream]) -> &str {
        self.source(streams).map_or("", |stream| stream.lines.get(self.row as usize))
    }

    fn metadata(self, streams: &[LogStream]) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.source(streams).into_iter().flat_map(move |stream| stream.metadata.get(self.row as usize))
    }

    fn content_hash(self, streams: &[LogStream]) -> u64 {
        let pairs = self.metadata(streams).fold(0u64, |sum, (name, value)| {
            sum.rotate_left(7) ^ xxh3_64(name.as_bytes()).wrapping_mul(3) ^ xxh3_64(value.as_bytes())
        });
        xxh3_64(self.line(streams).as_bytes()) ^ pairs
    }
}

/// Rows by labels, time and the order they came in, without repeats.
fn sorted_rows(streams: &[LogStream]) -> Vec<Row> {
    let mut order: Vec<u32> = (0..streams.len() as u32).collect();
    let labels = |at: &u32| streams.get(*at as usize).map(|stream| &stream.labels);
    order.sort_by(|a, b| labels(a).cmp(&labels(b)));
    let mut rows: Vec<Row> = Vec::with_capacity(streams.iter().map(|stream| stream.timestamps.len()).sum());
    let mut same: Vec<(i64, Row)> = Vec::new();
    for group in order.chunk_by(|a, b| labels(a) == labels(b)) {
        same.clear();
        for at in group {
            let times = streams.get(*at as usize).map_or(&[][..], |stream| &stream.timestamps);
            same.extend(times.iter().zip(0..).map(|(time, row)| (*time, Row { stream: *at, row })));
        }
        if !same.is_sorted_by_key(|row| row.0) {
            same.sort_by_key(|row| row.0);
        }
        for equal in same.chunk_by(|a, b| a.0 == b.0) {
            push_distinct(streams, equal, &mut rows);
        }
    }
    rows
}

/// Adds rows of one stream and time, each content once.
fn push_distinct(streams: &[LogStream], equal: &[(i64, Row)], rows: &mut Vec<Row>) {
    let from = rows.len();
    let mut seen: HashMap<u64, Vec<Row>> = HashMap::new();
    let same =
        |a: &Row, b: &Row| a.line(streams) == b.line(streams) && a.metadata(streams).eq(b.metadata(streams));
    for (_, row) in equal {
        let repeated = match equal.len() {
            1 => false,
            2..MANY_EQUAL => rows.get(from..).unwrap_or_default().iter().any(|other| same(other, row)),
            _ => {
                let others = seen.entry(row.content_hash(streams)).or_default();
                let repeated = others.iter().any(|other| same(other, row));
                if !repeated {
                    others.push(*row);
                }
                repeated
            }
        };
        if !repeated {
            rows.push(*row);
        }
    }
}

/// A line's or metadata's shape before it is known where values are kept.
struct RawShape {
    of: Of,
    literals: Vec<String>,
    /// A number of [`Lines::fields`] and the kind of value, in order.
    holes: Vec<(usize, HoleKind)>,
    rows: u64,
}

/// What is known of a field of lines or metadata.
struct FieldSeen {
    name: Arc<str>,
    metadata: bool,
    /// Rows with a value that may stand in a column.
    rows: u64,
    sample: Sample,
}

/// All lines, split.
#[derive(Default)]
struct Lines {
    shapes: Vec<RawShape>,
    by_key: HashMap<u64, u32>,
    by_names: HashMap<u64, u32>,
    fields: Vec<FieldSeen>,
    field_numbers: HashMap<(Arc<str>, bool), usize>,
    /// Of each row: its line's and its metadata's number in `shapes`; none: text, named metadata.
    rows: Vec<(Option<u32>, Option<u32>)>,
    /// The values of all split lines, in order.
    spans: Vec<Span>,
    /// The shape of the last split line, which the next one mostly has too.
    recent: u32,
}

/// A value of a line: where it stands, and the digits behind the second when it is the entry's own time.
struct Span {
    start: u32,
    end: u32,
    own_time: Option<u8>,
}

impl Lines {
    fn read(&mut self, streams: &[LogStream], rows: &[Row]) {
        let mut holes = Vec::new();
        for row in rows {
            let line = row.line(streams);
            let shape = if self.is_like_recent(line, &mut holes) {
                Some(self.recent)
            } else {
                let form = shred(line, &mut holes);
                if form == Form::Text { None } else { self.line_shape(line, form, &holes) }
            };
            if let Some(shape) = shape {
                let time = row.time(streams);
                let from = self.spans.len();
                self.spans.extend(holes.iter().map(|(kind, range)| Span {
                    start: range.start,
                    end: range.end,
                    own_time: own_time_of(*kind, slice(line, range.start, range.end), time),
                }));
                let spans = self.spans.get(from..).unwrap_or_default();
                let values = spans.iter().map(|span| (slice(line, span.start, span.end), span.own_time));
                look_at(&mut self.shapes, &mut self.fields, shape, values);
            }
            let metadata = self.metadata_shape(row.metadata(streams));
            if let Some(shape) = metadata {
                let values = row.metadata(streams).map(|(_, value)| (value, None));
                look_at(&mut self.shapes, &mut self.fields, shape, values);
            }
            self.rows.push((shape, metadata));
        }
    }

    /// Whether a line is JSON of the same shape as the last split one, which is then split.
    fn is_like_recent(&self, line: &str, holes: &mut Vec<Hole>) -> bool {
        self.shapes.get(self.recent as usize).is_some_and(|shape| {
            let kinds = shape.holes.iter().map(|(_, kind)| *kind);
            shape.of == Of::Json && shred_like(line, &shape.literals, kinds, holes)
        })
    }

    /// The number of a split line's shape; none when it must stay text.
    fn line_shape(&mut self, line: &str, form: Form, holes: &[Hole]) -> Option<u32> {
        if self.shapes.get(self.recent as usize).is_some_and(|shape| has_literals(shape, line, holes)) {
            return Some(self.recent);
        }
        let key = line_key(line, holes);
        if let Some(number) = self.by_key.get(&key) {
            // Another shape with the same key is text.
            let same =
                self.shapes.get(*number as usize).is_some_and(|shape| has_literals(shape, line, holes));
            self.recent = *number;
            return same.then_some(*number);
        }
        if self.by_key.len() >= MOST_SHAPES {
            return None;
        }
        let names = names(line, form, holes);
        let number = self.shapes.len() as u32;
        let mut shape = RawShape {
            of: if form == Form::Json { Of::Json } else { Of::Logfmt },
            literals: Vec::new(),
            holes: Vec::new(),
            rows: 0,
        };
        // A shape with odd names is remembered by a key that no line equals: it has no literals.
        if let Some(names) = names {
            shape.literals = literals(line, holes).map(str::to_owned).collect();
            shape.holes =
                names.iter().zip(holes).map(|(name, (kind, _))| (self.field(name, false), *kind)).collect();
        }
        let split = !shape.literals.is_empty();
        self.by_key.insert(key, number);
        self.shapes.push(shape);
        split.then_some(number)
    }

    fn metadata_shape<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<u32> {
        let key = pairs.clone().fold(1u64, |key, (name, _)| {
            key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ xxh3_64(name.as_bytes())
        });
        let number = match self.by_names.get(&key) {
            Some(number) => *number,
            None if self.by_names.len() >= MOST_SHAPES => return None,
            None => {
                let names: Vec<&str> = pairs.clone().map(|(name, _)| name).collect();
                let distinct: HashSet<&&str> = names.iter().collect();
                let usual = distinct.len() == names.len() && names.len() <= 256;
                let holes = names.iter().map(|name| (self.field(name, true), HoleKind::Metadata));
                let shape = RawShape {
                    of: if usual { Of::Metadata } else { Of::NamedMetadata },
                    literals: Vec::new(),
                    holes: holes.filter(|_| usual).collect(),
                    rows: 0,
                };
                self.shapes.push(shape);
                let number = self.shapes.len() as u32 - 1;
                self.by_names.insert(key, number);
                number
            }
        };
        let shape = self.shapes.get(number as usize)?;
        let same = shape.of == Of::Metadata
            && shape.holes.len() == pairs.clone().count()
            && shape.holes.iter().zip(pairs).all(|((field, _), (name, _))| {
                self.fields.get(*field).is_some_and(|field| *field.name == *name)
            });
        same.then_some(number)
    }

    fn field(&mut self, name: &str, metadata: bool) -> usize {
        let name: Arc<str> = name.into();
        let next = self.fields.len();
        let number = *self.field_numbers.entry((name.clone(), metadata)).or_insert(next);
        if number == next {
            self.fields.push(FieldSeen { name, metadata, rows: 0, sample: Sample::default() });
        }
        number
    }

    /// The columns for fields: those that are not rare.
    fn columns(&self) -> Fields {
        let total = self.rows.len() as u64;
        let mut chosen: Vec<usize> = (0..self.fields.len())
            .filter(|at| {
                self.fields.get(*at).is_some_and(|field| field.rows > 0 && field.rows * RARE >= total)
            })
            .collect();
        let rows = |at: &usize| self.fields.get(*at).map_or(0, |field| field.rows);
        chosen.sort_by_key(|at| std::cmp::Reverse(rows(at)));
        chosen.truncate(MOST_COLUMNS);
        chosen.sort_unstable();
        let mut fields = Fields { columns: vec![None; self.fields.len()], specs: Vec::new() };
        for at in chosen {
            if let (Some(field), Some(column)) = (self.fields.get(at), fields.columns.get_mut(at)) {
                *column = Some((FIXED_COLUMNS + fields.specs.len()) as u16);
                let kind = field.sample.kind();
                fields.specs.push(ColumnSpec { name: field.name.clone(), metadata: field.metadata, kind });
            }
        }
        fields
    }
}

/// Looks at the values of a row of a shape for the kinds of their fields; with each the digits when it is the
/// row's own time.
fn look_at<'a>(
    shapes: &mut [RawShape],
    fields: &mut [FieldSeen],
    shape: u32,
    values: impl Iterator<Item = (&'a str, Option<u8>)>,
) {
    let Some(shape) = shapes.get_mut(shape as usize) else { return };
    shape.rows += 1;
    for ((field, kind), (value, own_time)) in shape.holes.iter().zip(values) {
        let Some(field) = fields.get_mut(*field) else { continue };
        if !has_column(*kind) || own_time.is_some() {
            continue;
        }
        field.rows += 1;
        if field.rows <= SAMPLE_FIRST || field.rows.is_multiple_of(SAMPLE_EACH) {
            field.sample.add(value);
        }
    }
}

/// Columns chosen for fields.
struct Fields {
    /// Of each field.
    columns: Vec<Option<u16>>,
    specs: Vec<ColumnSpec>,
}

/// Whether values of this kind may stand in a column: arrays are no fields, and a backslash in a column
/// must always begin an escape.
pub(crate) fn has_column(kind: HoleKind) -> bool {
    !matches!(kind, HoleKind::JsonArray | HoleKind::LogfmtOdd)
}

fn slice(line: &str, start: u32, end: u32) -> &str {
    line.get(start as usize..end as usize).unwrap_or("")
}

fn literals<'a>(line: &'a str, holes: &'a [Hole]) -> impl Iterator<Item = &'a str> {
    let starts = std::iter::once(0).chain(holes.iter().map(|(_, range)| range.end));
    let ends = holes.iter().map(|(_, range)| range.start).chain([line.len() as u32]);
    starts.zip(ends).map(|(start, end)| slice(line, start, end))
}

fn has_literals(shape: &RawShape, line: &str, holes: &[Hole]) -> bool {
    !shape.literals.is_empty()
        && shape.holes.len() == holes.len()
        && shape.holes.iter().zip(holes).all(|((_, kind), (other, _))| kind == other)
        && literals(line, holes).eq(shape.literals.iter().map(String::as_str))
}

fn write_rows(
    mut writer: PartWriter<'_>,
    streams: &[LogStream],
    rows: &[Row],
    lines: &Lines,
    fields: &Fields,
) -> Result<PartInfo, Failure> {
    let mut placed = Placed {
        lines,
        fields,
        numbers: HashMap::new(),
        usual: vec![None; lines.shapes.len()],
        places: Vec::new(),
    };
    let mut spans = lines.spans.as_slice();
    let (mut source, mut previous) = (None, None);
    let mut values = Vec::new();
    let mut rest = String::new();
    for (row, (line_shape, metadata_shape)) in rows.iter().zip(&lines.rows) {
        if source != Some(row.stream) {
            source = Some(row.stream);
            let labels = row.source(streams).map(|stream| &stream.labels);
            if labels != previous
                && let Some(labels) = labels
            {
                writer.stream(labels)?;
                previous = Some(labels);
            }
        }
        let line = row.line(streams);
        let time = row.time(streams);
        let metadata_bytes: usize = row.metadata(streams).map(|(name, value)| name.len() + value.len()).sum();
        let (at, _) = writer.rows_of(&[time], |_| (line.len() + metadata_bytes) as u64);

        let line_number = match line_shape {
            None => {
                writer.text(LINE, at, line);
                TEXT
            }
            Some(shape) => {
                let holes = lines.shapes.get(*shape as usize).map_or(0, |shape| shape.holes.len());
                let (here, after) = spans.split_at_checked(holes).unwrap_or_default();
                spans = after;
                values.clear();
                values.extend(here.iter().map(|span| (slice(line, span.start, span.end), span.own_time)));
                placed.put(&mut writer, at, *shape, &values, REST, &mut rest)
            }
        };
        let metadata_number = match metadata_shape {
            None => {
                rest.clear();
                for (name, value) in row.metadata(streams) {
                    push_listed(&mut rest, name);
                    push_listed(&mut rest, value);
                }
                writer.text(METADATA_REST, at, &rest);
                NAMED_METADATA
            }
            Some(shape) if lines.shapes.get(*shape as usize).is_none_or(|shape| shape.holes.is_empty()) => {
                NO_METADATA
            }
            Some(shape) => {
                values.clear();
                values.extend(row.metadata(streams).map(|(_, value)| (value, None)));
                placed.put(&mut writer, at, *shape, &values, METADATA_REST, &mut rest)
            }
        };
        writer.shape(at, line_number, metadata_number);
        writer.flush_if_full()?;
    }
    writer.finish()
}

/// Shapes with places: the same literals with values in other places are another shape.
struct Placed<'a> {
    lines: &'a Lines,
    fields: &'a Fields,
    /// By number of the raw shape, and where its values are when not all are where they usually are.
    numbers: HashMap<(u32, Vec<Place>), u32>,
    /// Of each raw shape what its last row had.
    usual: Vec<Option<(Vec<Place>, u32)>>,
    places: Vec<Place>,
}

impl Placed<'_> {
    /// Puts the values of a row, each with its digits when it is the row's own time, where they belong, those
    /// without a column into column `rest_column`: the number of the row's shape.
    fn put(
        &mut self,
        writer: &mut PartWriter<'_>,
        row: usize,
        shape: u32,
        values: &[(&str, Option<u8>)],
        rest_column: usize,
        rest: &mut String,
    ) -> u32 {
        let Some(raw) = self.lines.shapes.get(shape as usize) else { return TEXT };
        rest.clear();
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let mut any_rest = false;
        for ((field, kind), (value, own_time)) in raw.holes.iter().zip(values) {
            let column = self.fields.columns.get(*field).copied().flatten().filter(|_| has_column(*kind));
            let place = match (*own_time, column) {
                (Some(digits), _) => Place::OwnTime(digits),
                (None, Some(column)) if writer.text(usize::from(column), row, value) => Place::Column(column),
                _ => {
                    push_listed(rest, value);
                    any_rest = true;
                    Place::Rest
                }
            };
            places.push(place);
        }
        if let Some(Some((usual, number))) = self.usual.get(shape as usize)
            && *usual == places
        {
            if any_rest {
                writer.text(rest_column, row, rest);
            }
            self.places = places;
            return *number;
        }
        let raw_shape = shape;
        let mut key = (shape, places);
        let mut known = self.numbers.get(&key).copied();
        if known.is_none() && self.numbers.len() >= 2 * MOST_SHAPES {
            // Too many combinations of places: the values are all in the rest as well, and that counts.
            key.1.fill(Place::Rest);
            rest.clear();
            values.iter().for_each(|(value, _)| push_listed(rest, value));
            any_rest = true;
            known = self.numbers.get(&key).copied();
        }
        if any_rest {
            writer.text(rest_column, row, rest);
        }
        if let Some(number) = known {
            if let Some(usual) = self.usual.get_mut(raw_shape as usize) {
                *usual = Some((key.1, number));
            }
            return number;
        }
        let holes = raw.holes.iter().zip(&key.1).map(|((field, kind), place)| ShapeHole {
            name: self.lines.fields.get(*field).map_or_else(|| "".into(), |field| field.name.clone()),
            kind: *kind,
            place: *place,
        });
        let shape = Shape { of: raw.of, literals: raw.literals.clone(), holes: holes.collect() };
        let number = writer.shapes.number(shape);
        self.numbers.insert(key, number);
        number
    }
}

fn own_time_of(kind: HoleKind, text: &str, time: i64) -> Option<u8> {
    may_be_own_time(kind).then(|| own_time(text, time)).flatten()
}

fn may_be_own_time(kind: HoleKind) -> bool {
    matches!(kind, HoleKind::JsonText | HoleKind::LogfmtBare | HoleKind::LogfmtText)
}

/// The digits behind the second when a text is the row's own time.
pub(crate) fn own_time(text: &str, time: i64) -> Option<u8> {
    if !(20..=30).contains(&text.len()) || !text.ends_with('Z') {
        return None;
    }
    let (parsed, digits) = parse_time(text)?;
    let unit = 10i64.pow(9 - u32::from(digits));
    (time.div_euclid(unit).checked_mul(unit)? == parsed).then_some(digits)
}
