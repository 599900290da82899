//! The host exporter: what `/proc` and `/sys` say about this machine, under node_exporter's names.
//!
//! [`Host::render`] reads the files and writes one page of the Prometheus text format (0.0.4). Each
//! collector is a module; one that fails (a file that is missing in a container, say) sets
//! `node_scrape_collector_success` to 0 and costs only its own metrics.
//!
//! ```
//! let page = novaobs_host::Host::default().render();
//! assert!(page.contains("node_scrape_collector_success{collector=\"cpu\"}"));
//! ```

mod cpu;
mod disk;
mod filesystem;
mod memory;
mod network;
mod page;
mod system;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use page::Page;

/// Where the kernel's files are mounted.
#[derive(Clone, Debug)]
pub struct Host {
    proc: PathBuf,
    sys: PathBuf,
}

/// Name and function of each collector, in the order of the page.
type Collector = fn(&Host, &mut Page) -> io::Result<()>;
const COLLECTORS: [(&str, Collector); 12] = [
    ("cpu", cpu::collect),
    ("diskstats", disk::collect),
    ("filefd", system::file_descriptors),
    ("filesystem", filesystem::collect),
    ("loadavg", system::load),
    ("meminfo", memory::meminfo),
    ("netdev", network::traffic),
    ("netclass", network::devices),
    ("pressure", system::pressure),
    ("stat", system::stat),
    ("time", system::time),
    ("uname", system::uname),
];

impl Default for Host {
    /// The running machine: `/proc` and `/sys`.
    fn default() -> Self {
        Host::new("/proc", "/sys")
    }
}

impl Host {
    /// A host whose kernel files are found under other paths (a mounted host in a container, a fixture).
    pub fn new(proc: impl Into<PathBuf>, sys: impl Into<PathBuf>) -> Self {
        Host { proc: proc.into(), sys: sys.into() }
    }

    /// One scrape: the page in text format 0.0.4. Reads small kernel files; blocks for about a millisecond,
    /// longer when a network file system hangs.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        let mut outcomes = Vec::with_capacity(COLLECTORS.len());
        for (name, collect) in COLLECTORS {
            let started = Instant::now();
            let outcome = collect(self, &mut page);
            outcomes.push((name, started.elapsed().as_secs_f64(), outcome.is_ok()));
        }
        page.family("node_scrape_collector_duration_seconds", "gauge", "How long each collector took.");
        for (name, seconds, _) in &outcomes {
            page.sample(&[("collector", name)], *seconds);
        }
        page.family("node_scrape_collector_success", "gauge", "Whether each collector could read its files.");
        for (name, _, ok) in &outcomes {
            page.sample(&[("collector", name)], f64::from(u8::from(*ok)));
        }
        page.into_text()
    }

    /// The text of a file under `/proc`.
    fn read_proc(&self, name: &str) -> io::Result<String> {
        std::fs::read_to_string(self.proc.join(name))
    }

    /// The trimmed text of a file under `/sys`; `None` when it is missing or refuses to be read (as link
    /// attributes do while the link is down).
    fn read_sys(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.sys.join(name)).ok()?;
        Some(text.trim().to_owned())
    }
}
