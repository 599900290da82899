//! Random histories of the store against a map in memory: appends, flushes, merges, crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod support;

use proptest::prelude::*;
use std::time::Duration;
use support::*;

use novaobs_model::{RejectReason, SampleSink, SeriesRef};
use novaobs_tsdb::Tsdb;
use std::sync::Arc;

const MINUTE: i64 = 60_000;

#[derive(Clone, Debug)]
enum Step {
    /// (series, minutes from now back, value) each.
    Append(Vec<(u8, i64, f64)>),
    /// Moves the clock.
    Advance(i64),
    Flush,
    Maintain,
    /// Goes on with a copy of the files, the store not closed.
    Crash,
    Reopen,
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-1000i32..1000).prop_map(|n| f64::from(n) / 10.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(novaobs_model::stale_nan()),
    ]
}

fn step(late: i64) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((0u8..6, 0..=late, value()), 1..40).prop_map(Step::Append),
        6 => (1i64..60).prop_map(Step::Advance),
        2 => Just(Step::Flush),
        2 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
    ]
}

const NAMES: [&str; 6] =
    ["up{job=a}", "up{job=b}", "a_total{job=a,z=1}", "a_total", "b{x=y}", "c{job=a,le=+Inf}"];

struct World {
    store: Arc<Tsdb>,
    refs: Vec<SeriesRef>,
    folder: tempfile::TempDir,
    window: i64,
}

impl World {
    fn new(window: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_in(&folder, window);
        let refs = resolve(&*store, &NAMES);
        World { store, refs, folder, window }
    }

    fn crash(&mut self, close: bool) {
        let copy = tempfile::tempdir().unwrap();
        if close {
            self.store.close();
        }
        copy_folder(self.folder.path(), copy.path());
        self.store = open_in(&copy, self.window);
        self.refs = resolve(&*self.store, &NAMES);
        self.folder = copy;
    }
}

fn open_in(folder: &tempfile::TempDir, window: i64) -> Arc<Tsdb> {
    open_with(folder.path(), |options| options.out_of_order_window = Duration::from_millis(window as u64))
}

/// Plays `steps` and compares the store with what was accepted after each.
fn play(steps: &[Step], window: i64) {
    let mut world = World::new(window);
    let mut oracle = Content::new();
    let mut now = 1_700_000_000_000i64;
    for step in steps {
        match step {
            Step::Append(samples) => {
                let batch: Vec<_> = samples
                    .iter()
                    .map(|(series, back, value)| {
                        (world.refs[usize::from(*series)], now - back * MINUTE, *value)
                    })
                    .collect();
                let mut report = append(&*world.store, &batch);
                let unknown: Vec<usize> = report
                    .rejected
                    .iter()
                    .filter(|(_, r)| *r == RejectReason::UnknownSeries)
                    .map(|(at, _)| *at)
                    .collect();
                if !unknown.is_empty() {
                    world.refs = resolve(&*world.store, &NAMES);
                    let batch: Vec<_> = samples
                        .iter()
                        .map(|(s, back, v)| (world.refs[usize::from(*s)], now - back * MINUTE, *v))
                        .collect();
                    let again: Vec<_> = unknown.iter().map(|at| batch[*at]).collect();
                    let second = append(&*world.store, &again);
                    report.rejected.retain(|(_, r)| *r != RejectReason::UnknownSeries);
                    report.rejected.extend(second.rejected.iter().map(|(at, r)| (unknown[*at], *r)));
                    report.accepted += second.accepted;
                }
                assert_eq!(report.accepted + report.rejected.len(), batch.len());
                for (at, (series, back, value)) in samples.iter().enumerate() {
                    if report.rejected.iter().any(|(rejected, _)| *rejected == at) {
                        continue;
                    }
                    let name = labels(NAMES[usize::from(*series)]).to_string();
                    let time = now - back * MINUTE;
                    let slot = oracle.entry(name).or_default().entry(time);
                    // With a window a second value for a time that is in a part is resolved when read.
                    slot.and_modify(|bits| *bits = merged(*bits, value.to_bits())).or_insert(value.to_bits());
                }
            }
            Step::Advance(minutes) => now += minutes * MINUTE,
            Step::Flush => world.store.flush().unwrap(),
            Step::Maintain => world.store.run_maintenance().unwrap(),
            Step::Crash => world.crash(false),
            Step::Reopen => world.crash(true),
        }
        assert_eq!(read_all(&*world.store), oracle, "after {step:?}");
    }
    let (start, end) = (now - 90 * MINUTE, now - 30 * MINUTE);
    let mut expected = oracle.clone();
    expected.values_mut().for_each(|samples| samples.retain(|time, _| *time >= start && *time <= end));
    expected.retain(|_, samples| !samples.is_empty());
    assert_eq!(read(&*world.store, &[], start, end), expected);
}

fn merged(a: u64, b: u64) -> u64 {
    let key = |bits: u64| (!novaobs_model::is_stale(f64::from_bits(bits)), f64::from_bits(bits));
    let (x, y) = (key(a), key(b));
    if x.0.cmp(&y.0).then_with(|| x.1.total_cmp(&y.1)).is_lt() { b } else { a }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn in_order_histories(steps in prop::collection::vec(step(2), 1..40)) {
        play(&steps, 0);
    }

    #[test]
    fn out_of_order_histories(steps in prop::collection::vec(step(300), 1..40)) {
        play(&steps, 200 * MINUTE);
    }
}

#[test]
fn a_log_cut_anywhere_in_its_last_records_keeps_the_batches_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let refs = resolve(&*store, &NAMES);
    let mut states = Vec::new();
    for n in 0..6i64 {
        let batch: Vec<_> = refs.iter().map(|r| (*r, 1000 + n, n as f64 + 0.5)).collect();
        append(&*store, &batch);
        let wal = files(folder.path(), "wal-").pop().unwrap();
        states.push((std::fs::metadata(wal).unwrap().len(), read_all(&*store)));
    }
    let start = states[2].0;
    for cut in start..=states[5].0 {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let wal = files(copy.path(), "wal-").pop().unwrap();
        std::fs::File::options().write(true).open(&wal).unwrap().set_len(cut).unwrap();
        let store = open(copy.path());
        let whole = states.iter().rev().find(|(length, _)| *length <= cut).unwrap();
        assert_eq!(read_all(&*store), whole.1, "cut at {cut}");
        // And it goes on from there.
        let refs = resolve(&*store, &NAMES);
        assert_eq!(append(&*store, &[(refs[0], 5000, 1.0)]).accepted, 1);
    }
}

#[test]
fn a_crash_between_part_manifest_and_log_removal_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let refs = resolve(&*store, &NAMES);
    for n in 0..300i64 {
        let batch: Vec<_> = refs.iter().map(|r| (*r, n * 1000, n as f64)).collect();
        append(&*store, &batch);
    }
    let before = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), before.path());
    store.flush().unwrap();
    let expected = read_all(&*store);
    // The part is there, the manifest does not list it yet.
    let unlisted = tempfile::tempdir().unwrap();
    copy_folder(before.path(), unlisted.path());
    for file in files(folder.path(), "part-").into_iter().chain(files(folder.path(), "wal-")) {
        std::fs::copy(&file, unlisted.path().join(file.file_name().unwrap())).unwrap();
    }
    // The manifest lists it, the log is still there.
    let unremoved = tempfile::tempdir().unwrap();
    copy_folder(before.path(), unremoved.path());
    copy_folder(folder.path(), unremoved.path());
    for folder in [unlisted, unremoved] {
        let store = open(folder.path());
        assert_eq!(read_all(&*store), expected);
        store.flush().unwrap();
        assert_eq!(read_all(&*store), expected);
        let refs = resolve(&*store, &NAMES);
        let old =
            append(&*store, &[(refs[0], 5000, 5.0), (refs[1], 299_000, 299.0), (refs[1], 299_000, 1.0)]);
        let reasons: Vec<_> = old.rejected.iter().map(|(_, reason)| *reason).collect();
        assert_eq!((old.accepted, reasons), (1, vec![RejectReason::OutOfOrder, RejectReason::Duplicate]));
    }
}

#[test]
fn series_refs_survive_and_unknown_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let refs = resolve(&*store, &["up{job=a}", "up{job=b}"]);
    append(&*store, &[(refs[0], 0, 1.0), (refs[1], 0, 1.0)]);
    store.flush().unwrap();
    append(&*store, &[(refs[1], 2 * 60 * MINUTE, 1.0)]);
    store.flush().unwrap();
    assert_eq!(store.stats(10).series, 1, "the idle series left memory");
    let report = append(&*store, &[(refs[0], 2 * 60 * MINUTE, 1.0)]);
    assert_eq!(report.rejected, [(0, RejectReason::UnknownSeries)]);
    let again = resolve(&*store, &["up{job=a}", "new"]);
    assert_ne!(again[0], refs[0]);
    append(&*store, &[(again[0], 2 * 60 * MINUTE, 2.0), (again[1], 2 * 60 * MINUTE, 3.0)]);
    let expected = read_all(&*store);
    assert_eq!(expected["up{job=\"a\"}"].len(), 2);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    let store = open(copy.path());
    assert_eq!(read_all(&*store), expected);
    let _ = SampleSink::append(&*store, &[]).unwrap();
}
