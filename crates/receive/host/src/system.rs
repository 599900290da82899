//! Load, time, process and interrupt counts, pressure, file descriptors, and who this machine is.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Host;
use crate::page::Page;

pub(crate) fn load(host: &Host, page: &mut Page) -> io::Result<()> {
    let text = host.read_proc("loadavg")?;
    for (minutes, value) in [1, 5, 15].iter().zip(text.split(' ')) {
        let value = value.parse().map_err(io::Error::other)?;
        page.single(&format!("node_load{minutes}"), "gauge", &format!("{minutes}m load average."), value);
    }
    Ok(())
}

/// The single-number lines of `/proc/stat`.
pub(crate) fn stat(host: &Host, page: &mut Page) -> io::Result<()> {
    const LINES: [(&str, &str, &str, &str); 6] = [
        ("btime", "node_boot_time_seconds", "gauge", "When the machine started, Unix seconds."),
        ("ctxt", "node_context_switches_total", "counter", "Context switches."),
        ("processes", "node_forks_total", "counter", "Processes and threads created."),
        ("intr", "node_intr_total", "counter", "Interrupts serviced."),
        ("procs_blocked", "node_procs_blocked", "gauge", "Processes waiting for I/O."),
        ("procs_running", "node_procs_running", "gauge", "Processes that could run."),
    ];
    let text = host.read_proc("stat")?;
    for (line, name, kind, help) in LINES {
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.split(' ').next()?.parse().ok());
        if let Some(value) = value {
            page.single(name, kind, help, value);
        }
    }
    Ok(())
}

pub(crate) fn time(_: &Host, page: &mut Page) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    page.single("node_time_seconds", "gauge", "The machine's clock, Unix seconds.", now.as_secs_f64());
    Ok(())
}

pub(crate) fn uname(_: &Host, page: &mut Page) -> io::Result<()> {
    let uname = rustix::system::uname();
    let fields = [
        ("domainname", uname.domainname()),
        ("machine", uname.machine()),
        ("nodename", uname.nodename()),
        ("release", uname.release()),
        ("sysname", uname.sysname()),
        ("version", uname.version()),
    ]
    .map(|(name, text)| (name, text.to_string_lossy()));
    page.family("node_uname_info", "gauge", "Who this machine is, as uname tells; always 1.");
    page.sample(&fields.each_ref().map(|(name, text)| (*name, text.as_ref())), 1.0);
    Ok(())
}

pub(crate) fn file_descriptors(host: &Host, page: &mut Page) -> io::Result<()> {
    let text = host.read_proc("sys/fs/file-nr")?;
    let mut numbers = text.split_whitespace().filter_map(|n| n.parse().ok());
    if let (Some(allocated), Some(maximum)) = (numbers.next(), numbers.nth(1)) {
        page.single("node_filefd_allocated", "gauge", "File descriptors in use.", allocated);
        page.single("node_filefd_maximum", "gauge", "File descriptors the kernel allows.", maximum);
    }
    Ok(())
}

/// Pressure stall information, <https://docs.kernel.org/accounting/psi.html>; times are microseconds.
pub(crate) fn pressure(host: &Host, page: &mut Page) -> io::Result<()> {
    for resource in ["cpu", "io", "memory"] {
        let text = host.read_proc(&format!("pressure/{resource}"))?;
        for (line, word) in [("some", "waiting"), ("full", "stalled")] {
            // The kernel writes a `full` line for the CPU that has no meaning for the whole machine.
            if (resource, line) == ("cpu", "full") {
                continue;
            }
            let total =
                text.lines().find_map(|l| l.strip_prefix(line)?.rsplit_once("total=")?.1.parse::<f64>().ok());
            if let Some(total) = total {
                let name = format!("node_pressure_{resource}_{word}_seconds_total");
                page.single(
                    &name,
                    "counter",
                    &format!("Seconds processes were {word} for {resource}."),
                    total / 1e6,
                );
            }
        }
    }
    Ok(())
}
