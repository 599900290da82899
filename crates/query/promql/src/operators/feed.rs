//! Feeds: series of raw samples for operators that look at windows, from the store or from a subquery.

use std::collections::HashMap;

use novaobs_model::{Labels, Lease, Matcher, Samples, SelectRequest, SeriesCursor, SeriesSamples, is_stale};

use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::Run;
use crate::stream::Stream;

/// Series by series, samples in order of time without staleness markers.
pub(crate) trait Feed {
    /// Reads the next series into `out`, reusing its buffers; `false` at the end.
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, QueryError>;
}

/// The series of one selection of the store.
pub(crate) struct StoreFeed<'q> {
    run: &'q Run<'q>,
    request: SelectRequest,
    cursor: Option<Box<dyn SeriesCursor + 'q>>,
}

impl<'q> StoreFeed<'q> {
    /// A selection of the samples in `start..=end`, opened at the first series asked for.
    pub(crate) fn new(run: &'q Run<'q>, matchers: &[Matcher], start: i64, end: i64) -> Self {
        StoreFeed { run, request: SelectRequest { matchers: matchers.to_vec(), start, end }, cursor: None }
    }

    /// The next series with its staleness markers.
    pub(crate) fn next_raw(&mut self, out: &mut SeriesSamples) -> Result<bool, QueryError> {
        self.run.control.check()?;
        if self.request.start > self.request.end {
            return Ok(false);
        }
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => self.cursor.insert(self.run.source.select(&self.request, self.run.control)?),
        };
        Ok(cursor.next(out)?)
    }
}

impl Feed for StoreFeed<'_> {
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, QueryError> {
        if !self.next_raw(out)? {
            return Ok(false);
        }
        drop_stale(&mut out.samples);
        Ok(true)
    }
}

/// Removes staleness markers in place.
fn drop_stale(samples: &mut Samples) {
    if !samples.values.iter().any(|value| is_stale(*value)) {
        return;
    }
    let mut stale = samples.values.iter().map(|value| is_stale(*value)).collect::<Vec<_>>().into_iter();
    samples.timestamps.retain(|_| !stale.next().unwrap_or(false));
    samples.values.retain(|value| !is_stale(*value));
}

/// The rows of an instant expression as series: the inside of a subquery.
pub(crate) struct SubqueryFeed<'q> {
    run: &'q Run<'q>,
    source: Source<'q>,
    timeline: Timeline,
    row: Row,
    _columns: Lease,
}

enum Source<'q> {
    Streaming(Stream<'q>),
    /// Series put together from fragments, and the memory they take.
    Whole(std::vec::IntoIter<Row>, #[expect(dead_code, reason = "held while the rows are")] Lease),
}

impl<'q> SubqueryFeed<'q> {
    /// The series of `stream`, whose rows lie on `timeline`. `columns` covers the row and column its
    /// operators work on at a time, which are as long as the timeline.
    pub(crate) fn new(run: &'q Run<'q>, stream: Stream<'q>, timeline: Timeline, columns: Lease) -> Self {
        let source = Source::Streaming(stream);
        SubqueryFeed { run, source, timeline, row: Row::default(), _columns: columns }
    }

    /// Moves the next row into `self.row`.
    fn advance(&mut self) -> Result<bool, QueryError> {
        if let Source::Streaming(stream) = &mut self.source {
            if !stream.fragments {
                return stream.next(&mut self.row);
            }
            let (rows, memory) = collect_whole(self.run, stream, self.timeline.count)?;
            self.source = Source::Whole(rows.into_iter(), memory);
        }
        if let Source::Whole(rows, _) = &mut self.source
            && let Some(row) = rows.next()
        {
            self.row = row;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Feed for SubqueryFeed<'_> {
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, QueryError> {
        self.run.control.check()?;
        if !self.advance()? {
            return Ok(false);
        }
        out.labels = self.row.labels.clone();
        out.samples.clear();
        for (step, value) in self.row.iter() {
            out.samples.push(self.timeline.at(step), value);
        }
        Ok(true)
    }
}

/// Reads all of `stream`, putting fragments of one series together. The lease covers the rows.
pub(crate) fn collect_whole(
    run: &Run<'_>,
    stream: &mut Stream<'_>,
    steps: usize,
) -> Result<(Vec<Row>, Lease), QueryError> {
    let mut memory = run.memory()?;
    let mut rows: Vec<Row> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut row = Row::new(Labels::empty(), steps);
    while stream.next(&mut row)? {
        let known = if stream.fragments { places.get(&row.labels).copied() } else { None };
        if let Some(whole) = known.and_then(|place| rows.get_mut(place)) {
            row.iter().for_each(|(step, value)| whole.set(step, value));
            continue;
        }
        if stream.fragments {
            places.insert(row.labels.clone(), rows.len());
        }
        memory.grow(row.bytes())?;
        rows.push(std::mem::replace(&mut row, Row::new(Labels::empty(), steps)));
    }
    Ok((rows, memory))
}
