//! What fails or is damaged: torn logs, flipped bytes, full disks, lost answers, races of two writers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use novaobs_events::{
    Bucket, DeleteStatus, DiskBucket, Events, OpenError, Options, RemoteBucket, RetentionPolicy,
    StreamRetention,
};
use novaobs_model::{AppendError, LogSink, Matcher, Pool};
use support::*;

/// All files below `folder` whose path contains `part`.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().contains(part) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn entries(from: i64, count: i64) -> Vec<Entry> {
    let base = now() / DAY * DAY - DAY;
    (from..from + count).map(|n| entry("web", base + n, &format!("line {n}"))).collect()
}

fn metric(registry: &prometheus::Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let metric = &family.get_metric()[0];
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

#[test]
fn a_torn_log_keeps_every_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let events = open(folder.path(), None);
    append(&events, &entries(0, 10));
    append(&events, &entries(10, 10));
    let log = files(folder.path(), ".wal").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    for cut in [bytes.len() - 1, bytes.len() - 5, 9, 8, 3, 0] {
        let other = tempfile::tempdir().unwrap();
        let target = other.path().join("logs/wal");
        fs::create_dir_all(&target).unwrap();
        fs::copy(log.with_file_name("writer"), target.join("writer")).unwrap();
        fs::write(target.join(log.file_name().unwrap()), &bytes[..cut]).unwrap();
        let reopened = open(other.path(), None);
        let left = all(&*reopened);
        assert_eq!(left, if cut > bytes.len() / 2 { entries(0, 10) } else { Vec::new() }, "cut at {cut}");
        // And it goes on from there.
        append(&reopened, &entries(10, 10));
        reopened.flush().unwrap();
        assert_eq!(all(&*reopened).len(), left.len() + 10);
    }
}

#[test]
fn a_damaged_part_is_set_aside_and_the_rest_served() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let events = open(folder.path(), None);
    for call in 0..3 {
        append(&events, &entries(call * 10, 10));
        events.flush().unwrap();
    }
    events.close();
    drop(events);
    let parts = files(folder.path(), ".parquet");
    assert_eq!(parts.len(), 3);
    let length = fs::metadata(&parts[1]).unwrap().len();
    fs::OpenOptions::new().write(true).open(&parts[1]).unwrap().set_len(length / 2).unwrap();

    let events = Events::open(folder.path(), options(&registry)).unwrap();
    for _ in 0..2 {
        assert_eq!(all(&*events).len(), 20);
    }
    let stats = &events.stats().tenants[0];
    assert_eq!((stats.parts, stats.quarantined), (2, 1));
    assert_eq!(metric(&registry, "novaobs_logs_quarantined_parts_total"), 1.0);
    // The file is kept for inspection, whatever is cleaned up.
    events.run_maintenance(true).unwrap();
    assert!(parts[1].exists());
    drop(events);
    assert_eq!(all(&*open(folder.path(), None)).len(), 20);
}

#[test]
fn a_missing_part_and_damage_met_by_a_merge_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let events = open(folder.path(), None);
    for call in 0..4 {
        append(&events, &entries(call * 10, 10));
        events.flush().unwrap();
    }
    let parts = files(folder.path(), ".parquet");
    fs::remove_file(&parts[0]).unwrap();
    fs::write(&parts[2], vec![b'x'; fs::metadata(&parts[2]).unwrap().len() as usize]).unwrap();
    events.run_maintenance(true).unwrap();
    assert_eq!(all(&*events).len(), 20);
    assert_eq!(events.stats().tenants[0].quarantined, 2);
    assert_eq!(events.stats().tenants[0].parts, 1);
}

#[test]
fn a_flipped_byte_in_a_manifest_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let events = open(folder.path(), None);
    for call in 0..3 {
        append(&events, &entries(call * 10, 10));
        events.flush().unwrap();
    }
    drop(events);
    let newest = files(folder.path(), "manifest/").pop().unwrap();
    let good = fs::read(&newest).unwrap();
    for at in (0..good.len()).step_by(good.len() / 20) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        fs::write(&newest, &bad).unwrap();
        assert_eq!(all(&*open(folder.path(), None)).len(), 30, "byte {at}");
    }
    // Wholly damaged: the one before counts, and no file is deleted.
    fs::write(&newest, vec![0; good.len()]).unwrap();
    let events = open(folder.path(), None);
    assert_eq!(all(&*events).len(), 20);
    append(&events, &entries(100, 10));
    events.flush().unwrap();
    events.run_maintenance(false).unwrap();
    assert_eq!(all(&*events).len(), 30);
    assert_eq!(files(folder.path(), ".parquet").len(), 4);
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let store = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(Arc::new(DiskBucket::new(store.path()).unwrap()));
    let registry = prometheus::Registry::new();
    let pool = Pool::root("logs", 40_000);
    let bucket: Arc<dyn Bucket> = faulty.clone();
    let events =
        Events::open(folder.path(), Options { bucket: Some(bucket), pool, ..options(&registry) }).unwrap();
    append(&events, &entries(0, 100));
    faulty.full.store(true, Ordering::Relaxed);
    assert!(events.flush().is_err());
    assert_eq!(all(&*events).len(), 100);
    let mut held = 100;
    let refused = loop {
        match events.append(&tenant(), &streams(&entries(held, 50))) {
            Ok(()) => held += 50,
            Err(error) => break error,
        }
        assert!(held < 10_000);
    };
    let AppendError::ReadOnly(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains("no space left"), "{why}");
    assert_eq!(all(&*events).len(), held as usize);
    assert!(metric(&registry, "novaobs_logs_flush_failures_total") >= 1.0);

    faulty.full.store(false, Ordering::Relaxed);
    events.flush().unwrap();
    append(&events, &entries(held, 50));
    assert_eq!(all(&*events), sorted(entries(0, held + 50)));
    events.flush().unwrap();
    assert_eq!(events.stats().tenants[0].rows, held as u64 + 50);
}

#[test]
fn a_call_larger_than_memory_is_over_budget() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let pool = Pool::root("logs", 1000);
    let events = Events::open(folder.path(), Options { pool, ..options(&registry) }).unwrap();
    let refused = events.append(&tenant(), &streams(&entries(0, 100))).unwrap_err();
    assert!(matches!(refused, AppendError::OverBudget(_)), "{refused}");
    assert_eq!(all(&*events), []);
}

#[test]
fn a_commit_whose_answer_was_lost_is_not_done_twice() {
    for again in ["flush", "reopen", "merge"] {
        let folder = tempfile::tempdir().unwrap();
        let faulty = Faulty::new(Arc::new(RemoteBucket::in_memory().unwrap()));
        let bucket: Arc<dyn Bucket> = faulty.clone();
        let mut events = open(folder.path(), Some(bucket.clone()));
        append(&events, &entries(0, 10));
        if again == "merge" {
            for call in 1..4 {
                events.flush().unwrap();
                append(&events, &entries(call * 10, 10));
            }
            events.flush().unwrap();
        }
        let written = all(&*events);
        faulty.lost_answers.store(1, Ordering::Relaxed);
        if again == "merge" {
            assert!(events.run_maintenance(true).is_err());
        } else {
            assert!(events.flush().is_err());
        }
        assert_eq!(all(&*events), written, "{again}");
        match again {
            "flush" => events.flush().unwrap(),
            "merge" => events.run_maintenance(true).unwrap(),
            _ => {
                drop(events);
                events = open(folder.path(), Some(bucket));
            }
        }
        assert_eq!(all(&*events), written, "{again}");
        assert_eq!(events.stats().tenants[0].memory_rows, 0, "{again}");
        append(&events, &entries(1000, 10));
        events.flush().unwrap();
        assert_eq!(all(&*events).len(), written.len() + 10, "{again}");
    }
}

#[test]
fn two_writers_of_one_bucket_lose_nothing() {
    let bucket: Arc<dyn Bucket> = Arc::new(RemoteBucket::in_memory().unwrap());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::thread::scope(|threads| {
        for (writer, folder) in (0i64..).zip(&folders) {
            let bucket = bucket.clone();
            threads.spawn(move || {
                let events = open(folder.path(), Some(bucket));
                for call in 0..20 {
                    append(&events, &entries(writer * 1000 + call * 10, 10));
                    events.flush().unwrap();
                    if call % 5 == 4 {
                        events.run_maintenance(true).unwrap();
                    }
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let reader = open(folder.path(), Some(bucket));
    let mut wanted = entries(0, 200);
    wanted.extend(entries(1000, 200));
    assert_eq!(all(&*reader), sorted(wanted));
}

#[test]
fn a_folder_is_opened_once() {
    let folder = tempfile::tempdir().unwrap();
    let _events = open(folder.path(), None);
    let registry = prometheus::Registry::new();
    let again = Events::open(folder.path(), options(&registry));
    assert!(matches!(again, Err(OpenError::Locked { .. })));
}

#[test]
fn retention_goes_by_stream_and_frees_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let events = Events::open(folder.path(), options(&registry)).unwrap();
    let today = now() / DAY * DAY;
    let mut written = Vec::new();
    for days in 0..10 {
        for app in ["short", "long", "plain"] {
            written.push(entry(app, today - days * DAY + 5, &format!("{app} {days}")));
        }
    }
    append(&events, &written);
    events.flush().unwrap();
    let days = |n: u64| Duration::from_secs(n * 24 * 3600);
    let rule = |app: &str, period| StreamRetention {
        matchers: vec![Matcher::equal("app", app)],
        priority: 1,
        period,
    };
    let policy = RetentionPolicy {
        default: Some(days(4)),
        streams: vec![rule("short", days(2)), rule("long", days(8))],
    };
    let mut settings = events.settings();
    settings.retention = Arc::new(move |_| policy.clone());
    events.set(settings);
    for _ in 0..2 {
        events.run_maintenance(false).unwrap();
        let kept = |app: &str| match app {
            "short" => 2,
            "long" => 8,
            _ => 4,
        };
        let wanted: Vec<Entry> =
            written.iter().filter(|row| (today + DAY - row.1 - 1) / DAY <= kept(&row.0)).cloned().collect();
        assert_eq!(all(&*events), sorted(wanted));
    }
    assert_eq!(files(folder.path(), ".parquet").len(), 9);
    assert_eq!(metric(&registry, "novaobs_logs_expired_parts_total"), 1.0);
}

#[test]
fn a_limit_of_size_drops_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let events = open(folder.path(), None);
    let today = now() / DAY * DAY;
    let of_day =
        |day: i64| (0..200).map(move |n| entry("web", today - day * DAY + n, &format!("day {day} line {n}")));
    for day in (0..5).rev() {
        append(&events, &of_day(day).collect::<Vec<_>>());
        events.flush().unwrap();
    }
    let one = events.stats().tenants[0].bytes / 5;
    let mut settings = events.settings();
    settings.max_bytes = Some(events.stats().log_bytes + one * 2 + one / 2);
    events.set(settings);
    events.run_maintenance(false).unwrap();
    assert_eq!(all(&*events), sorted(of_day(0).chain(of_day(1)).collect()));
    let on_disk: u64 =
        files(folder.path(), ".parquet").iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(on_disk, events.stats().tenants[0].bytes);
}

#[test]
fn old_days_move_to_the_cold_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let cold: Arc<dyn Bucket> = Arc::new(RemoteBucket::in_memory().unwrap());
    let cold_options = |registry| Options {
        cold: Some((cold.clone(), Duration::from_secs(48 * 3600))),
        ..options(registry)
    };
    let events = Events::open(folder.path(), cold_options(&registry)).unwrap();
    let today = now() / DAY * DAY;
    let written: Vec<Entry> = (0..6).map(|day| entry("web", today - day * DAY, "x")).collect();
    append(&events, &written);
    events.flush().unwrap();
    events.run_maintenance(false).unwrap();
    assert_eq!(all(&*events), sorted(written.clone()));
    assert_eq!(files(folder.path(), ".parquet").len(), 3);
    assert_eq!(cold.list("parts/").unwrap().len(), 3);
    drop(events);
    let registry = prometheus::Registry::new();
    let events = Events::open(folder.path(), cold_options(&registry)).unwrap();
    assert_eq!(all(&*events), sorted(written));
}

#[test]
fn deletes_hold_at_once_and_leave_the_disk_later() {
    for query in ["line 1", "app=web", "trace=t4"] {
        let folder = tempfile::tempdir().unwrap();
        let events = open(folder.path(), None);
        let old = entries(0, 30);
        append(&events, &old);
        events.flush().unwrap();
        append(&events, &entries(30, 10));
        let before = events.delete_generation(&tenant());
        let (start, end) = (old[5].1, old[0].1 + 35);
        let request = events.add_delete(&tenant(), query, start, end).unwrap();
        assert_ne!(events.delete_generation(&tenant()), before);
        let gone = |row: &Entry| {
            let matches = match query {
                "app=web" => true,
                "line 1" => row.2.contains(query),
                _ => row.3.iter().any(|pair| pair.1 == "t4"),
            };
            matches && row.1 >= start && row.1 < end
        };
        let wanted: Vec<Entry> = entries(0, 40).into_iter().filter(|row| !gone(row)).collect();
        assert!(wanted.len() < 40 && !wanted.is_empty());
        assert_eq!(all(&*events), sorted(wanted.clone()), "{query}");
        let mut narrow = everything();
        narrow.columns = Default::default();
        assert_eq!(rows(&*events, &narrow).len(), wanted.len());
        assert!(rows(&*events, &narrow).iter().all(|row| row.2.is_empty() && row.3.is_empty()));

        // Some rows are still in memory: the request goes on.
        events.run_maintenance(false).unwrap();
        assert_eq!(events.deletes(&tenant())[0].status, DeleteStatus::Received);
        drop(events);
        let events = open(folder.path(), None);
        assert_eq!(all(&*events), sorted(wanted.clone()), "{query}");
        events.flush().unwrap();
        events.run_maintenance(true).unwrap();
        assert_eq!(events.deletes(&tenant())[0].status, DeleteStatus::Processed);
        assert_eq!(events.stats().tenants[0].rows, wanted.len() as u64);
        assert_eq!(all(&*events), sorted(wanted), "{query}");
        assert!(events.cancel_delete(&tenant(), &request.id).is_err());
    }
}

#[test]
fn a_cancelled_delete_brings_its_entries_back() {
    let folder = tempfile::tempdir().unwrap();
    let events = open(folder.path(), None);
    append(&events, &entries(0, 10));
    let request = events.add_delete(&tenant(), "app=web", i64::MIN, i64::MAX).unwrap();
    assert_eq!(all(&*events), []);
    events.cancel_delete(&tenant(), &request.id).unwrap();
    assert_eq!(all(&*events).len(), 10);
    assert!(events.deletes(&tenant()).is_empty());
    assert!(events.cancel_delete(&tenant(), &request.id).is_err());
    assert_eq!(events.add_delete(&tenant(), "x=y", 0, 1).unwrap_err().to_string(), "cannot read x=y");
}

#[test]
fn files_that_nobody_lists_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let events =
        Events::open(folder.path(), Options { orphan_grace: Duration::ZERO, ..options(&registry) }).unwrap();
    append(&events, &entries(0, 10));
    events.flush().unwrap();
    let part = files(folder.path(), ".parquet").pop().unwrap();
    let orphan = part.with_file_name("000000000000-0000000000000000.parquet");
    fs::copy(&part, &orphan).unwrap();
    events.run_maintenance(false).unwrap();
    assert!(!orphan.exists() && part.exists());
}
