//! A process killed at random while it appends, flushes, merges, expires and deletes: nothing acknowledged
//! is lost or doubled.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use novaobs_events::{Events, Options, RetentionPolicy};
use support::*;

/// Set for the child: the folder of the store.
const FOLDER: &str = "NOVAOBS_EVENTS_KILL_FOLDER";
/// Set for the child: the number of its first call.
const FIRST: &str = "NOVAOBS_EVENTS_KILL_FIRST";
const ROUNDS: u64 = 20;
const ROWS: i64 = 20;

/// The entries of a call: half of today, the others of the day before and of a day that retention drops.
fn call(number: i64) -> Vec<Entry> {
    let today = now() / DAY * DAY;
    let row = |row: i64| {
        let day = today - [0, DAY, 0, 40 * DAY][(row % 4) as usize];
        entry("web", day + number * 1000 + row, &format!("call {number} row {row}"))
    };
    (0..ROWS).map(row).collect()
}

fn open_keeping_30_days(folder: &Path) -> Arc<Events> {
    let registry = prometheus::Registry::new();
    let policy = RetentionPolicy { default: Some(Duration::from_secs(30 * 24 * 3600)), streams: Vec::new() };
    let retention: novaobs_events::Retention = Arc::new(move |_| policy.clone());
    Events::open(folder, Options { retention, ..options(&registry) }).unwrap()
}

/// The child: appends from several threads and says which calls were acknowledged, until it is killed.
fn child(folder: &Path, first: i64) {
    let events = open_keeping_30_days(folder);
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                events.flush().unwrap();
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                events.run_maintenance(true).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for thread in 0..3 {
            let events = &events;
            threads.spawn(move || {
                let out = std::io::stdout();
                for number in (first + thread..).step_by(3) {
                    append(events, &call(number));
                    // One write: a line is there whole or not at all.
                    let mut out = out.lock();
                    let _ = out.write_all(format!("acknowledged {number}\n").as_bytes());
                    let _ = out.flush();
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    if let Ok(folder) = std::env::var(FOLDER) {
        child(Path::new(&folder), std::env::var(FIRST).unwrap().parse().unwrap());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<i64> = Vec::new();
    let mut random = 88_172_645_463_325_252u64;
    for round in 0..ROUNDS {
        let first = round as i64 * 1_000_000;
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["nothing_acknowledged_is_lost_or_doubled", "--exact", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let number = |line: &str| line.split_once("acknowledged ")?.1.parse::<i64>().ok();
        let mut seen = 0;
        // Killed some time after the first acknowledgement.
        while let Some(Ok(line)) = lines.next() {
            acknowledged.extend(number(&line));
            seen += usize::from(number(&line).is_some());
            if seen == 1 {
                break;
            }
        }
        assert_eq!(seen, 1, "the child ended by itself");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_micros(random % 60_000);
        let pid = process.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| number(&line)));
        killer.join().unwrap();
        process.wait().unwrap();
        check(folder.path(), &acknowledged, round);
    }
}

/// Every acknowledged call is there once and whole; others whole or not at all.
fn check(folder: &Path, acknowledged: &[i64], round: u64) {
    let events = open_keeping_30_days(folder);
    let oldest = now() - 32 * DAY;
    let mut calls: HashMap<i64, Vec<i64>> = HashMap::new();
    for (_, time, line, _) in all(&*events) {
        if time > oldest {
            let words: Vec<&str> = line.split(' ').collect();
            calls.entry(words[1].parse().unwrap()).or_default().push(words[3].parse().unwrap());
        }
    }
    let whole: Vec<i64> = (0..ROWS).filter(|row| row % 4 != 3).collect();
    for (number, mut rows) in calls.iter().map(|(number, rows)| (number, rows.clone())) {
        rows.sort_unstable();
        assert_eq!(rows, whole, "round {round}: call {number} is not there once and whole");
    }
    for number in acknowledged {
        assert!(calls.contains_key(number), "round {round}: acknowledged call {number} is lost");
    }
    assert_eq!(events.stats().tenants.first().map_or(0, |tenant| tenant.quarantined), 0);
}
