//! Scans large enough for threads of their own, and many callers at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use novaobs_events::{Events, Options};
use novaobs_model::logs::{LogColumns, Order};
use novaobs_model::{AppendError, Interrupt, LogScan, LogSink, LogSource, Pool, QueryControl, SelectError};
use support::*;

const ROWS: i64 = 240_000;

#[test]
fn a_large_scan_gives_every_row_once_and_can_be_left() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let events = Events::open(folder.path(), options(&registry)).unwrap();
    let base = 1_700_000_000_000_000_000 / DAY * DAY;
    for call in 0..8 {
        let rows: Vec<Entry> = (0..ROWS / 8)
            .map(|row| {
                (format!("app-{}", row % 7), base + call * ROWS + row, format!("line {row}"), Vec::new())
            })
            .collect();
        append(&events, &rows);
        if call % 2 == 1 && call < 7 {
            events.flush().unwrap();
        }
    }
    events.flush().unwrap();
    append(&events, &[entry("memory", base, "not in a part")]);
    assert_eq!(events.stats().tenants[0].parts, 4);

    let scan = LogScan { columns: LogColumns::default(), ..everything() };
    let control = QueryControl::unlimited();
    let times = |scan: &LogScan| {
        let mut cursor = events.scan(scan, &control).unwrap();
        let mut times = Vec::new();
        while let Some(batch) = cursor.next().unwrap() {
            times.extend(batch.timestamps);
        }
        assert!(cursor.next().unwrap().is_none());
        times.sort_unstable();
        (times, cursor.stats())
    };
    let mut wanted: Vec<i64> =
        (0..8).flat_map(|call| (0..ROWS / 8).map(move |row| base + call * ROWS + row)).collect();
    wanted.push(base);
    wanted.sort_unstable();
    let (any, stats) = times(&scan);
    assert_eq!(any, wanted);
    assert_eq!((stats.parts, stats.memory_rows), (4, 1));
    assert_eq!(times(&LogScan { order: Order::Newest, ..scan.clone() }).0, wanted);

    // Left in the middle, and bounded in the middle.
    let mut cursor = events.scan(&scan, &control).unwrap();
    cursor.next().unwrap().unwrap();
    drop(cursor);
    let mut cursor = events.scan(&scan, &control).unwrap();
    cursor.bound(i64::MAX - 1, i64::MAX);
    let mut left = 0;
    while let Some(batch) = cursor.next().unwrap() {
        left += batch.timestamps.len();
    }
    assert!(left < ROWS as usize, "{left}");

    // Cancelled, and out of memory.
    let canceled = QueryControl::unlimited();
    let mut cursor = events.scan(&scan, &canceled).unwrap();
    canceled.cancel_flag().store(true, Ordering::Relaxed);
    let error = loop {
        match cursor.next() {
            Ok(batch) => assert!(batch.is_some(), "a cancelled scan does not end as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SelectError::Interrupted(Interrupt::Canceled)), "{error}");
    let poor = QueryControl::new(Pool::root("query", 1000), None);
    let mut cursor = events.scan(&scan, &poor).unwrap();
    let mut outcome = cursor.next();
    while let Ok(Some(_)) = outcome {
        outcome = cursor.next();
    }
    assert!(matches!(outcome, Err(SelectError::OverBudget(_))), "{outcome:?}");
    assert_eq!(poor.pool().used(), 0);
}

#[test]
fn many_callers_and_readers_at_once_see_every_call_whole() {
    let folder = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    // With the store's own threads.
    let options = Options { background: true, ..options(&registry) };
    let events = Events::open(folder.path(), options).unwrap();
    let base = now() / DAY * DAY;
    let left = AtomicUsize::new(8);
    std::thread::scope(|threads| {
        for caller in 0..8i64 {
            let (events, left) = (&events, &left);
            threads.spawn(move || {
                for call in 0..50 {
                    let number = caller * 50 + call;
                    let rows: Vec<Entry> = (0..10)
                        .map(|row| entry("web", base + number * 10 + row, &format!("call {number}")))
                        .collect();
                    append(events, &rows);
                    // It is seen at once.
                    let scan =
                        LogScan { start: base + number * 10, end: base + number * 10 + 10, ..everything() };
                    assert_eq!(support::rows(&**events, &scan).len(), 10);
                }
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        threads.spawn(|| {
            while left.load(Ordering::Relaxed) > 0 {
                events.flush().unwrap();
                // No call is seen in part.
                let mut calls = std::collections::HashMap::<String, usize>::new();
                all(&*events).into_iter().for_each(|row| *calls.entry(row.2).or_default() += 1);
                assert!(calls.values().all(|rows| *rows == 10), "{calls:?}");
            }
        });
    });
    assert_eq!(all(&*events).len(), 8 * 50 * 10);
    events.close();
    let refused = events.append(&tenant(), &streams(&[entry("web", 1, "x")]));
    assert!(matches!(refused, Err(AppendError::Closed)));
}
