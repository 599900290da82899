//! Which streams there are, without reading rows.

use std::sync::Arc;

use novaobs_model::logs::LogStats;
use novaobs_model::{Labels, LogStream, Matcher, QueryControl, SelectError, Tenant};
use novaobs_parts::PartError;

use crate::memory::Chunk;
use crate::partition::Stored;
use crate::store::Store;

impl Store {
    /// Calls `each` with every stream that matches any of `selectors` (none: all) and has entries in
    /// `[start, end)`, once for each part and piece of memory.
    pub(crate) fn list_streams(
        &self,
        tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        (start, end): (i64, i64),
        control: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        if start >= end {
            return Ok(());
        }
        let deletes = self.deletes_in_force(tenant, start, end - 1);
        let by_stream: Vec<_> = deletes.iter().filter(|one| one.by_stream()).collect();
        // Where a delete by line covers some entries, the figures are what they were before.
        let mut report = |labels: &Labels, stats: LogStats| {
            let gone = by_stream
                .iter()
                .any(|one| one.start <= stats.first && one.end > stats.last && one.covers_stream(labels));
            if !gone {
                each(labels, stats);
            }
        };
        let (chunks, parts) = {
            let view = self.view.read();
            let chunks: Vec<Arc<Chunk>> = view
                .memories
                .get(tenant)
                .into_iter()
                .flat_map(|memory| memory.within(start, end))
                .cloned()
                .collect();
            let parts: Vec<Arc<Stored>> = view
                .of(tenant)
                .flat_map(|state| &state.parts)
                .filter(|part| part.entry.info.first < end && part.entry.info.last >= start)
                .cloned()
                .collect();
            (chunks, parts)
        };
        for chunk in chunks {
            control.check()?;
            for stream in &chunk.streams {
                let wanted = selectors.is_empty()
                    || selectors.iter().any(|all| all.iter().all(|m| m.matches_labels(&stream.labels)));
                if let Some(stats) = wanted.then(|| figures(stream, start, end)).flatten() {
                    report(&stream.labels, stats);
                }
            }
        }
        for part in parts {
            control.check()?;
            if part.bad.load(std::sync::atomic::Ordering::Relaxed) {
                continue;
            }
            let listed =
                self.open_parts.get(&part).and_then(|open| open.streams(selectors, start, end, &mut report));
            match listed {
                Ok(()) => {}
                Err(PartError::Interrupted(interrupt)) => return Err(interrupt.into()),
                Err(error) if self.is_lost(&part, &error) => self.quarantine(&part, &error),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What a stream in memory has in `[start, end)`.
fn figures(stream: &LogStream, start: i64, end: i64) -> Option<LogStats> {
    let mut stats = LogStats { blocks: 1, first: i64::MAX, last: i64::MIN, ..LogStats::default() };
    let pairs = !stream.metadata.no_pairs();
    for (row, time) in stream.timestamps.iter().enumerate() {
        if *time < start || *time >= end {
            continue;
        }
        stats.entries += 1;
        stats.bytes += stream.lines.get(row).len() as u64;
        if pairs {
            stats.bytes +=
                stream.metadata.get(row).map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>();
        }
        stats.first = stats.first.min(*time);
        stats.last = stats.last.max(*time);
    }
    (stats.entries > 0).then_some(stats)
}
