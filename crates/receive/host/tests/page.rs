//! A fixed machine in, its page out.

use novaobs_host::Host;

fn samples(host: &Host) -> Vec<String> {
    let clock_or_machine = ["node_time_seconds", "node_uname_info", "node_scrape_collector_duration_seconds"];
    host.render()
        .lines()
        .filter(|line| !line.starts_with('#') && !clock_or_machine.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn exports_a_machine_under_node_exporters_names() {
    let root = env!("CARGO_MANIFEST_DIR");
    let host = Host::new(format!("{root}/tests/fixture/proc"), format!("{root}/tests/fixture/sys"));
    let got = samples(&host);
    let want = |line: &str| assert!(got.iter().any(|l| l == line), "{line} is missing from {got:#?}");
    want(r#"node_cpu_seconds_total{cpu="1",mode="user"} 2"#);
    want(r#"node_cpu_seconds_total{cpu="0",mode="softirq"} 0.05"#);
    want(r#"node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.02"#);
    want("node_memory_MemTotal_bytes 1048576");
    want("node_memory_Active_anon_bytes 10240");
    want("node_memory_HugePages_Total 7");
    want(r#"node_disk_read_bytes_total{device="vda"} 51200"#);
    want(r#"node_disk_io_time_seconds_total{device="vda"} 0.07"#);
    want(r#"node_disk_flush_requests_total{device="vda"} 4"#);
    want(r#"node_disk_reads_completed_total{device="nvme0n1"} 7"#);
    want(r#"node_network_receive_bytes_total{device="eth0"} 1000"#);
    want(r#"node_network_transmit_errs_total{device="eth0"} 6"#);
    want(r#"node_network_speed_bytes{device="eth0"} 125000000"#);
    want(r#"node_network_up{device="eth0"} 1"#);
    want(r#"node_filesystem_device_error{device="tmpfs",fstype="tmpfs",mountpoint="/no/such place"} 1"#);
    want("node_load5 1.25");
    want("node_boot_time_seconds 1700000000");
    want("node_intr_total 12345");
    want("node_filefd_maximum 9000");
    want("node_pressure_io_stalled_seconds_total 0.5");
    want(r#"node_scrape_collector_success{collector="filesystem"} 1"#);
    for absent in ["vda1", "loop0", "overlay", "node_pressure_cpu_stalled"] {
        assert!(!got.iter().any(|line| line.contains(absent)), "{absent} should be left out");
    }
}

#[test]
fn a_missing_file_costs_only_its_own_collector() {
    let got = samples(&Host::new("/no/such/proc", "/no/such/sys"));
    assert!(got.contains(&r#"node_scrape_collector_success{collector="cpu"} 0"#.to_owned()), "{got:#?}");
    assert!(got.contains(&r#"node_scrape_collector_success{collector="time"} 1"#.to_owned()), "{got:#?}");
}
