//! Tailing as a whole: rotation, truncation, restarts, a receiver that is away. Nothing may be lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use novaobs_files::config::Job;
use novaobs_files::{AgentConfig, Deliver, DeliverError, Tailer};
use novaobs_model::LogStream;
use parking_lot::{Condvar, Mutex};

/// Keeps what it is given, by line, and can be told to refuse.
#[derive(Default)]
struct Receiver {
    lines: Mutex<BTreeMap<String, (usize, String)>>,
    more: Condvar,
    away: AtomicBool,
    asked: AtomicBool,
}

impl Deliver for Receiver {
    fn deliver(&self, streams: &[LogStream]) -> Result<(), DeliverError> {
        self.asked.store(true, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            self.more.notify_all();
            return Err(DeliverError::Later("away".to_owned()));
        }
        let mut lines = self.lines.lock();
        for stream in streams {
            for line in stream.lines.iter() {
                lines.entry(line.to_owned()).or_insert((0, stream.labels.to_string())).0 += 1;
            }
        }
        self.more.notify_all();
        Ok(())
    }
}

impl Receiver {
    fn wait_for(&self, wanted: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut lines = self.lines.lock();
        while !wanted.iter().all(|line| lines.contains_key(*line)) {
            let late = self.more.wait_until(&mut lines, deadline).timed_out();
            assert!(!late, "waited in vain for {wanted:?}, have {:?}", lines.keys());
        }
    }

    fn labels(&self, line: &str) -> String {
        self.lines.lock()[line].1.clone()
    }

    fn times(&self, line: &str) -> usize {
        self.lines.lock()[line].0
    }
}

fn jobs(folder: &Path) -> Vec<Job> {
    let text = format!(
        "scrape_configs: [{{job_name: app, path_labels: '/(?P<app>[^/.]+)[.]log', \
         static_configs: [{{labels: {{__path__: '{}/*.log'}}}}]}}]",
        folder.display()
    );
    AgentConfig::parse("agent.yml", &text).unwrap().value.jobs
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn lines_survive_rotation_truncation_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (log, positions) = (folder.path().join("api.log"), folder.path().join("positions.json"));
    let receiver = Arc::new(Receiver::default());
    append(&log, "one\n");
    let mut tailer = Tailer::start(jobs(folder.path()), &positions, receiver.clone()).unwrap();
    receiver.wait_for(&["one"]);
    let file = log.display();
    assert_eq!(receiver.labels("one"), format!(r#"{{app="api", filename="{file}", job="app"}}"#));

    // Rotated by rename while it is watched; the writer goes on with the old file for a moment.
    let mut writer = OpenOptions::new().append(true).open(&log).unwrap();
    fs::rename(&log, folder.path().join("api.log.1")).unwrap();
    append(&log, "three\n");
    writer.write_all(b"two\n").unwrap();
    receiver.wait_for(&["two", "three"]);

    // Cut in place.
    File::create(&log).unwrap().write_all(b"four\n").unwrap();
    receiver.wait_for(&["four"]);

    // Rotated while nobody looked.
    tailer.stop();
    append(&log, "five\n");
    fs::rename(&log, folder.path().join("api.log.1")).unwrap();
    append(&log, "six\n");
    let mut tailer = Tailer::start(jobs(folder.path()), &positions, receiver.clone()).unwrap();
    receiver.wait_for(&["five", "six"]);
    assert_eq!(receiver.labels("five"), receiver.labels("six"), "a rotated file keeps its labels");

    // Not read again after a clean stop.
    tailer.stop();
    let _tailer = Tailer::start(jobs(folder.path()), &positions, receiver.clone()).unwrap();
    append(&log, "seven\n");
    receiver.wait_for(&["seven"]);
    for line in ["one", "two", "three", "four", "five", "six", "seven"] {
        assert_eq!(receiver.times(line), 1, "{line}");
    }
}

#[test]
fn lines_wait_for_a_receiver_that_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let (log, positions) = (folder.path().join("api.log"), folder.path().join("positions.json"));
    let receiver = Arc::new(Receiver::default());
    receiver.away.store(true, Ordering::SeqCst);
    append(&log, "one\n");
    let mut tailer = Tailer::start(jobs(folder.path()), &positions, receiver.clone()).unwrap();
    let mut lines = receiver.lines.lock();
    while !receiver.asked.load(Ordering::SeqCst) {
        receiver.more.wait_for(&mut lines, Duration::from_millis(50));
    }
    drop(lines);
    // Ended while the line waits: it was never taken, so the next start reads it again.
    tailer.stop();
    receiver.away.store(false, Ordering::SeqCst);
    append(&log, "two\n");
    let _tailer = Tailer::start(jobs(folder.path()), &positions, receiver.clone()).unwrap();
    receiver.wait_for(&["one", "two"]);
    assert_eq!(receiver.times("one"), 1);
}

#[test]
fn positions_that_are_none_are_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let positions = folder.path().join("positions.json");
    fs::write(&positions, "positions:\n  /var/log/x: '12'\n").unwrap();
    let error = Tailer::start(jobs(folder.path()), &positions, Arc::new(Receiver::default())).err().unwrap();
    assert!(error.to_string().contains("these are not positions"), "{error}");
}
