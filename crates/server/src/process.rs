//! Figures of the process (`process_*`), under the names every dashboard asks for.
//!
//! The `prometheus` crate has a collector of its own, which counts CPU time in whole seconds: too coarse for
//! a rate over a minute.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Registry};

/// The kernel counts CPU time in `USER_HZ`, which is 100 on every architecture Linux still supports.
const TICKS_PER_SECOND: f64 = 100.0;

struct Process {
    cpu: Counter,
    gauges: [Gauge; 6],
}

/// Registers the figures; they are read when they are shown.
///
/// # Errors
/// When the registry has them already.
pub fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    let gauge = Gauge::new;
    registry.register(Box::new(Process {
        cpu: Counter::new("process_cpu_seconds_total", "User and system time, in seconds.")?,
        gauges: [
            gauge("process_resident_memory_bytes", "Resident memory.")?,
            gauge("process_virtual_memory_bytes", "Virtual memory.")?,
            gauge("process_start_time_seconds", "When the process started, Unix seconds.")?,
            gauge("process_threads", "Threads.")?,
            gauge("process_open_fds", "Open file descriptors.")?,
            gauge("process_max_fds", "File descriptors the process may open.")?,
        ],
    }))
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // What cannot be read keeps its last value: a figure that is missing once would look like a restart.
        if let Some(stat) = read_stat() {
            self.cpu.inc_by((stat.cpu_seconds - self.cpu.get()).max(0.0));
            let [resident, virtual_memory, start, threads, open, max] = &self.gauges;
            resident.set(stat.resident_bytes);
            virtual_memory.set(stat.virtual_bytes);
            start.set(stat.start);
            threads.set(stat.threads);
            open.set(fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as f64);
            max.set(
                rustix::process::getrlimit(rustix::process::Resource::Nofile)
                    .current
                    .map_or(-1.0, |n| n as f64),
            );
        }
        let gauges = self.gauges.iter().flat_map(Collector::collect);
        self.cpu.collect().into_iter().chain(gauges).collect()
    }
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    start: f64,
    threads: f64,
}

/// `/proc/self/stat`, see proc(5): fields are counted from 1, the first two end with the last `)`.
fn read_stat() -> Option<Stat> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<f64> =
        stat.rsplit_once(')')?.1.split_whitespace().map(|n| n.parse().unwrap_or(0.0)).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        threads: field(20)?,
        start: boot + field(22)? / TICKS_PER_SECOND,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * rustix::param::page_size() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_fractions_of_seconds_and_all_figures() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let spun: u64 = (0..200_000_000_u64).map(|n| std::hint::black_box(n) % 7).sum();
        assert!(spun > 0);
        let families = registry.gather();
        assert_eq!(families.len(), 7);
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let metric = family.get_metric().first().unwrap();
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        let cpu = value("process_cpu_seconds_total");
        assert!(cpu > 0.0 && (cpu * 100.0 - (cpu * 100.0).round()).abs() < 1e-6, "{cpu}");
        assert!(value("process_resident_memory_bytes") > 1e6 && value("process_threads") >= 1.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
    }
}
