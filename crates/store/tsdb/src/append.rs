//! Writing: series are resolved or created, batches judged, logged, then applied to memory.
//!
//! Order is what makes a batch whole: nothing changes in memory before its record is in the log, and the
//! log takes a record wholly or not at all.

use std::collections::{BTreeMap, HashMap};

use novaobs_model::{AppendError, AppendReport, Labels, RejectReason, Sample, SeriesRef};

use crate::catalog::{NewPair, NewSeries};
use crate::head::index::{from_ref, to_ref};
use crate::limits::{BOUND_MS, SAMPLE_BYTES, SERIES_BYTES};
use crate::store::{Store, View, Writer};
use crate::wal::{Logged, Tail};

/// What becomes of one sample.
enum Verdict {
    /// Newer than all of its series.
    Newest,
    /// Older, but inside the out-of-order window.
    Late,
    /// There already, with the same value.
    Same,
    Rejected(RejectReason),
}

/// What samples of a batch are judged by, as of its beginning.
struct Bounds {
    /// Older samples are out of bounds.
    oldest: i64,
    /// With an out-of-order window: older samples are too old.
    window: Option<i64>,
}

impl Store {
    /// See [`novaobs_model::SampleSink::series`].
    pub(crate) fn resolve(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        let start = out.len();
        let hashes: Vec<u64> = labels.iter().map(Labels::stable_hash).collect();
        let mut missing = Vec::new();
        {
            let index = self.index.read();
            for (at, (labels, hash)) in labels.iter().zip(&hashes).enumerate() {
                match index.find(*hash, labels) {
                    Some((slot, generation)) => out.push(to_ref(slot, generation)),
                    None => {
                        missing.push((start + at, labels, *hash));
                        out.push(SeriesRef(u64::MAX));
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let created = self.create(&missing, out);
        if created.is_err() {
            out.truncate(start);
        }
        created
    }

    /// Creates the series in `missing` (place in `out`, labels, hash) that nobody else has by now.
    fn create(&self, missing: &[(usize, &Labels, u64)], out: &mut [SeriesRef]) -> Result<(), AppendError> {
        let mut writer = self.writer.lock();
        writer.check_open()?;
        let mut pairs: Vec<NewPair> = Vec::new();
        let mut series: Vec<NewSeries> = Vec::new();
        let vacancies;
        {
            let index = self.index.read();
            let mut vacant = index.vacancies();
            let mut new_pairs: BTreeMap<(&str, &str), u32> = BTreeMap::new();
            let mut new_series: HashMap<&str, SeriesRef> = HashMap::new();
            for (at, labels, hash) in missing {
                let known = index.find(*hash, labels).map(|(slot, generation)| to_ref(slot, generation));
                let known = known.or_else(|| new_series.get(labels.as_packed()).copied());
                let series_ref = known.unwrap_or_else(|| {
                    let numbers = labels.iter().map(|(name, value)| {
                        index.pair(name, value).unwrap_or_else(|| {
                            *new_pairs.entry((name, value)).or_insert_with(|| {
                                let number = index.next_pair(&mut vacant);
                                pairs.push(NewPair {
                                    number,
                                    name: name.to_owned(),
                                    value: value.to_owned(),
                                });
                                number
                            })
                        })
                    });
                    let numbers = numbers.collect();
                    let slot = index.next_slot(&mut vacant);
                    let generation = writer.next_generation.wrapping_add(series.len() as u32).max(1);
                    series.push(NewSeries { slot, generation, hash: *hash, pairs: numbers });
                    let created = to_ref(slot, generation);
                    new_series.insert(labels.as_packed(), created);
                    created
                });
                if let Some(place) = out.get_mut(*at) {
                    *place = series_ref;
                }
            }
            vacancies = vacant;
        }
        if series.is_empty() {
            return Ok(());
        }
        let texts: usize = pairs.iter().map(|pair| pair.value.len() + 150).sum();
        let wanted = series.len() as u64 * SERIES_BYTES + texts as u64;
        writer.series_lease.grow(wanted).inspect_err(|_| self.want_flush())?;
        if let Err(error) = writer.catalog.add(&pairs, &series) {
            writer.series_lease.shrink(wanted);
            return Err(self.write_failed(&mut writer, &error));
        }
        writer.next_generation = writer.next_generation.wrapping_add(series.len() as u32).max(1);
        for new in &series {
            let at = new.slot as usize;
            if writer.tails.len() <= at {
                writer.tails.resize(at + 1, Tail::new(0));
            }
            if let Some(tail) = writer.tails.get_mut(at) {
                *tail = Tail::new(new.generation);
            }
        }
        let mut index = self.index.write();
        index.take(&vacancies);
        for pair in &pairs {
            let added = index.add_pair(pair.number, &pair.name, &pair.value);
            novaobs_model::always!(added.is_some(), "pair {} leaves a gap", pair.number);
        }
        for new in &series {
            let added = index.add_series(new.slot, new.generation, new.hash, &new.pairs);
            novaobs_model::always!(added.is_some(), "slot {} leaves a gap", new.slot);
        }
        drop(index);
        self.metrics.series_created.inc_by(series.len() as u64);
        self.metrics.head_series.add(series.len() as i64);
        Ok(())
    }

    /// See [`novaobs_model::SampleSink::append`].
    pub(crate) fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        let mut writer = self.writer.lock();
        writer.check_open()?;
        let view = self.snapshot();
        let reserved = samples.len() as u64 * SAMPLE_BYTES;
        view.active.lease.lock().grow(reserved).inspect_err(|_| self.want_flush())?;
        let mut report = AppendReport::default();
        writer.judge_all(samples, &view, self.settings.read().out_of_order_window_ms(), &mut report);
        let logged = if writer.batch.is_empty() { Ok(()) } else { writer.log() };
        let kept = writer.batch.len();
        if logged.is_err() {
            writer.batch.clear();
        }
        view.active.lease.lock().shrink((samples.len() - writer.batch.len()) as u64 * SAMPLE_BYTES);
        if let Err(error) = logged {
            return Err(self.write_failed(&mut writer, &error));
        }
        let late = writer.apply(&view);
        self.metrics.samples_appended.inc_by(kept as u64);
        self.metrics.out_of_order_appended.inc_by(late);
        for (_, reason) in &report.rejected {
            match reason {
                RejectReason::OutOfOrder => self.metrics.out_of_order.inc(),
                RejectReason::OutOfBounds => self.metrics.out_of_bound.inc(),
                RejectReason::TooOld => self.metrics.too_old.inc(),
                RejectReason::Duplicate | RejectReason::UnknownSeries => {}
            }
        }
        if writer.failing.take().is_some() {
            tracing::info!(folder = %self.folder.display(), "writes succeed again");
        }
        Ok(report)
    }

    /// Notes a failed write; the next append simply tries again.
    fn write_failed(&self, writer: &mut Writer, error: &std::io::Error) -> AppendError {
        self.metrics.wal_writes_failed.inc();
        let reason = format!("cannot write the log in {}: {error}", self.folder.display());
        if writer.failing.is_none() {
            tracing::error!("{reason}; queries go on, writes are refused until space returns");
        }
        // A part takes less room than its log, and the log goes once it is written.
        self.want_flush();
        writer.failing = Some(reason.clone());
        AppendError::ReadOnly(reason)
    }
}

impl Writer {
    fn check_open(&self) -> Result<(), AppendError> {
        if self.closed { Err(AppendError::Closed) } else { Ok(()) }
    }

    /// Judges a batch, filling `self.batch` with the samples to store and `self.undo` with the tails that
    /// were moved.
    fn judge_all(&mut self, samples: &[Sample], view: &View, window: i64, report: &mut AppendReport) {
        let fresh = self.newest == Tail::NONE;
        let bounds = Bounds {
            oldest: if fresh { i64::MIN } else { self.newest.saturating_sub(BOUND_MS) },
            window: (window > 0).then(|| if fresh { i64::MIN } else { self.newest.saturating_sub(window) }),
        };
        self.batch.clear();
        self.undo.clear();
        // Only needed to find equal times among late samples.
        let mut in_batch: HashMap<(u32, i64), u64> = HashMap::new();
        for (at, sample) in samples.iter().enumerate() {
            let (slot, generation) = from_ref(sample.series);
            let Some(tail) = self.tails.get_mut(slot as usize).filter(|t| t.generation == generation) else {
                report.rejected.push((at, RejectReason::UnknownSeries));
                continue;
            };
            let bits = sample.value.to_bits();
            let time = sample.timestamp;
            let stored = |time| {
                let earlier = in_batch.get(&(slot, time)).copied();
                earlier.or_else(|| stored_in_head(view, slot, time))
            };
            match judge(tail, time, bits, &bounds, stored) {
                Verdict::Newest => {
                    self.undo.push((slot, *tail));
                    self.batch.push(Logged { slot, time, bits, before: tail.bits, late: false });
                    (tail.time, tail.bits) = (time, bits);
                }
                Verdict::Late => {
                    self.batch.push(Logged { slot, time, bits, before: tail.bits, late: true });
                }
                Verdict::Same => {
                    report.accepted += 1;
                    continue;
                }
                Verdict::Rejected(reason) => {
                    report.rejected.push((at, reason));
                    continue;
                }
            }
            report.accepted += 1;
            if bounds.window.is_some() {
                in_batch.insert((slot, time), bits);
            }
        }
    }

    /// Logs `self.batch`, or puts the tails back.
    fn log(&mut self) -> std::io::Result<()> {
        let logged = self.wal.append(&self.batch);
        if logged.is_err() {
            for (slot, before) in self.undo.drain(..).rev() {
                if let Some(tail) = self.tails.get_mut(slot as usize) {
                    *tail = before;
                }
            }
        }
        logged
    }

    /// Makes `self.batch` visible; returns how many of it were late.
    fn apply(&mut self, view: &View) -> u64 {
        let mut buffers = view.active.buffers.write();
        let mut late = 0;
        for sample in &self.batch {
            late += u64::from(sample.late);
            buffers.push(sample.slot, sample.time, f64::from_bits(sample.bits), sample.late);
            self.newest = self.newest.max(sample.time);
        }
        late
    }
}

/// Prometheus's rules: newer than the series is in order unless it is out of bounds; anything else needs
/// the out-of-order window.
fn judge(tail: &Tail, time: i64, bits: u64, bounds: &Bounds, stored: impl Fn(i64) -> Option<u64>) -> Verdict {
    if time >= bounds.oldest {
        if time > tail.time {
            return Verdict::Newest;
        }
        if time == tail.time {
            let same = bits == tail.bits;
            return if same { Verdict::Same } else { Verdict::Rejected(RejectReason::Duplicate) };
        }
    }
    match bounds.window {
        Some(oldest) if time >= oldest => match stored(time) {
            // An old sample of a series that has none yet is its newest.
            None if time > tail.time => Verdict::Newest,
            None => Verdict::Late,
            Some(value) if value == bits => Verdict::Same,
            Some(_) => Verdict::Rejected(RejectReason::Duplicate),
        },
        Some(_) => Verdict::Rejected(RejectReason::TooOld),
        None if time < bounds.oldest => Verdict::Rejected(RejectReason::OutOfBounds),
        None => Verdict::Rejected(RejectReason::OutOfOrder),
    }
}

/// The bits of a sample that is in memory.
fn stored_in_head(view: &View, slot: u32, time: i64) -> Option<u64> {
    let find = |samples: &crate::head::buffers::Samplings| {
        let buffers = samples.buffers.read();
        buffers.get(slot)?.value_at(time).map(f64::to_bits)
    };
    find(&view.active).or_else(|| find(&view.sealed.as_ref()?.samples))
}
