//! Results as an Arrow IPC stream.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;

use crate::SqlError;

/// A stream whose bytes are taken as they are made.
pub(super) struct Stream(StreamWriter<Vec<u8>>);

fn failed(error: ArrowError) -> SqlError {
    SqlError::Internal(error.to_string())
}

impl Stream {
    pub(super) fn new(schema: &Schema) -> Result<Self, SqlError> {
        StreamWriter::try_new(Vec::new(), schema).map(Stream).map_err(failed)
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }

    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<Vec<u8>, SqlError> {
        self.0.write(rows).map_err(failed)?;
        Ok(self.take())
    }

    pub(super) fn end(&mut self) -> Result<Vec<u8>, SqlError> {
        self.0.finish().map_err(failed)?;
        Ok(self.take())
    }
}
