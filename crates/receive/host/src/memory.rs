//! `node_memory_*`: every line of `/proc/meminfo`.

use std::io;

use crate::Host;
use crate::page::Page;

pub(crate) fn meminfo(host: &Host, page: &mut Page) -> io::Result<()> {
    for line in host.read_proc("meminfo")?.lines() {
        let Some((field, rest)) = line.split_once(':') else { continue };
        // `Active(anon)` is exported as `Active_anon`.
        let field = field.replace('(', "_").replace(')', "");
        let mut words = rest.split_whitespace();
        let Some(number) = words.next().and_then(|n| n.parse::<f64>().ok()) else { continue };
        let (name, value) = match words.next() {
            Some("kB") => (format!("node_memory_{field}_bytes"), number * 1024.0),
            _ => (format!("node_memory_{field}"), number),
        };
        page.single(&name, "gauge", &format!("{field} of /proc/meminfo."), value);
    }
    Ok(())
}
