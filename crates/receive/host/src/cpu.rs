//! `node_cpu_*`: the per-CPU lines of `/proc/stat`, <https://docs.kernel.org/filesystems/proc.html>.

use std::io;

use crate::Host;
use crate::page::Page;

/// The kernel counts in `USER_HZ`, which is 100 on every architecture Linux still supports.
const TICKS_PER_SECOND: f64 = 100.0;
/// The columns after `cpuN`, in the kernel's order, under node_exporter's names.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

pub(crate) fn collect(host: &Host, page: &mut Page) -> io::Result<()> {
    let stat = host.read_proc("stat")?;
    let cpus: Vec<(&str, Vec<f64>)> = stat
        .lines()
        .filter_map(|line| {
            let mut fields = line.strip_prefix("cpu")?.split(' ');
            let cpu = fields.next().filter(|cpu| !cpu.is_empty())?;
            Some((cpu, fields.filter_map(|ticks| ticks.parse().ok()).collect()))
        })
        .collect();
    page.family("node_cpu_seconds_total", "counter", "Seconds each CPU spent in each mode.");
    for (cpu, ticks) in &cpus {
        for (mode, ticks) in MODES.iter().zip(ticks) {
            page.sample(&[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
        }
    }
    page.family(
        "node_cpu_guest_seconds_total",
        "counter",
        "Seconds each CPU spent running guests, by the mode they are counted in.",
    );
    for (cpu, ticks) in &cpus {
        for (mode, ticks) in ["user", "nice"].iter().zip(ticks.iter().skip(MODES.len())) {
            page.sample(&[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
        }
    }
    Ok(())
}
