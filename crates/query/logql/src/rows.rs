//! Range aggregations row by row: every line goes through the pipeline.

use novaobs_log_pipeline::{Pipeline, RowLabels, StreamPipeline};
use novaobs_logql_parser::Stage;
use novaobs_model::Lease;
use novaobs_model::logs::LogBatch;

use crate::drive::{Trouble, Worker};
use crate::errors::pipeline_error;
use crate::job::{Collected, Job, Keys, Taken};
use crate::series::{FastMap, SeriesTable};
use crate::sink::Sink;
use crate::{QueryError, Stats};

/// Rows between two looks at the clock.
const CHECK_ROWS: usize = 1024;
/// Most label sets remembered by hash; with more, rows differ so much that remembering does not pay.
const MOST_REMEMBERED: usize = 1 << 16;

/// Gives rows behind a pipeline their series.
pub(crate) struct RowKeys<'p> {
    keys: &'p Keys,
    /// Whether a label's value under `by` is what the row has: no stage took labels away.
    plain: bool,
    by_values: FastMap<Box<[u8]>, u32>,
    by_hash: FastMap<u64, u32>,
    scratch: Vec<u8>,
}

impl<'p> RowKeys<'p> {
    pub(crate) fn new(keys: &'p Keys, stages: &[Stage]) -> Self {
        let removes = |stage: &Stage| {
            matches!(stage, Stage::Drop(_) | Stage::Keep(_) | Stage::LabelFormat(_) | Stage::Unpack)
        };
        RowKeys {
            keys,
            plain: !stages.iter().any(removes),
            by_values: FastMap::default(),
            by_hash: FastMap::default(),
            scratch: Vec::new(),
        }
    }

    /// The series of a row.
    pub(crate) fn series(&mut self, labels: &RowLabels, table: &mut SeriesTable) -> u32 {
        let failed = labels.get("__error__").is_some();
        match self.keys {
            Keys::By(names) if self.plain && !failed => {
                self.scratch.clear();
                for name in names {
                    let value = labels.get(name);
                    let length = value.map_or(u32::MAX, |value| value.len() as u32);
                    self.scratch.extend_from_slice(&length.to_le_bytes());
                    self.scratch.extend_from_slice(value.unwrap_or("").as_bytes());
                }
                if let Some(number) = self.by_values.get(self.scratch.as_slice()) {
                    return *number;
                }
                let number = table.number(labels.grouped(false, names));
                remember(&mut self.by_values, self.scratch.as_slice().into(), number);
                number
            }
            Keys::By(names) => table.number(labels.grouped(false, names)),
            Keys::Without(names) => {
                let hash = labels.hash();
                if let Some(number) = self.by_hash.get(&hash) {
                    return *number;
                }
                let set = if names.is_empty() { labels.merged() } else { labels.grouped(true, names) };
                let number = table.number(set);
                remember(&mut self.by_hash, hash, number);
                number
            }
        }
    }
}

fn remember<K: std::hash::Hash + Eq>(map: &mut FastMap<K, u32>, key: K, number: u32) {
    if map.len() >= MOST_REMEMBERED {
        map.clear();
    }
    map.insert(key, number);
}

/// Whether a row's error ends the query.
pub(crate) fn fails(labels: &RowLabels) -> bool {
    labels.get("__error__").is_some() && labels.get("__preserve_error__") != Some("true")
}

/// Takes batches with lines and all structured metadata.
pub(crate) struct RowWorker<'p> {
    job: &'p Job<'p>,
    pipeline: &'p Pipeline,
    keys: RowKeys<'p>,
    table: SeriesTable,
    sink: Sink,
    lease: Lease,
    stats: Stats,
}

impl<'p> RowWorker<'p> {
    pub(crate) fn new(job: &'p Job<'p>, pipeline: &'p Pipeline) -> Result<Self, Trouble> {
        Ok(RowWorker {
            job,
            pipeline,
            keys: RowKeys::new(&job.keys, &job.range.log.stages),
            table: SeriesTable::default(),
            sink: job.sink()?,
            lease: job.control.pool().take(0).map_err(|refused| QueryError::Select(refused.into()))?,
            stats: Stats::default(),
        })
    }

    pub(crate) fn finish(self) -> Collected {
        Collected { sink: self.sink, series: self.table.into_labels(), stats: self.stats }
    }

    fn row(
        &mut self,
        stream: &mut StreamPipeline<'p>,
        batch: &LogBatch,
        row: usize,
        place: u64,
    ) -> Result<(), Trouble> {
        let time = batch.timestamps.get(row).copied().unwrap_or_default();
        if !self.sink.wants(time) {
            return Ok(());
        }
        let line = batch.lines.get(row);
        let metadata = batch.metadata.get(row);
        let metadata_bytes: usize = metadata.clone().map(|(name, value)| name.len() + value.len()).sum();
        self.stats.processed_lines += 1;
        self.stats.processed_bytes += (line.len() + metadata_bytes) as u64;
        self.stats.metadata_bytes += metadata_bytes as u64;
        let Some(result) = stream.run(time, line, metadata) else { return Ok(()) };
        self.stats.filtered_lines += 1;
        if fails(result.labels) {
            return Err(Trouble::Query(pipeline_error(&result.labels.merged())));
        }
        let value = match self.job.taken {
            Taken::Row => 1.0,
            Taken::Bytes => result.line.len() as f64,
            Taken::Value => match result.value {
                Some(value) => value,
                None => return Ok(()),
            },
        };
        let series = self.keys.series(result.labels, &mut self.table);
        self.sink.add_run(series, place, &[time], Some(&[value]))?;
        Ok(())
    }
}

impl Worker for RowWorker<'_> {
    fn batch(&mut self, place: u64, batch: &LogBatch) -> Result<(), Trouble> {
        let mut row = 0;
        for run in &batch.streams {
            let mut stream = self.pipeline.stream(&run.labels);
            for _ in 0..run.rows {
                if row % CHECK_ROWS == 0 {
                    self.job.control.check().map_err(Trouble::from_check)?;
                }
                self.row(&mut stream, batch, row, place + row as u64)?;
                row += 1;
            }
        }
        let held = self.table.memory() as u64;
        self.lease
            .grow(held.saturating_sub(self.lease.bytes()))
            .map_err(|refused| QueryError::Select(refused.into()))?;
        Ok(())
    }
}
