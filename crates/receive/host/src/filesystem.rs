//! `node_filesystem_*`: the mounts of the first process, asked with statvfs.

use std::collections::HashSet;
use std::io;

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use crate::Host;
use crate::page::Page;

/// File systems that hold no files of a user, left out as node_exporter does by default.
const PSEUDO: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "procfs",
];
/// Mount points left out, themselves and what is below them.
const HIDDEN: [&str; 5] = ["/dev", "/proc", "/sys", "/var/lib/docker/", "/var/lib/containers/storage/"];

struct Mount {
    device: String,
    point: String,
    kind: String,
    stats: io::Result<StatVfs>,
}

/// One metric: its name, its help, and how it follows from statvfs.
type Metric = (&'static str, &'static str, fn(&StatVfs) -> f64);
const METRICS: [Metric; 6] = [
    ("node_filesystem_avail_bytes", "Bytes free for ordinary users.", |s| {
        s.f_bavail as f64 * s.f_frsize as f64
    }),
    ("node_filesystem_files", "File nodes in total.", |s| s.f_files as f64),
    ("node_filesystem_files_free", "File nodes free.", |s| s.f_ffree as f64),
    ("node_filesystem_free_bytes", "Bytes free.", |s| s.f_bfree as f64 * s.f_frsize as f64),
    ("node_filesystem_readonly", "Whether it is mounted read-only.", |s| {
        f64::from(u8::from(s.f_flag.contains(StatVfsMountFlags::RDONLY)))
    }),
    ("node_filesystem_size_bytes", "Size in bytes.", |s| s.f_blocks as f64 * s.f_frsize as f64),
];

pub(crate) fn collect(host: &Host, page: &mut Page) -> io::Result<()> {
    // The first process sees the host's mounts where /proc is the host's; a container may not look there.
    let table = host.read_proc("1/mounts").or_else(|_| host.read_proc("self/mounts"))?;
    let mounts = mounts(&table);
    for (name, help, value) in METRICS {
        page.family(name, "gauge", help);
        for mount in &mounts {
            if let Ok(stats) = &mount.stats {
                page.sample(&labels(mount), value(stats));
            }
        }
    }
    page.family("node_filesystem_device_error", "gauge", "Whether the file system could not be asked.");
    for mount in &mounts {
        page.sample(&labels(mount), f64::from(u8::from(mount.stats.is_err())));
    }
    Ok(())
}

fn labels(mount: &Mount) -> [(&'static str, &str); 3] {
    [("device", &mount.device), ("fstype", &mount.kind), ("mountpoint", &mount.point)]
}

fn mounts(table: &str) -> Vec<Mount> {
    let mut seen = HashSet::new();
    let mut mounts = Vec::new();
    for line in table.lines() {
        let mut fields = line.split(' ').map(unescape);
        let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if PSEUDO.contains(&kind.as_str())
            || is_hidden(&point)
            || !seen.insert((device.clone(), point.clone()))
        {
            continue;
        }
        let stats = statvfs(point.as_str()).map_err(io::Error::from);
        mounts.push(Mount { device, point, kind, stats });
    }
    mounts
}

fn is_hidden(point: &str) -> bool {
    HIDDEN.iter().any(|hidden| {
        point
            .strip_prefix(hidden)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || hidden.ends_with('/'))
    }) || point.starts_with("/run/credentials/")
}

/// `/proc/mounts` writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    let mut out = field.to_owned();
    for (escaped, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(escaped, plain);
    }
    out
}
