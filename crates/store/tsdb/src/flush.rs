//! From memory to a part: the head's samples are sealed, written, listed; then their log is deleted.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use novaobs_model::{METRIC_NAME, Samples, is_stale};
use roaring::RoaringBitmap;

use crate::compaction;
use crate::head::buffers::{Buffers, Samplings};
use crate::head::index::SeriesIndex;
use crate::limits::{
    ENDED_MS, FLUSH_EVERY, FLUSH_WAL_BYTES, IDLE_MS, LOG_SHARE, PAGE_SERIES, SERIES_BYTES, SMALL_LOG_BYTES,
};
use crate::names::Name;
use crate::part::reader::Part;
use crate::part::writer::PartWriter;
use crate::store::{Sealed, Store};
use crate::tidy::tidy;
use crate::wal::{Tail, Wal};

impl Store {
    /// Whether the head should go to a part now.
    pub(crate) fn flush_is_due(&self) -> bool {
        if self.view.read().sealed.is_some() {
            return true;
        }
        let (age, log) = {
            let writer = self.writer.lock();
            (writer.sealed_at.elapsed(), writer.wal.file.length())
        };
        // The log counts against the limit of size and cannot be deleted: it stays a small share of it.
        let share = self.settings.read().retention_size.map_or(u64::MAX, |size| size / LOG_SHARE);
        if age >= FLUSH_EVERY || log >= FLUSH_WAL_BYTES.min(share.max(SMALL_LOG_BYTES)) {
            return true;
        }
        // While there is still room for the part that replaces it.
        log >= SMALL_LOG_BYTES && free_bytes(&self.folder).is_some_and(|free| free < 2 * log)
    }

    /// Writes the head's samples to parts. A flush that failed is taken up again by the next.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let _one_at_a_time = self.flushing.lock();
        let sealed = self.view.read().sealed.clone();
        let Some(sealed) = sealed.map_or_else(|| self.seal(), |sealed| Ok(Some(sealed)))? else {
            return Ok(());
        };
        let written = self.write_sealed(&sealed.samples).and_then(|parts| {
            let committed = self.replace_parts(&[], parts.clone(), Some(sealed.first_wal));
            if committed.is_err() {
                compaction::remove_files(&parts);
            }
            committed
        });
        match &written {
            Ok(()) => {
                self.metrics.compactions.inc();
                self.remove_segments_before(sealed.first_wal);
            }
            Err(_) => self.metrics.compactions_failed.inc(),
        }
        written
    }

    /// Writes what the log holds to parts and starts a segment that needs none of those before it.
    pub(crate) fn leave_log_behind(&self) -> io::Result<()> {
        self.flush()?;
        let number = {
            let mut writer = self.writer.lock();
            let number = writer.wal.number + 1;
            writer.wal = Wal::create(&self.folder, number, &writer.tails)?;
            number
        };
        self.replace_parts(&[], Vec::new(), Some(number))?;
        self.remove_segments_before(number);
        Ok(())
    }

    /// Removes segments that parts cover; what cannot be removed now is at the next start.
    fn remove_segments_before(&self, first: u64) {
        for covered in (1..first).rev() {
            // The ones below were removed before.
            if std::fs::remove_file(Name::Wal(covered).path(&self.folder)).is_err() {
                break;
            }
        }
    }

    /// Starts a new segment and new buffers; `None` when there is nothing to write.
    fn seal(&self) -> io::Result<Option<Sealed>> {
        let mut writer = self.writer.lock();
        writer.sealed_at = Instant::now();
        let active = self.view.read().active.clone();
        if active.buffers.read().samples == 0 {
            return Ok(None);
        }
        self.drop_idle(&mut writer, &active.buffers.read())?;
        let number = writer.wal.number + 1;
        let wal = Wal::create(&self.folder, number, &writer.tails)?;
        // What was acknowledged must not be lost to a power cut once nobody syncs this segment any more.
        writer.wal.file.sync()?;
        writer.wal = wal;
        let lease = self.pool.take(0).map_err(io::Error::other)?;
        let sealed = Sealed { samples: active, first_wal: number };
        let mut view = self.view.write();
        view.active = Arc::new(Samplings::new(writer.tails.len(), lease));
        view.sealed = Some(sealed.clone());
        Ok(Some(sealed))
    }

    /// Takes series out of memory that have been silent for long. They have no sample in `buffers`, so no
    /// segment that is still needed names their slots.
    fn drop_idle(&self, writer: &mut crate::store::Writer, buffers: &Buffers) -> io::Result<()> {
        let newest = writer.newest;
        let sealed_generation = std::mem::replace(&mut writer.sealed_generation, writer.next_generation);
        let window = self.settings.read().out_of_order_window_ms();
        let idle = |tail: &Tail| {
            if tail.time == Tail::NONE {
                return false;
            }
            let ended = is_stale(f64::from_bits(tail.bits));
            let patience = if ended && window == 0 { ENDED_MS } else { IDLE_MS.max(window) };
            newest.saturating_sub(tail.time) > patience
        };
        // A series that was created before the last seal and still has no sample is not coming either.
        let never_came = |tail: &Tail| tail.time == Tail::NONE && tail.generation < sealed_generation;
        let gone: Vec<u32> = (0u32..)
            .zip(&writer.tails)
            .filter(|(slot, tail)| tail.generation > 0 && buffers.get(*slot).is_none())
            .filter(|(_, tail)| never_came(tail) || idle(tail))
            .map(|(slot, _)| slot)
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        writer.catalog.remove(&gone)?;
        let mut index = self.index.write();
        for slot in &gone {
            index.remove(*slot);
            if let Some(tail) = writer.tails.get_mut(*slot as usize) {
                *tail = Tail::new(0);
            }
        }
        index.collect_free();
        writer.series_lease.shrink(gone.len() as u64 * SERIES_BYTES);
        self.metrics.series_removed.inc_by(gone.len() as u64);
        self.metrics.head_series.set(index.len() as i64);
        let next_generation = writer.next_generation;
        drop(index);
        writer.catalog.rewrite_if_due(&self.folder, &self.index.read(), next_generation)
    }

    /// Writes sealed samples to one part per stretch of time.
    fn write_sealed(&self, samples: &Samplings) -> io::Result<Vec<Arc<Part>>> {
        let buffers = samples.buffers.read();
        let Some(range) = buffers.range else { return Ok(Vec::new()) };
        let largest = self.settings.read().largest_range_ms();
        let order = PairOrder::of(&self.index.read());
        let mut parts = Vec::new();
        for stretch in compaction::stretches(range, largest) {
            match self.write_stretch(&buffers, &order, stretch) {
                Ok(part) => parts.extend(part),
                Err(error) => {
                    compaction::remove_files(&parts);
                    return Err(error);
                }
            }
        }
        Ok(parts)
    }

    fn write_stretch(
        &self,
        buffers: &Buffers,
        order: &PairOrder,
        range: (i64, i64),
    ) -> io::Result<Option<Arc<Part>>> {
        let number = self.new_part_number();
        let path = Name::Part(number).path(&self.folder);
        let mut part =
            PartWriter::create(&path, order.pairs.iter().map(|(name, value)| (&**name, &**value)))?;
        let mut scratch = Vec::new();
        let mut page: Vec<Samples> = Vec::new();
        for metric in order.metrics() {
            let series = order.series(&self.index.read(), metric, |slot| {
                let found = buffers.get(slot).and_then(crate::head::buffers::Buffer::range);
                found.is_some_and(|(first, last)| first <= range.1 && last >= range.0)
            });
            for group in series.chunks(PAGE_SERIES) {
                page.iter_mut().for_each(Samples::clear);
                page.resize_with(group.len(), Samples::default);
                let mut present = Vec::with_capacity(group.len());
                for ((pairs, slot), samples) in group.iter().zip(&mut page) {
                    if let Some(buffer) = buffers.get(*slot) {
                        buffer.read(range.0, range.1, &mut scratch, samples);
                        tidy(samples);
                    }
                    if !samples.is_empty() {
                        present.push(&**pairs);
                    }
                }
                if present.is_empty() {
                    continue;
                }
                page.retain(|samples| !samples.is_empty());
                part.begin_group(present.into_iter());
                part.page(&page)?;
            }
        }
        if part.is_empty() {
            return Ok(None);
        }
        part.finish()?;
        Part::open(number, &path).map(|part| Some(Arc::new(part)))
    }
}

/// What the disk has left for us.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The head's pairs in the order a part has them.
struct PairOrder {
    pairs: Vec<(Arc<str>, Arc<str>)>,
    /// By the head's number of the pair: its place in `pairs`.
    places: Vec<u32>,
    /// The head's numbers of the pairs that are metric names, in order.
    metrics: Vec<u32>,
}

impl PairOrder {
    fn of(index: &SeriesIndex) -> Self {
        let mut order = PairOrder { pairs: Vec::new(), places: Vec::new(), metrics: Vec::new() };
        for (name, values) in index.sorted() {
            for (value, pair, _) in values {
                if &**name == METRIC_NAME {
                    order.metrics.push(pair);
                }
                let at = pair as usize;
                if order.places.len() <= at {
                    order.places.resize(at + 1, 0);
                }
                if let Some(place) = order.places.get_mut(at) {
                    *place = order.pairs.len() as u32;
                }
                order.pairs.push((name.clone(), value.clone()));
            }
        }
        order
    }

    /// Series without a metric name, then those of each metric.
    fn metrics(&self) -> impl Iterator<Item = Option<u32>> {
        std::iter::once(None).chain(self.metrics.iter().copied().map(Some))
    }

    /// The wanted series of one metric, sorted: the places of their pairs, and their slots.
    fn series(
        &self,
        index: &SeriesIndex,
        metric: Option<u32>,
        wanted: impl Fn(u32) -> bool,
    ) -> Vec<(Box<[u32]>, u32)> {
        let mut slots = RoaringBitmap::new();
        match metric {
            Some(pair) => {
                if let Some(postings) = index.postings(pair) {
                    postings.add_to(&mut slots);
                }
            }
            None => {
                slots = crate::matching::Lookup::all(index);
                for pair in &self.metrics {
                    let mut named = RoaringBitmap::new();
                    if let Some(postings) = index.postings(*pair) {
                        postings.add_to(&mut named);
                    }
                    slots -= named;
                }
            }
        }
        let places = |slot| {
            let places =
                index.pair_numbers(slot).map(|pair| self.places.get(pair as usize).copied().unwrap_or(0));
            places.collect::<Box<[u32]>>()
        };
        let mut series: Vec<_> =
            slots.iter().filter(|slot| wanted(*slot)).map(|slot| (places(slot), slot)).collect();
        series.sort_unstable();
        series
    }
}
