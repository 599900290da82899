//! Results as JSON: all rows in one object, or an object for each row.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::cell::{columns, json, quote};
use super::type_name;
use crate::SqlError;

/// One object with all rows.
pub(super) struct Rows {
    columns: Vec<(String, String)>,
    first: bool,
}

impl Rows {
    pub(super) fn new(schema: &Schema) -> Self {
        let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
            (field.name().clone(), type_name(field.data_type()))
        };
        Rows { columns: schema.fields().iter().map(column).collect(), first: true }
    }

    pub(super) fn begin(&mut self) -> String {
        let mut out = String::from(r#"{"status":"success","data":{"columns":["#);
        for (at, (name, kind)) in self.columns.iter().enumerate() {
            out.push_str(if at > 0 { ",{\"name\":" } else { "{\"name\":" });
            quote(&mut out, name);
            out.push_str(",\"type\":");
            quote(&mut out, kind);
            out.push('}');
        }
        out.push_str("],\"rows\":[");
        out
    }

    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<String, SqlError> {
        let mut out = String::new();
        let columns = columns(rows)?;
        for row in 0..rows.num_rows() {
            out.push_str(if self.first { "[" } else { ",\n[" });
            self.first = false;
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json(&mut out, column, row)?;
            }
            out.push(']');
        }
        Ok(out)
    }
}

/// An object for each row.
pub(super) struct Lines {
    names: Vec<String>,
}

impl Lines {
    pub(super) fn new(schema: &Schema) -> Self {
        let quoted = |field: &std::sync::Arc<arrow::datatypes::Field>| {
            let mut out = String::new();
            quote(&mut out, field.name());
            out
        };
        Lines { names: schema.fields().iter().map(quoted).collect() }
    }

    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<String, SqlError> {
        let mut out = String::new();
        let columns = columns(rows)?;
        for row in 0..rows.num_rows() {
            out.push('{');
            for (at, (name, column)) in self.names.iter().zip(&columns).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(name);
                out.push(':');
                json(&mut out, column, row)?;
            }
            out.push_str("}\n");
        }
        Ok(out)
    }
}
