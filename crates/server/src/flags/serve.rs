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
    value("loki.listen", "0.0.0.0:3100", "Address of the Loki face, or off."),
    value("otlp-grpc.listen", "0.0.0.0:4317", "Address of OTLP over gRPC, or off."),
    value("otlp-http.listen", "0.0.0.0:4318", "Address of OTLP over HTTP, or off."),
    value("node.listen", "off", "Address of the host exporter (node_* metrics of this machine), or off."),
    value(
        "prometheus.config",
        "",
        "prometheus.yml; default: deployment/monitoring/prometheus.yml or prometheus.yml where there is one, else only this server is watched.",
    ),
    value(
        "loki.config",
        "",
        "loki.yml; default: deployment/loki/loki-config.yml or loki-config.yml where there is one, else everything is taken and kept 120 days.",
    ),
    value(
        "logs.files",
        "",
        "Log files of this machine to tail: a file in Promtail's format (scrape_configs, without clients).",
    ),
    value(
        "logs.hot-for",
        "30d",
        "Days of logs older than this move to the cold place; 0 keeps them where they are.",
    ),
    value(
        "logs.cold",
        "",
        "Place of cold logs: a folder or a URL (s3://…, gs://…, az://…); default: DATA/logs-cold.",
    ),
    value(
        "logs.max-size",
        "",
        "Most bytes of logs on disk, such as 100GB: the oldest days are deleted above it.",
    ),
    value(
        "alertmanager.config",
        "",
        "alertmanager.yml; default: deployment/monitoring/alertmanager.yml or alertmanager.yml where there is one, else alerts are shown but sent nowhere.",
    ),
];
