//! Range aggregations over columns: filters and grouping by dictionary code, not by row.

use novaobs_log_pipeline::{Pipeline, convert};
use novaobs_logql_parser::{Conversion, Unwrap};
use novaobs_model::logs::{FieldSource, LogBatch, StreamRun, Structure, TextColumn};
use novaobs_model::{Labels, Lease};

use crate::column_tests::{State, View};
use crate::columns::ColumnPlan;
use crate::drive::{Trouble, Worker};
use crate::job::{Collected, Job, Taken};
use crate::leaf::plain_number;
use crate::rows::{RowKeys, fails};
use crate::series::{FastMap, Interner, SeriesTable};
use crate::sink::Sink;
use crate::{QueryError, Stats};

/// The number of a label that is not there; [`Interner`] has the empty text at 0.
const ABSENT: u32 = u32::MAX;
/// Stands in for the key that varies from row to row.
const VARIES: u32 = u32::MAX - 1;
/// Not known yet.
const UNKNOWN: u32 = u32::MAX;

/// Takes batches with the columns of a plan.
pub(crate) struct ColumnWorker<'p> {
    job: &'p Job<'p>,
    plan: &'p ColumnPlan,
    /// For lines the store did not read as the parser would.
    pipeline: &'p Pipeline,
    row_keys: RowKeys<'p>,
    table: SeriesTable,
    sink: Sink,
    lease: Lease,
    stats: Stats,
    texts: Interner,
    /// Series by the texts of all keys.
    tuples: FastMap<Box<[u32]>, u32>,
    /// Where only one key varies: which list in `by_text`, by the texts of the others.
    lists: FastMap<Box<[u32]>, u32>,
    /// Series by the text of the key that varies.
    by_text: Vec<Vec<u32>>,
    /// Bytes of these lists.
    listed: usize,
    /// What kept rows come to, in columns; emptied for each batch.
    kept: Kept,
}

#[derive(Default)]
struct Kept {
    series: Vec<u32>,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl<'p> ColumnWorker<'p> {
    pub(crate) fn new(
        job: &'p Job<'p>,
        plan: &'p ColumnPlan,
        pipeline: &'p Pipeline,
    ) -> Result<Self, Trouble> {
        Ok(ColumnWorker {
            job,
            plan,
            pipeline,
            row_keys: RowKeys::new(&job.keys, &job.range.log.stages),
            table: SeriesTable::default(),
            sink: job.sink()?,
            lease: job.control.pool().take(0).map_err(|refused| QueryError::Select(refused.into()))?,
            stats: Stats::default(),
            texts: Interner::new(),
            tuples: FastMap::default(),
            lists: FastMap::default(),
            by_text: Vec::new(),
            listed: 0,
            kept: Kept::default(),
        })
    }

    pub(crate) fn finish(self) -> Collected {
        Collected { sink: self.sink, series: self.table.into_labels(), stats: self.stats }
    }

    /// The states rows begin in: those whose line the store did not read are not for columns.
    fn states(&self, batch: &LogBatch) -> Vec<State> {
        let Some(source) = self.plan.parser else { return vec![State::Fine; batch.timestamps.len()] };
        let wanted = match source {
            FieldSource::Json => Structure::Json,
            FieldSource::Logfmt => Structure::Logfmt,
            FieldSource::Metadata => Structure::Text,
        };
        let state = |row: usize| match batch.structures.get(row) {
            Some(structure) if *structure == wanted => State::Fine,
            _ => State::Gone,
        };
        (0..batch.timestamps.len()).map(state).collect()
    }

    /// Rows that columns do not speak for, through the pipeline.
    fn loose_rows(&mut self, place: u64, batch: &LogBatch, states: &[State]) -> Result<(), Trouble> {
        if self.plan.parser.is_none() || !states.contains(&State::Gone) {
            return Ok(());
        }
        let mut row = 0;
        for run in &batch.streams {
            let rows = row..row + run.rows;
            row = rows.end;
            let mut stream = None;
            for row in rows.filter(|row| states.get(*row) == Some(&State::Gone)) {
                let time = batch.timestamps.get(row).copied().unwrap_or_default();
                if !self.sink.wants(time) {
                    continue;
                }
                let stream = stream.get_or_insert_with(|| self.pipeline.stream(&run.labels));
                let line = batch.lines.get(row);
                self.stats.processed_bytes += line.len() as u64;
                let mut metadata: Vec<(&str, String)> = Vec::new();
                let mut scratch = String::new();
                for name in &self.plan.names {
                    let value =
                        batch.fields.get(name.metadata).and_then(|column| column.get(row, &mut scratch));
                    if let Some(value) = value {
                        metadata.push((&name.name, value.to_owned()));
                    }
                }
                let metadata = metadata.iter().map(|(name, value)| (*name, value.as_str()));
                let Some(result) = stream.run(time, line, metadata) else { continue };
                if fails(result.labels) {
                    return Err(Trouble::NeedsRows);
                }
                let value = match self.job.taken {
                    Taken::Row => 1.0,
                    Taken::Bytes => result.line.len() as f64,
                    Taken::Value => match result.value {
                        Some(value) => value,
                        None => continue,
                    },
                };
                let series = self.row_keys.series(result.labels, &mut self.table);
                self.stats.filtered_lines += 1;
                self.sink.add_run(series, place + row as u64, &[time], Some(&[value]))?;
            }
        }
        Ok(())
    }

    /// The texts of a key in all rows, by number; `None` when no row has it.
    fn key_texts(&mut self, view: &View<'_>, key: usize, states: &[State]) -> Option<Vec<u32>> {
        let (line, metadata) = (view.line(key), view.metadata(key));
        if line.is_none() && metadata.is_none() {
            return None;
        }
        let mut numbers = vec![ABSENT; states.len()];
        for column in [line, metadata].into_iter().flatten() {
            number_texts(column, states, &mut self.texts, &mut numbers);
        }
        Some(numbers)
    }

    /// The series with these texts of its keys.
    fn series_of(&mut self, tuple: &[u32]) -> u32 {
        if let Some(series) = self.tuples.get(tuple) {
            return *series;
        }
        let series = self.new_series(tuple);
        self.tuples.insert(tuple.into(), series);
        series
    }

    /// The series with these texts of its keys, by its labels.
    fn new_series(&mut self, tuple: &[u32]) -> u32 {
        let keys = self.plan.keys.iter().zip(tuple).filter(|(_, text)| **text != ABSENT);
        let pairs = keys.map(|(key, text)| {
            (self.plan.names.get(*key).map_or("", |name| &*name.name), self.texts.text(*text))
        });
        self.table.number(Labels::from_sorted(pairs))
    }

    /// The list of series by the text of key `varying`, the others being as in `tuple`.
    fn list_of(&mut self, tuple: &mut [u32], varying: usize) -> usize {
        if let Some(text) = tuple.get_mut(varying) {
            *text = VARIES;
        }
        if let Some(list) = self.lists.get(&*tuple) {
            return *list as usize;
        }
        self.by_text.push(Vec::new());
        let list = self.by_text.len() - 1;
        self.lists.insert((&*tuple).into(), list as u32);
        list
    }

    /// Adds the kept rows of one stream.
    fn add_stream(&mut self, part: Part<'_>) -> Result<(), Trouble> {
        let Part { run, first, place, times, states, values, columns } = part;
        let last = first + run.rows;
        let (Some(times), Some(states)) = (times.get(first..last), states.get(first..last)) else {
            return Ok(());
        };
        let values = values.and_then(|values| values.get(first..last));
        let mut tuple = Vec::with_capacity(self.plan.keys.len());
        let mut varying = Vec::new();
        for (at, key) in self.plan.keys.iter().enumerate() {
            let own = self.plan.names.get(*key).and_then(|name| run.labels.get(&name.name));
            match (own, columns.get(at).and_then(Option::as_ref)) {
                (Some(value), _) => tuple.push(self.texts.number(value)),
                (None, None) => tuple.push(ABSENT),
                (None, Some(numbers)) => {
                    varying.push((at, numbers.get(first..last).unwrap_or_default()));
                    tuple.push(VARIES);
                }
            }
        }
        let place = place + first as u64;
        let all = states.iter().all(|state| *state == State::Fine);
        if varying.is_empty() && all {
            self.stats.filtered_lines += run.rows as u64;
            let series = self.series_of(&tuple);
            return Ok(self.sink.add_run(series, place, times, values)?);
        }
        let kept = states.iter().enumerate().filter(|(_, state)| **state == State::Fine).map(|(row, _)| row);
        match varying.as_slice() {
            [] => {
                let mut series = None;
                for row in kept {
                    let series = match series {
                        Some(series) => series,
                        None => *series.insert(self.series_of(&tuple)),
                    };
                    self.kept.push(series, row, times, values);
                }
            }
            [(at, numbers)] => {
                let list = self.list_of(&mut tuple, *at);
                for row in kept {
                    let text = numbers.get(row).copied().unwrap_or(ABSENT);
                    // The absent label has the first place, every text the one behind its own.
                    let slot = text.wrapping_add(1) as usize;
                    let known = self.by_text.get(list).and_then(|list| list.get(slot)).copied();
                    let series = match known.filter(|series| *series != UNKNOWN) {
                        Some(series) => series,
                        None => {
                            if let Some(entry) = tuple.get_mut(*at) {
                                *entry = text;
                            }
                            let series = self.new_series(&tuple);
                            self.remember(list, slot, series);
                            series
                        }
                    };
                    self.kept.push(series, row, times, values);
                }
            }
            several => {
                for row in kept {
                    for (at, numbers) in several {
                        if let (Some(entry), Some(text)) = (tuple.get_mut(*at), numbers.get(row)) {
                            *entry = *text;
                        }
                    }
                    let series = self.series_of(&tuple);
                    self.kept.push(series, row, times, values);
                }
            }
        }
        self.stats.filtered_lines += self.kept.series.len() as u64;
        let values = values.map(|_| self.kept.values.as_slice());
        self.sink.add_rows(&self.kept.series, place, &self.kept.times, values)?;
        self.kept.clear();
        Ok(())
    }

    fn remember(&mut self, list: usize, slot: usize, series: u32) {
        if let Some(list) = self.by_text.get_mut(list) {
            if list.len() <= slot {
                self.listed += (slot + 1 - list.len()) * size_of::<u32>();
                list.resize(slot + 1, UNKNOWN);
            }
            if let Some(entry) = list.get_mut(slot) {
                *entry = series;
            }
        }
    }
}

impl Kept {
    fn push(&mut self, series: u32, row: usize, times: &[i64], values: Option<&[f64]>) {
        self.series.push(series);
        self.times.push(times.get(row).copied().unwrap_or_default());
        if let Some(values) = values {
            self.values.push(values.get(row).copied().unwrap_or_default());
        }
    }

    fn clear(&mut self) {
        self.series.clear();
        self.times.clear();
        self.values.clear();
    }
}

/// The rows of one stream in a batch.
struct Part<'a> {
    run: &'a StreamRun,
    first: usize,
    place: u64,
    times: &'a [i64],
    states: &'a [State],
    values: Option<&'a [f64]>,
    columns: &'a [Option<Vec<u32>>],
}

impl Worker for ColumnWorker<'_> {
    fn batch(&mut self, place: u64, batch: &LogBatch) -> Result<(), Trouble> {
        self.stats.processed_lines += batch.timestamps.len() as u64;
        let mut states = self.states(batch);
        self.loose_rows(place, batch, &states)?;
        let view = View::new(self.plan, batch);
        view.run(&self.plan.tests, &mut states).ok_or(Trouble::NeedsRows)?;
        let values = match (&self.plan.unwrap, &self.job.range.unwrap, self.job.taken) {
            (Some((name, after)), Some(unwrap), _) => {
                let to_number = converter(unwrap);
                let plain = unwrap.conversion == Conversion::Number;
                let values = view.unwrap(*name, &to_number, plain, &mut states).ok_or(Trouble::NeedsRows)?;
                view.run(after, &mut states).ok_or(Trouble::NeedsRows)?;
                Some(values)
            }
            (_, _, Taken::Bytes) => Some(batch.line_bytes.iter().map(|bytes| f64::from(*bytes)).collect()),
            _ => None,
        };
        // An error that is still there ends the query; the row path finds its text.
        if states.iter().any(|state| matches!(state, State::FilterFailed | State::UnwrapFailed)) {
            return Err(Trouble::NeedsRows);
        }
        let columns: Vec<Option<Vec<u32>>> =
            self.plan.keys.iter().map(|key| self.key_texts(&view, *key, &states)).collect();
        let mut first = 0;
        for run in &batch.streams {
            self.add_stream(Part {
                run,
                first,
                place,
                times: &batch.timestamps,
                states: &states,
                values: values.as_deref(),
                columns: &columns,
            })?;
            first += run.rows;
        }
        let held = self.texts.memory() + self.table.memory() + self.tuples.len() * 64 + self.listed;
        let more = (held as u64).saturating_sub(self.lease.bytes());
        self.lease.grow(more).map_err(|refused| QueryError::Select(refused.into()))?;
        Ok(())
    }
}

/// Writes the number of each text to `numbers`, where there is one.
fn number_texts(column: &TextColumn, states: &[State], texts: &mut Interner, numbers: &mut [u32]) {
    match column {
        TextColumn::Dictionary { codes, values } => {
            let mut known = vec![UNKNOWN; values.len()];
            for ((code, number), state) in codes.iter().zip(numbers).zip(states) {
                if *state == State::Gone || *code == TextColumn::ABSENT {
                    continue;
                }
                if let Some(known) = known.get_mut(*code as usize) {
                    if *known == UNKNOWN {
                        *known = texts.number(values.get(*code as usize));
                    }
                    *number = *known;
                }
            }
        }
        other => {
            let mut scratch = String::new();
            for (row, (number, state)) in numbers.iter_mut().zip(states).enumerate() {
                if *state != State::Gone
                    && let Some(text) = other.get(row, &mut scratch)
                {
                    *number = texts.number(text);
                }
            }
        }
    }
}

/// Turns text into the number an unwrap makes of it: plain numbers at once, the rest as the pipeline does.
fn converter(unwrap: &Unwrap) -> impl Fn(&str) -> Option<f64> + '_ {
    let plain = unwrap.conversion == Conversion::Number;
    move |text| match plain_number(text).filter(|_| plain) {
        Some(number) => Some(number),
        None => convert::unwrapped(unwrap.conversion, text).ok(),
    }
}
