//! Batches of a store as Arrow columns. Text that the store keeps as codes stays codes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, MapBuilder, StringArray, StringBuilder, StringDictionaryBuilder,
    TimestampNanosecondArray, UInt32Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use novaobs_model::logs::{Field, FieldSource, LogBatch, Strings, Structure, TextColumn};

use crate::functions::number_of;
use crate::leaf::Leaf;
use crate::parse::LineParser;

type Text = DictionaryArray<UInt32Type>;

/// Makes columns of the batches of one scan.
pub(crate) struct Columns {
    /// What the scan asks of lines and metadata, in the order of [`LogBatch::fields`].
    fields: Vec<Field>,
    parser: LineParser,
}

impl Columns {
    /// For a scan that asks for these fields.
    pub(crate) fn new(fields: Vec<Field>) -> Self {
        let of_lines = fields.iter().filter(|field| field.source == FieldSource::Json);
        let parser = LineParser::new(of_lines.map(|field| field.name.clone()));
        Columns { fields, parser }
    }

    /// One column of a batch.
    ///
    /// # Errors
    /// [`ArrowError`] for more text than a column can have.
    pub(crate) fn build(&self, batch: &LogBatch, leaf: &Leaf) -> Result<ArrayRef, ArrowError> {
        Ok(match leaf {
            Leaf::Timestamp => {
                let times = TimestampNanosecondArray::from(batch.timestamps.clone());
                Arc::new(times.with_timezone("UTC"))
            }
            Leaf::Line => Arc::new(string_array(&batch.lines)?),
            Leaf::Labels => labels_map(batch)?,
            Leaf::Metadata => metadata_map(batch)?,
            Leaf::Number(inner) => self.numbers(batch, inner)?,
            text => Arc::new(self.text(batch, text)?),
        })
    }

    fn text(&self, batch: &LogBatch, leaf: &Leaf) -> Result<Text, ArrowError> {
        match leaf {
            Leaf::Label(name) => label(batch, name),
            Leaf::Pair(name) => match self.column(batch, FieldSource::Metadata, name) {
                Some(column) => text_array(column),
                None => Ok(std::iter::repeat_n(None::<&str>, batch.timestamps.len()).collect()),
            },
            Leaf::Field(name) => match self.whole(batch, name) {
                Some(column) => text_array(column),
                None => Ok(self.mixed(batch, name)),
            },
            _ => Err(ArrowError::InvalidArgumentError(format!("{leaf} is not text"))),
        }
    }

    fn column<'a>(&self, batch: &'a LogBatch, source: FieldSource, name: &str) -> Option<&'a TextColumn> {
        let at = self.fields.iter().position(|field| field.source == source && *field.name == *name)?;
        batch.fields.get(at)
    }

    /// The column of a field of lines when the store read all lines in the same way.
    fn whole<'a>(&self, batch: &'a LogBatch, name: &str) -> Option<&'a TextColumn> {
        let first = batch.structures.first()?;
        let source = match first {
            Structure::Text => return None,
            Structure::Json => FieldSource::Json,
            Structure::Logfmt => FieldSource::Logfmt,
        };
        let all = batch.structures.iter().all(|structure| structure == first);
        self.column(batch, source, name).filter(|_| all)
    }

    /// A field of lines of several kinds; those the store read as text only are parsed.
    fn mixed(&self, batch: &LogBatch, name: &str) -> Text {
        let json = self.column(batch, FieldSource::Json, name);
        let logfmt = self.column(batch, FieldSource::Logfmt, name);
        let mut reader = self.parser.reader();
        let mut scratch = String::new();
        let mut out = StringDictionaryBuilder::<UInt32Type>::new();
        for row in 0..batch.timestamps.len() {
            let structure = batch.structures.get(row).copied().unwrap_or(Structure::Text);
            let value = match structure {
                Structure::Text => reader.read(batch.lines.get(row)).get(name),
                Structure::Json => json.and_then(|column| column.get(row, &mut scratch)),
                Structure::Logfmt => logfmt.and_then(|column| column.get(row, &mut scratch)),
            };
            out.append_option(value);
        }
        out.finish()
    }

    fn numbers(&self, batch: &LogBatch, leaf: &Leaf) -> Result<ArrayRef, ArrowError> {
        let column = match leaf {
            Leaf::Pair(name) => self.column(batch, FieldSource::Metadata, name),
            Leaf::Field(name) => self.whole(batch, name),
            _ => None,
        };
        if let Some(TextColumn::Decimal { present, mantissas, scale }) = column {
            let unit = 10f64.powi(i32::from(*scale));
            let values = mantissas.iter().map(|mantissa| decimal(*mantissa, *scale, unit));
            return Ok(Arc::new(Float64Array::new(values.collect(), nulls(present))));
        }
        let text = self.text(batch, leaf)?;
        let values = text.values();
        let values = values.as_any().downcast_ref::<StringArray>();
        let table: Vec<Option<f64>> = values.into_iter().flatten().map(|value| number_of(value?)).collect();
        let number = |code: Option<u32>| table.get(code? as usize).copied().flatten();
        Ok(Arc::new(text.keys().iter().map(number).collect::<Float64Array>()))
    }
}

/// The number that a decimal's text is.
fn decimal(mantissa: i64, scale: u8, unit: f64) -> f64 {
    // Both are exact below 2^53 and 10^22, and so is the rounding of their quotient.
    if mantissa.unsigned_abs() < 1 << 53 {
        return mantissa as f64 / unit;
    }
    let mut text = String::new();
    novaobs_model::logs::batch::write_decimal(&mut text, mantissa, scale);
    text.parse().unwrap_or(f64::NAN)
}

fn nulls(present: &[bool]) -> Option<NullBuffer> {
    (!present.is_empty()).then(|| NullBuffer::from(present))
}

/// A column of strings with the same bytes.
fn string_array(strings: &Strings) -> Result<StringArray, ArrowError> {
    let mut ends = Vec::with_capacity(strings.len() + 1);
    ends.push(0i32);
    // Ends ascend: when the last fits, all do.
    i32::try_from(strings.text().len())
        .map_err(|_| ArrowError::InvalidArgumentError("a batch with over 2 GiB of text".to_owned()))?;
    ends.extend(strings.ends().iter().map(|end| *end as i32));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    StringArray::try_new(offsets, Buffer::from_slice_ref(strings.text()), None)
}

fn text_array(column: &TextColumn) -> Result<Text, ArrowError> {
    match column {
        TextColumn::Dictionary { codes, values } => coded(codes.clone(), Arc::new(string_array(values)?)),
        TextColumn::Plain { present, values } => own_values(string_array(values)?, present),
        TextColumn::Decimal { present, mantissas, scale } => {
            let mut values = Strings::with_capacity(mantissas.len(), mantissas.len() * 8);
            for mantissa in mantissas {
                values.push_with(|out| novaobs_model::logs::batch::write_decimal(out, *mantissa, *scale));
            }
            own_values(string_array(&values)?, present)
        }
    }
}

/// Text of codes, some of which may be [`TextColumn::ABSENT`].
fn coded(mut codes: Vec<u32>, values: ArrayRef) -> Result<Text, ArrowError> {
    let mut nulls = None;
    if codes.contains(&TextColumn::ABSENT) {
        nulls = Some(codes.iter().map(|code| *code != TextColumn::ABSENT).collect());
        // Arrow adds to codes also where they stand for nothing.
        codes.iter_mut().filter(|code| **code == TextColumn::ABSENT).for_each(|code| *code = 0);
    }
    Text::try_new(UInt32Array::try_new(ScalarBuffer::from(codes), nulls)?, values)
}

/// Text where each row has a value of its own.
fn own_values(values: StringArray, present: &[bool]) -> Result<Text, ArrowError> {
    let rows = u32::try_from(arrow::array::Array::len(&values)).unwrap_or(u32::MAX);
    let keys = UInt32Array::try_new((0..rows).collect(), nulls(present))?;
    Text::try_new(keys, Arc::new(values))
}

/// A label of each row's stream.
fn label(batch: &LogBatch, name: &str) -> Result<Text, ArrowError> {
    let mut codes: HashMap<&str, u32> = HashMap::new();
    let mut values = StringBuilder::new();
    let mut keys = Vec::with_capacity(batch.timestamps.len());
    for run in &batch.streams {
        let code = run.labels.get(name).map_or(TextColumn::ABSENT, |value| {
            let next = codes.len() as u32;
            *codes.entry(value).or_insert_with(|| {
                values.append_value(value);
                next
            })
        });
        keys.resize(keys.len() + run.rows, code);
    }
    coded(keys, Arc::new(values.finish()))
}

fn labels_map(batch: &LogBatch) -> Result<ArrayRef, ArrowError> {
    let mut out = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for run in &batch.streams {
        for _ in 0..run.rows {
            for (name, value) in run.labels.iter() {
                out.keys().append_value(name);
                out.values().append_value(value);
            }
            out.append(true)?;
        }
    }
    Ok(Arc::new(out.finish()))
}

fn metadata_map(batch: &LogBatch) -> Result<ArrayRef, ArrowError> {
    let mut out = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for pairs in batch.metadata.iter() {
        for (name, value) in pairs {
            out.keys().append_value(name);
            out.values().append_value(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}
