//! The flags of `novaobs serve` and `novaobs demo`.

use super::{Flag, Kind};

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Value, default, help }
}

/// Folders, files and faces. A face is moved by its `.listen` flag and left out with `off`.
pub const FLAGS: &[Flag] = &[
    value("data", "data", "Folder everything is stored in."),
    value("grafana.listen", "0.0.0.0:3000", "Address of the pages, or off."),
    value("prometheus.listen", "0.0.0.0:9090", "Address of the Prometheus face, or off."),
    value("alertmanager.listen", "0.0.0.0:9093", "Address of the Alertmanager face, or off."),
    value("node.listen", "off", "Address of the host exporter (node_* metrics of this machine), or off."),
    value(
        "prometheus.config",
        "",
        "prometheus.yml; default: deployment/monitoring/prometheus.yml or prometheus.yml where there is one, else only this server is watched.",
    ),
    value(
        "alertmanager.config",
        "",
        "alertmanager.yml; default: deployment/monitoring/alertmanager.yml or alertmanager.yml where there is one, else alerts are shown but sent nowhere.",
    ),
];
