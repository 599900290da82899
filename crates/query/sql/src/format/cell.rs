//! One value as JSON or as text.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::SqlError;

/// The columns of rows, codes replaced by what they stand for.
pub(super) fn columns(rows: &RecordBatch) -> Result<Vec<ArrayRef>, SqlError> {
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values).map_err(failed),
        _ => Ok(column.clone()),
    };
    rows.columns().iter().map(plain).collect()
}

/// Whether a row has no value.
pub(super) fn is_absent(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

/// Appends the value of a row as JSON.
///
/// Numbers are numbers (those JSON has not, and decimals, are strings), times RFC 3339 in their zone, maps and
/// structs objects, lists arrays, everything else a string.
pub(super) fn json(out: &mut String, array: &dyn Array, row: usize) -> Result<(), SqlError> {
    if is_absent(array, row) {
        out.push_str("null");
        return Ok(());
    }
    // Writing to a String does not fail.
    macro_rules! number {
        ($kind:ty) => {{
            let _ = write!(out, "{}", array.as_primitive::<$kind>().value(row));
        }};
    }
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float16 => float(out, f64::from(array.as_primitive::<Float16Type>().value(row))),
        DataType::Float32 => float(out, f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => quote(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => quote(out, array.as_string::<i64>().value(row)),
        DataType::Utf8View => quote(out, array.as_string_view().value(row)),
        DataType::Dictionary(_, values) => {
            let value = cast(&array.slice(row, 1), values).map_err(failed)?;
            return json(out, &value, 0);
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) =
                (cast(entries.column(0), &DataType::Utf8).map_err(failed)?, entries.column(1));
            object(out, keys.as_string::<i32>().iter().map(Option::unwrap_or_default), |out, at| {
                json(out, values, at)
            })?;
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            object(out, fields.iter().map(|field| field.name().as_str()), |out, at| match columns.get(at) {
                Some(column) => json(out, column, row),
                None => Ok(()),
            })?;
        }
        DataType::List(_) => list(out, &array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(out, &array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(out, &array.as_fixed_size_list().value(row))?,
        _ => {
            let mut text = String::new();
            plain(&mut text, array, row)?;
            quote(out, &text);
        }
    }
    Ok(())
}

/// Appends the value of a row as text, none for NULL; maps and lists as JSON.
pub(super) fn text(out: &mut String, array: &dyn Array, row: usize) -> Result<(), SqlError> {
    if is_absent(array, row) {
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::Dictionary(_, values) => {
            let value = cast(&array.slice(row, 1), values).map_err(failed)?;
            return text(out, &value, 0);
        }
        DataType::Map(..) | DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) => {
            return json(out, array, row);
        }
        _ => return plain(out, array, row),
    }
    Ok(())
}

/// Appends a value as Arrow shows it.
fn plain(out: &mut String, array: &dyn Array, row: usize) -> Result<(), SqlError> {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).map_err(failed)?;
    formatter.value(row).write(out).map_err(failed)
}

fn failed(error: ArrowError) -> SqlError {
    SqlError::Internal(error.to_string())
}

fn float(out: &mut String, value: f64) {
    let _ = match value.is_finite() {
        true => write!(out, "{value}"),
        false => write!(out, "\"{value}\""),
    };
}

/// Appends a JSON string.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn object<'a>(
    out: &mut String,
    names: impl Iterator<Item = &'a str>,
    mut value: impl FnMut(&mut String, usize) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    out.push('{');
    for (at, name) in names.enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(out, name);
        out.push(':');
        value(out, at)?;
    }
    out.push('}');
    Ok(())
}

fn list(out: &mut String, values: &dyn Array) -> Result<(), SqlError> {
    out.push('[');
    for at in 0..values.len() {
        if at > 0 {
            out.push(',');
        }
        json(out, values, at)?;
    }
    out.push(']');
    Ok(())
}
