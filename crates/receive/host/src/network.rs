//! `node_network_*`: traffic from `/proc/net/dev`, properties from `/sys/class/net`.

use std::io;

use crate::Host;
use crate::page::Page;

/// The sixteen columns of `/proc/net/dev`, in order.
const TRAFFIC: [(&str, &str); 16] = [
    ("receive", "bytes"),
    ("receive", "packets"),
    ("receive", "errs"),
    ("receive", "drop"),
    ("receive", "fifo"),
    ("receive", "frame"),
    ("receive", "compressed"),
    ("receive", "multicast"),
    ("transmit", "bytes"),
    ("transmit", "packets"),
    ("transmit", "errs"),
    ("transmit", "drop"),
    ("transmit", "fifo"),
    ("transmit", "colls"),
    ("transmit", "carrier"),
    ("transmit", "compressed"),
];

pub(crate) fn traffic(host: &Host, page: &mut Page) -> io::Result<()> {
    // The network view of the reading process: /proc/net is a link to self/net.
    let table = host.read_proc("net/dev")?;
    let devices: Vec<(&str, Vec<f64>)> = table
        .lines()
        .filter_map(|line| {
            let (device, numbers) = line.rsplit_once(':')?;
            Some((device.trim(), numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect()))
        })
        .collect();
    for (at, (direction, what)) in TRAFFIC.iter().enumerate() {
        let name = format!("node_network_{direction}_{what}_total");
        page.family(&name, "counter", &format!("Column {what} ({direction}) of /proc/net/dev."));
        for (device, values) in &devices {
            if let Some(value) = values.get(at) {
                page.sample(&[("device", device)], *value);
            }
        }
    }
    Ok(())
}

/// Numeric files of `/sys/class/net/<device>` and what they are exported as.
const PROPERTIES: [(&str, &str, &str, f64); 7] = [
    ("carrier", "node_network_carrier", "gauge", 1.0),
    ("carrier_changes", "node_network_carrier_changes_total", "counter", 1.0),
    ("dormant", "node_network_dormant", "gauge", 1.0),
    ("ifindex", "node_network_iface_id", "gauge", 1.0),
    ("mtu", "node_network_mtu_bytes", "gauge", 1.0),
    // Megabits to bytes per second.
    ("speed", "node_network_speed_bytes", "gauge", 125_000.0),
    ("tx_queue_len", "node_network_transmit_queue_length", "gauge", 1.0),
];

pub(crate) fn devices(host: &Host, page: &mut Page) -> io::Result<()> {
    let mut devices: Vec<String> = std::fs::read_dir(host.sys.join("class/net"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|device| host.sys.join("class/net").join(device).is_dir())
        .collect();
    devices.sort_unstable();
    let read = |device: &str, file: &str| host.read_sys(&format!("class/net/{device}/{file}"));

    page.family("node_network_info", "gauge", "Properties of each device that are no numbers; always 1.");
    for device in &devices {
        let text = |file: &str| read(device, file).unwrap_or_default();
        let labels = [
            ("address", text("address")),
            ("adminstate", admin_state(&text("flags"))),
            ("broadcast", text("broadcast")),
            ("device", device.clone()),
            ("duplex", text("duplex")),
            ("ifalias", text("ifalias")),
            ("operstate", text("operstate")),
        ];
        page.sample(&labels.each_ref().map(|(name, value)| (*name, value.as_str())), 1.0);
    }
    page.family("node_network_up", "gauge", "Whether the device's operstate is up.");
    for device in &devices {
        let up = read(device, "operstate").is_some_and(|state| state == "up");
        page.sample(&[("device", device)], f64::from(u8::from(up)));
    }
    for (file, name, kind, factor) in PROPERTIES {
        page.family(name, kind, &format!("{file} of /sys/class/net."));
        for device in &devices {
            // A link that is down gives no speed, or -1.
            let number = read(device, file).and_then(|text| text.parse::<f64>().ok());
            if let Some(number) = number.filter(|n| file != "speed" || *n >= 0.0) {
                page.sample(&[("device", device)], number * factor);
            }
        }
    }
    Ok(())
}

/// `up` when the flag IFF_UP (bit 0) is set.
fn admin_state(flags: &str) -> String {
    let flags = flags.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match flags {
        Some(flags) if flags & 1 == 1 => "up".to_owned(),
        Some(_) => "down".to_owned(),
        None => String::new(),
    }
}
