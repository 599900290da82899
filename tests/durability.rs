//! The promise: what was acknowledged is there after the process was killed, and a full disk stops writes,
//! not queries.
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
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::fakes::Fake;
use harness::{Answer, Server, post, wait_for};
use novaobs_model::Labels;
use novaobs_wire::remote_write;

const RECEIVER: &str = "--web.enable-remote-write-receiver";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Sends one request with a sample for each of `series`; their values have nothing to compress.
fn write(url: &str, name: &str, series: usize, timestamp: i64, value: f64) -> Option<Answer> {
    let series: Vec<_> = (0..series)
        .map(|i| {
            (
                Labels::from_pairs([("__name__", name), ("i", &i.to_string())]),
                vec![(timestamp, value * (1.0 + i as f64).sqrt())],
            )
        })
        .collect();
    let pairs = series.iter().map(|(labels, samples)| (labels, samples.as_slice()));
    let body = remote_write::encode(pairs, &[]).unwrap();
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    post(&format!("{url}/api/v1/write"), &headers, &body).ok()
}

/// All samples of a series as time -> value; those a minute ahead too, for writers that outrun the clock.
fn samples(server: &Server, selector: &str) -> BTreeMap<i64, f64> {
    let data = server.data("query", &[("query", &format!("{selector}[1h] offset -1m"))]);
    let values = data["result"][0]["values"].as_array().cloned().unwrap_or_default();
    let milliseconds = |v: &serde_json::Value| (v[0].as_f64().unwrap() * 1000.0).round() as i64;
    values.iter().map(|v| (milliseconds(v), v[1].as_str().unwrap().parse().unwrap())).collect()
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "takes half a minute: make blackbox")]
fn twenty_kills_lose_nothing_acknowledged() {
    let scratch = tempfile::tempdir().unwrap();
    let counter = AtomicU64::new(0);
    let target = Fake::start(move |_| {
        (
            200,
            "text/plain; version=0.0.4",
            format!("scraped_total {}\n", counter.fetch_add(1, Ordering::Relaxed)),
        )
    });
    let config = format!(
        "global: {{scrape_interval: 50ms, scrape_timeout: 50ms}}\nscrape_configs:\n- job_name: t\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let mut server = Server::novaobs(scratch.path(), &config, &[RECEIVER]);
    let mut acknowledged = BTreeMap::new();
    let mut seen_up = BTreeMap::new();
    let mut sent = 0_u64;
    let mut timestamp = 0;
    for kill in 0..20_u64 {
        // The kill comes from another thread at a time that differs from round to round, while requests are
        // on their way.
        let until = acknowledged.len() + 20 + (kill as usize * 37) % 50;
        let stop = Arc::new(AtomicBool::new(false));
        let killer = {
            let (stop, pid, delay) =
                (stop.clone(), server.process.pid(), Duration::from_micros(500 + kill * 331));
            std::thread::spawn(move || {
                wait_for("enough acknowledged writes", || stop.load(Ordering::Acquire).then_some(()));
                std::thread::sleep(delay);
                Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            })
        };
        wait_for("the first scrape of this round", || {
            let up = samples(&server, "up");
            (up.len() > seen_up.len()).then(|| seen_up = up)
        });
        loop {
            sent += 1;
            // A write that was cut off may be stored: its time is not used again.
            timestamp = now_ms().max(timestamp + 1);
            match write(&server.url, "written", 1, timestamp, sent as f64) {
                Some(answer) if answer.status == 204 => drop(acknowledged.insert(timestamp, sent as f64)),
                Some(answer) => panic!("refused: {answer:?}"),
                None => break,
            }
            if acknowledged.len() >= until {
                stop.store(true, Ordering::Release);
            }
        }
        killer.join().unwrap();
        server.restart();
    }
    let written = samples(&server, "written");
    let lost: Vec<_> = acknowledged.iter().filter(|(t, v)| written.get(t) != Some(v)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged samples are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    let up = samples(&server, "up");
    let forgotten: Vec<_> = seen_up.iter().filter(|(t, v)| up.get(t) != Some(v)).collect();
    assert!(forgotten.is_empty(), "scrapes that were seen are lost: {forgotten:?}");
    let scraped = samples(&server, "scraped_total");
    let torn: Vec<_> = up.iter().filter(|(t, v)| **v == 1.0 && !scraped.contains_key(t)).collect();
    assert!(torn.is_empty(), "scrapes whose up is there and whose samples are not: {torn:?}");
    assert!(
        acknowledged.len() >= 400 && up.len() >= 20,
        "{} writes, {} scrapes",
        acknowledged.len(),
        up.len()
    );
    println!("{} writes and {} scrapes survived 20 kills", acknowledged.len(), up.len());
}

/// A tmpfs mounted for one test.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path, size: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path).status();
        assert!(status.is_ok_and(|s| s.success()), "this test mounts a small tmpfs and must run as root");
        SmallDisk(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "mounts a tmpfs: make blackbox")]
fn a_full_disk_stops_writes_and_not_queries() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let disk = SmallDisk::mount(&data, "24m");
    let server = Server::novaobs(scratch.path(), "scrape_configs: []\n", &[RECEIVER]);
    let start = now_ms() - 600_000;
    assert_eq!(write(&server.url, "kept", 1000, start, 1.0).unwrap().status, 204);

    std::fs::write(data.join("ballast"), vec![0_u8; 23 << 20]).ok();
    let mut acknowledged = 1;
    let refused = loop {
        let value = (acknowledged as f64).sqrt();
        let answer = write(&server.url, "kept", 1000, start + acknowledged * 1000, value).unwrap();
        if answer.status != 204 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 599, "the disk does not fill up");
    };
    assert_eq!(refused.status, 500, "a sender must try again later: {}", refused.body);
    assert!(refused.body.contains("No space left on device"), "it does not say why: {}", refused.body);
    let count = || server.number(&format!("sum(count_over_time(kept[1h] @ {}))", start / 1000 + 600));
    assert_eq!(count(), Some(1000.0 * acknowledged as f64), "queries go on, and nothing is half written");

    std::fs::remove_file(data.join("ballast")).unwrap();
    wait_for("writes to go on", || {
        let answer = write(&server.url, "kept", 1000, start + acknowledged * 1000, 1.0)?;
        (answer.status == 204).then_some(())
    });
    assert_eq!(count(), Some(1000.0 * (acknowledged + 1) as f64));
    drop(server);
    drop(disk);
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts servers: make blackbox")]
fn a_torn_log_is_cut_and_said() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Server::novaobs(scratch.path(), "scrape_configs: []\n", &[RECEIVER]);
    let start = now_ms() - 60_000;
    for i in 0..10 {
        assert_eq!(write(&server.url, "kept", 10, start + i * 1000, i as f64).unwrap().status, 204);
    }
    server.process.kill();
    let segment = newest_log(&scratch.path().join("data"));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_slice(&[0xff; 333]);
    std::fs::write(&segment, bytes).unwrap();
    server.restart();
    let count = format!("sum(count_over_time(kept[1h] @ {}))", start / 1000 + 60);
    assert_eq!(server.number(&count), Some(100.0));
    let log = server.process.output();
    assert!(log.contains("wal") && log.contains("level=WARN"), "the cut is not in the log: {log}");
}

fn newest_log(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let is_log =
        |path: &std::path::PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("wal-"));
    files.filter(is_log).max().expect("a log segment")
}
