//! Fields of the rows of a block: tests of them, and their values as columns.

use novaobs_model::logs::{Field, FieldSource, FieldTest, Strings, TextColumn};

use super::BlockReader;
use super::verdicts::ColumnTest;
use crate::PartError;
use crate::cells::Cells;
use crate::columns::{METADATA_REST, REST, TIME, take_listed};
use crate::kinds::Kind;
use crate::shapes::{NAMED_METADATA, Of, Place, Shape, ShapeHole};
use crate::shred::{HoleKind, unescape};

impl BlockReader<'_> {
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
    pub(super) fn test_field(&mut self, test: &FieldTest, rows: &mut Vec<u32>) -> Result<(), PartError> {
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
    pub(super) fn speaks(&self, source: FieldSource) -> Vec<bool> {
        let known = |shape: &Shape| match source {
            FieldSource::Metadata => matches!(shape.of, Of::Metadata | Of::NamedMetadata),
            FieldSource::Json => shape.of == Of::Json,
            FieldSource::Logfmt => shape.of == Of::Logfmt,
        };
        self.shapes.iter().map(known).collect()
    }

    /// A field of some rows.
    pub(super) fn field_column(&mut self, field: &Field, rows: &[u32]) -> Result<TextColumn, PartError> {
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

/// A value as LogQL shows it.
pub(super) fn show<'a>(value: &'a str, escapes: bool, scratch: &'a mut String) -> &'a str {
    if !escapes || !value.contains('\\') {
        return value;
    }
    scratch.clear();
    unescape(value, scratch);
    scratch
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
