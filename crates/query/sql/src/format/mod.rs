//! Results as text and bytes: rows as they come, nothing held back.

mod arrow_ipc;
mod cell;
mod csv;
mod json;

use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::SqlError;

/// A form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One object: `{"status":"success","data":{"columns":[{"name","type"}],"rows":[[…]]}}`.
    #[default]
    Json,
    /// An object for each row, one a line.
    NdJson,
    /// RFC 4180, names first.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl FromStr for Format {
    type Err = SqlError;

    fn from_str(text: &str) -> Result<Self, SqlError> {
        match text {
            "json" => Ok(Format::Json),
            "ndjson" => Ok(Format::NdJson),
            "csv" => Ok(Format::Csv),
            "arrow" => Ok(Format::Arrow),
            other => {
                Err(SqlError::Invalid(format!("format {other:?} is none of json, ndjson, csv and arrow")))
            }
        }
    }
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::NdJson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Writes results of this schema.
    ///
    /// # Errors
    /// [`SqlError::Internal`] for a schema that cannot be written.
    pub fn writer(self, schema: &Schema) -> Result<Writer, SqlError> {
        Ok(Writer(match self {
            Format::Json => Kind::Json(json::Rows::new(schema)),
            Format::NdJson => Kind::NdJson(json::Lines::new(schema)),
            Format::Csv => Kind::Csv(csv::Rows::new(schema)),
            Format::Arrow => Kind::Arrow(Box::new(arrow_ipc::Stream::new(schema)?)),
        }))
    }
}

/// Writes one result: [`Writer::begin`], [`Writer::rows`] for each batch, [`Writer::end`]; the bytes of all
/// calls in turn are the result.
pub struct Writer(Kind);

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

enum Kind {
    Json(json::Rows),
    NdJson(json::Lines),
    Csv(csv::Rows),
    Arrow(Box<arrow_ipc::Stream>),
}

impl Writer {
    /// What stands before the rows.
    pub fn begin(&mut self) -> Vec<u8> {
        match &mut self.0 {
            Kind::Json(writer) => writer.begin().into_bytes(),
            Kind::NdJson(_) => Vec::new(),
            Kind::Csv(writer) => writer.begin().into_bytes(),
            Kind::Arrow(writer) => writer.take(),
        }
    }

    /// Some rows.
    ///
    /// # Errors
    /// [`SqlError::Internal`] for rows that cannot be written.
    pub fn rows(&mut self, rows: &RecordBatch) -> Result<Vec<u8>, SqlError> {
        match &mut self.0 {
            Kind::Json(writer) => Ok(writer.rows(rows)?.into_bytes()),
            Kind::NdJson(writer) => Ok(writer.rows(rows)?.into_bytes()),
            Kind::Csv(writer) => Ok(writer.rows(rows)?.into_bytes()),
            Kind::Arrow(writer) => writer.rows(rows),
        }
    }

    /// What stands behind the rows.
    ///
    /// # Errors
    /// [`SqlError::Internal`] as for [`Writer::rows`].
    pub fn end(&mut self) -> Result<Vec<u8>, SqlError> {
        match &mut self.0 {
            Kind::Json(_) => Ok(b"]}}\n".to_vec()),
            Kind::NdJson(_) | Kind::Csv(_) => Ok(Vec::new()),
            Kind::Arrow(writer) => writer.end(),
        }
    }

    /// What stands behind the rows when the query failed on its way: the JSON forms say why (readers of the
    /// others see the connection end early).
    pub fn fail(&mut self, error: &SqlError) -> Option<Vec<u8>> {
        let text = serde_json::Value::from(error.to_string());
        match &self.0 {
            Kind::Json(_) => Some(format!("]}},\"error\":{text}}}\n").into_bytes()),
            Kind::NdJson(_) => Some(format!("{{\"error\":{text}}}\n").into_bytes()),
            Kind::Csv(_) | Kind::Arrow(_) => None,
        }
    }
}

/// The name of a type in answers.
pub fn type_name(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType;
    match data_type {
        DataType::Dictionary(_, values) => type_name(values),
        data_type if data_type.is_string() => "text".to_owned(),
        data_type if data_type.is_integer() => "integer".to_owned(),
        data_type if data_type.is_floating() => "float".to_owned(),
        data_type if data_type.is_decimal() => "decimal".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "array".to_owned(),
        DataType::Interval(_) => "interval".to_owned(),
        DataType::Null => "null".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
