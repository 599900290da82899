//! The promise for logs: what was acknowledged is there once after the process was killed, whatever it was
//! doing; a full disk stops writes, not queries; a corrupt part is named and the rest is served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::loki::{Loki, push_to};
use harness::{post, wait_for};
use serde_json::json;

/// Limits out of the way.
const LIMITS: &str = "limits_config: {reject_old_samples: false, ingestion_rate_mb: 1000, ingestion_burst_size_mb: 2000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, retention_period: 24h}\n";
const RETENTION: &str = "compactor: {retention_enabled: true, retention_delete_delay: 1s, compaction_interval: 1s, delete_request_store: filesystem}\n";
const HOUR: i64 = 3_600_000_000_000;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "takes a minute: make blackbox")]
fn fifty_kills_lose_and_double_nothing_acknowledged() {
    const PUSHERS: usize = 3;
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Loki::start(scratch.path(), &format!("{LIMITS}{RETENTION}"));
    let start = now();
    // What a pusher sent last and was not told about: sent again after the restart, as an agent does.
    let mut unanswered: Vec<Option<Vec<(i64, String)>>> = vec![None; PUSHERS];
    let mut sent = [0_usize; PUSHERS];
    let mut flushes = 0;
    for round in 0..50_u64 {
        let acknowledged = AtomicUsize::new(0);
        let killed = AtomicBool::new(false);
        let flushed = AtomicUsize::new(0);
        let (url, pid) = (server.url.clone(), server.process.pid());
        std::thread::scope(|scope| {
            for (pusher, (unanswered, sent)) in unanswered.iter_mut().zip(&mut sent).enumerate() {
                let (url, acknowledged) = (&url, &acknowledged);
                scope.spawn(move || {
                    let labels = json!({ "job": "kept", "pusher": pusher.to_string() });
                    let old = json!({ "job": "expired", "pusher": pusher.to_string() });
                    loop {
                        let batch = unanswered.take().unwrap_or_else(|| {
                            let base = *sent;
                            *sent += 20;
                            let line = |i: usize| {
                                (
                                    start + i as i64,
                                    format!("{{\"pusher\":{pusher},\"i\":{i},\"text\":\"line {i}\"}}"),
                                )
                            };
                            (base..base + 20).map(line).collect()
                        });
                        match push_to(url, &labels, &batch) {
                            Some(answer) if answer.status == 204 => {
                                acknowledged.fetch_add(1, Ordering::SeqCst);
                            }
                            Some(answer) => panic!("refused: {answer:?}"),
                            None => {
                                *unanswered = Some(batch);
                                return;
                            }
                        }
                        // Lines that retention removes while the others come in.
                        let expired = [(start - 72 * HOUR, format!("old {}", *sent))];
                        push_to(url, &old, &expired);
                    }
                });
            }
            let (url, killed, flushed) = (&url, &killed, &flushed);
            scope.spawn(move || {
                while !killed.load(Ordering::SeqCst) {
                    if post(&format!("{url}/flush"), &[], b"").is_ok_and(|answer| answer.status < 300) {
                        flushed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            // Every other round has parts on disk, which are merged by and by.
            let wanted = (round % 2) as usize * 2;
            wait_for("acknowledged pushes and flushes", || {
                let enough =
                    acknowledged.load(Ordering::SeqCst) > 12 && flushed.load(Ordering::SeqCst) >= wanted;
                enough.then_some(())
            });
            std::thread::sleep(Duration::from_micros(round * 997 % 30_000));
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            killed.store(true, Ordering::SeqCst);
        });
        flushes += flushed.load(Ordering::SeqCst);
        server.restart();
    }
    for (pusher, batch) in unanswered.iter().enumerate() {
        let labels = json!({ "job": "kept", "pusher": pusher.to_string() });
        let answer = server.push(&labels, batch.as_ref().unwrap()).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    for (pusher, sent) in sent.iter().enumerate() {
        let query = format!("{{job=\"kept\",pusher=\"{pusher}\"}}");
        let lines = server.lines(&query, start, start + HOUR);
        let mut times: BTreeMap<usize, usize> = BTreeMap::new();
        for line in &lines {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            *times.entry(line["i"].as_u64().unwrap() as usize).or_default() += 1;
        }
        let missing: Vec<usize> = (0..*sent).filter(|i| !times.contains_key(i)).collect();
        let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        assert!(
            missing.is_empty(),
            "pusher {pusher}: {} of {sent} lines are lost: {missing:?}",
            missing.len()
        );
        assert!(doubled.is_empty(), "pusher {pusher}: lines are there more than once: {doubled:?}");
    }
    // The newest of the old lines are still in memory.
    assert!(post(&format!("{}/flush", server.url), &[], b"").unwrap().status < 300);
    wait_for("retention to remove what is old", || {
        let expired = server.lines("{job=\"expired\"}", start - 100 * HOUR, start);
        expired.is_empty().then_some(())
    });
    let sent: usize = sent.iter().sum();
    assert!(sent > 50 * 20 * 12 && flushes >= 50, "{sent} lines, {flushes} flushes");
    println!("{sent} lines survived 50 kills during {flushes} flushes");
}

/// A tmpfs mounted for one test.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={size}");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status().unwrap();
        assert!(status.success(), "mounting a tmpfs needs root");
        SmallDisk(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs root: make blackbox")]
fn a_full_disk_refuses_lines_and_answers_queries() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("disk");
    let disk = SmallDisk::mount(&place, "24m");
    let server = Loki::start(&disk.0.join("server"), LIMITS);
    let (start, labels) = (now(), json!({ "job": "full" }));
    let mut random = 88_172_645_463_325_252_u64;
    let mut accepted = 0_i64;
    let batch = |accepted: i64, random: &mut u64| -> Vec<(i64, String)> {
        // Hexadecimal digits that do not compress.
        let mut word = || {
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            format!("{random:016x}")
        };
        (0..200).map(|i| (start + accepted + i, (0..64).map(|_| word()).collect())).collect()
    };
    let refused = wait_for("the disk to be full", || {
        let answer = server.push(&labels, &batch(accepted, &mut random)).unwrap();
        if answer.status == 204 {
            accepted += 200;
            return None;
        }
        Some(answer)
    });
    assert!(refused.status == 503 || refused.status == 429, "{refused:?}");
    assert!(refused.body.to_lowercase().contains("space"), "the reason is named: {refused:?}");
    let count = || server.lines("{job=\"full\"}", start, start + HOUR).len() as i64;
    assert_eq!(count(), accepted, "what was acknowledged is there");
    // Room again, by its neighbour going: writes go on by themselves.
    let status = Command::new("mount").args(["-o", "remount,size=96m"]).arg(disk.0).status().unwrap();
    assert!(status.success());
    wait_for("lines to be taken again", || {
        let answer = server.push(&labels, &batch(accepted, &mut random)).unwrap();
        (answer.status == 204).then(|| accepted += 200)
    });
    assert_eq!(count(), accepted);
}

fn parts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            parts(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts the binary: make blackbox")]
fn a_corrupt_part_is_named_and_the_rest_is_served() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Loki::start(scratch.path(), LIMITS);
    let start = now();
    for (stream, day) in [("good", 0), ("bad", -3)] {
        let line = |i: i64| (start + day * 24 * HOUR + i, format!("{stream} line {i} of some length"));
        let entries: Vec<_> = (0..5_000).map(line).collect();
        let answer = server.push(&json!({ "job": "parts", "stream": stream }), &entries).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    server.process.signal("TERM");
    assert_eq!(server.process.wait(), Some(0));
    let mut files = Vec::new();
    parts(&scratch.path().join("data"), &mut files);
    // The partition of three days ago sorts first.
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let (from, to) = (bytes.len() / 10, bytes.len() / 2);
    bytes[from..to].fill(0xa5);
    std::fs::write(&files[0], bytes).unwrap();
    server.restart();
    let lines = |server: &Loki, stream: &str| {
        server
            .lines(&format!("{{job=\"parts\",stream=\"{stream}\"}}"), start - 100 * HOUR, start + HOUR)
            .len()
    };
    assert_eq!(lines(&server, "good"), 5_000);
    let bad = lines(&server, "bad");
    let name = files[0].file_stem().unwrap().to_string_lossy().into_owned();
    let log = server.process.output();
    assert!(log.contains(&name), "the log names the part {name} ({bad} of its lines were answered): {log}");
    assert_eq!(lines(&server, "good"), 5_000, "and again");
}
