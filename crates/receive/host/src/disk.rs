//! `node_disk_*`: `/proc/diskstats`, <https://docs.kernel.org/admin-guide/iostats.html>.

use std::io;

use crate::Host;
use crate::page::Page;

/// One column of `/proc/diskstats`.
struct Column {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// To the base unit: sectors are 512 bytes, times are milliseconds.
    factor: f64,
}

const fn counter(name: &'static str, help: &'static str, factor: f64) -> Column {
    Column { name, kind: "counter", help, factor }
}

/// The columns after major, minor and name, in the kernel's order; older kernels have fewer.
const COLUMNS: [Column; 17] = [
    counter("node_disk_reads_completed_total", "Reads completed.", 1.0),
    counter("node_disk_reads_merged_total", "Reads merged with a neighbour before they were queued.", 1.0),
    counter("node_disk_read_bytes_total", "Bytes read.", 512.0),
    counter("node_disk_read_time_seconds_total", "Seconds spent by all reads.", 0.001),
    counter("node_disk_writes_completed_total", "Writes completed.", 1.0),
    counter("node_disk_writes_merged_total", "Writes merged with a neighbour before they were queued.", 1.0),
    counter("node_disk_written_bytes_total", "Bytes written.", 512.0),
    counter("node_disk_write_time_seconds_total", "Seconds spent by all writes.", 0.001),
    Column { name: "node_disk_io_now", kind: "gauge", help: "Requests in flight.", factor: 1.0 },
    counter("node_disk_io_time_seconds_total", "Seconds with at least one request in flight.", 0.001),
    counter("node_disk_io_time_weighted_seconds_total", "Seconds times requests in flight.", 0.001),
    counter("node_disk_discards_completed_total", "Discards completed.", 1.0),
    counter("node_disk_discards_merged_total", "Discards merged.", 1.0),
    counter("node_disk_discarded_sectors_total", "Sectors discarded.", 1.0),
    counter("node_disk_discard_time_seconds_total", "Seconds spent by all discards.", 0.001),
    counter("node_disk_flush_requests_total", "Flush requests completed.", 1.0),
    counter("node_disk_flush_requests_time_seconds_total", "Seconds spent by all flush requests.", 0.001),
];

pub(crate) fn collect(host: &Host, page: &mut Page) -> io::Result<()> {
    let stats = host.read_proc("diskstats")?;
    let disks: Vec<(&str, Vec<f64>)> = stats
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(2);
            let device = fields.next().filter(|device| !is_partition_or_memory(device))?;
            Some((device, fields.filter_map(|n| n.parse().ok()).collect()))
        })
        .collect();
    for (at, column) in COLUMNS.iter().enumerate() {
        let mut begun = false;
        for (device, values) in &disks {
            let Some(value) = values.get(at) else { continue };
            if !begun {
                page.family(column.name, column.kind, column.help);
                begun = true;
            }
            page.sample(&[("device", device)], value * column.factor);
        }
    }
    Ok(())
}

/// What node_exporter leaves out by default: partitions, RAM disks, loop devices and floppies.
fn is_partition_or_memory(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let is_letter_disk = ["hd", "sd", "vd", "xvd"]
        .iter()
        .any(|prefix| stem.strip_prefix(prefix).is_some_and(|s| s.len() == 1));
    let is_nvme_partition = stem.starts_with("nvme") && stem.ends_with('p');
    matches!(stem, "ram" | "zram" | "loop" | "fd") || is_letter_disk || is_nvme_partition
}
