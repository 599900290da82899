//! What a server process costs, as the kernel counts it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a module of benches, of which each uses its own part"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::wait_within;

/// How long a server may take to settle (compact, answer again).
pub const SETTLE: Duration = Duration::from_secs(600);

/// User and system time of a process, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory that is not file-backed: mapped files belong to the page cache.
pub fn rss(pid: u32) -> u64 {
    status_bytes(pid, "RssAnon:")
}

/// The most resident memory there was, mapped files included.
pub fn peak_rss(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// Waits until the server has had nothing to do for two seconds: its background work counts as ingest.
pub fn settle(pid: u32) {
    let mut last = cpu_seconds(pid);
    let mut quiet_since = Instant::now();
    wait_within(SETTLE, "the server to settle", || {
        let now = cpu_seconds(pid);
        if now - last > 0.02 {
            last = now;
            quiet_since = Instant::now();
        }
        (quiet_since.elapsed() > Duration::from_secs(2)).then_some(())
    });
}

/// Bytes of the files in a folder whose names (and whose folders' names) count.
pub fn folder_bytes(folder: &Path, counts: &dyn Fn(&str) -> bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let size = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !counts(&name) {
            return 0;
        }
        if path.is_dir() { folder_bytes(path, counts) } else { path.metadata().map_or(0, |m| m.len()) }
    };
    entries.iter().map(size).sum()
}

/// xorshift: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
