//! Results as CSV (RFC 4180): names first, lines end in CR LF, NULL is empty and an empty text is `""`.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::cell::{columns, is_absent, text};
use crate::SqlError;

/// Rows as lines.
pub(super) struct Rows {
    names: Vec<String>,
}

impl Rows {
    pub(super) fn new(schema: &Schema) -> Self {
        Rows { names: schema.fields().iter().map(|field| field.name().clone()).collect() }
    }

    pub(super) fn begin(&mut self) -> String {
        let mut out = String::new();
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            field(&mut out, name);
        }
        out.push_str("\r\n");
        out
    }

    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<String, SqlError> {
        let (mut out, mut value) = (String::new(), String::new());
        let columns = columns(rows)?;
        for row in 0..rows.num_rows() {
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if is_absent(column, row) {
                    continue;
                }
                value.clear();
                text(&mut value, column, row)?;
                field(&mut out, &value);
            }
            out.push_str("\r\n");
        }
        Ok(out)
    }
}

fn field(out: &mut String, text: &str) {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return out.push_str(text);
    }
    out.push('"');
    for (at, part) in text.split('"').enumerate() {
        out.push_str(if at > 0 { "\"\"" } else { "" });
        out.push_str(part);
    }
    out.push('"');
}
