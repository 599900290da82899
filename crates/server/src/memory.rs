//! The default memory budget: a share of what the machine or the cgroup has.

use std::fs;

/// Share of the memory there is that is ours by default: the rest is left to the page cache, which serves
/// the memory-mapped blocks, and to what the budget does not count (stacks, sockets, the code).
const SHARE: f64 = 0.6;
/// Budget when neither file can be read.
const FALLBACK: u64 = 2 << 30;

/// Bytes to use when `--memory` is not given.
pub fn default_budget() -> u64 {
    let limits = [cgroup_limit(), machine_memory()];
    let available = limits.into_iter().flatten().min();
    available.map_or(FALLBACK, |bytes| (bytes as f64 * SHARE) as u64)
}

/// The limit of the cgroup (version 2, then 1); `None` when it has none.
fn cgroup_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

fn machine_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
