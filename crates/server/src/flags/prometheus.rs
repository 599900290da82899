//! The flags of `prometheus`, under the peer's names and with its defaults.

use super::{Flag, Kind};

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Value, default, help }
}
const fn values(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Values, default, help }
}
const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Switch, default: "", help }
}
const fn ignored(name: &'static str) -> Flag {
    Flag { name, kind: Kind::Ignored, default: "", help: "Accepted without effect." }
}
const fn ignored_switch(name: &'static str) -> Flag {
    Flag { name, kind: Kind::IgnoredSwitch, default: "", help: "Accepted without effect." }
}

/// Where the peer finds its files and listens; `serve` has names of its own for these.
pub const PLACES: &[Flag] = &[
    value("config.file", "prometheus.yml", "Configuration file."),
    values("web.listen-address", "0.0.0.0:9090", "Address to listen on; may be repeated."),
    value("storage.tsdb.path", "data/", "Folder of the metrics store."),
    switch("version", "Print the version and exit."),
];

/// Everything else.
pub const FLAGS: &[Flag] = &[
    switch("config.auto-reload", "Reload the configuration when one of its files changes."),
    value("config.auto-reload-interval", "30s", "How often the files are looked at."),
    value(
        "web.external-url",
        "",
        "URL under which others reach this server; its path becomes the route prefix.",
    ),
    value("web.route-prefix", "", "Path in front of all routes; default: the path of --web.external-url."),
    switch("web.enable-lifecycle", "Allow reload and shutdown by HTTP."),
    switch("web.enable-remote-write-receiver", "Accept remote write at /api/v1/write."),
    values(
        "web.remote-write-receiver.accepted-protobuf-messages",
        "prometheus.WriteRequest",
        "Remote write messages to accept; may be repeated.",
    ),
    value("web.page-title", "novaobs", "Title of the pages."),
    value("web.cors.origin", ".*", "Expression of origins that may ask from a browser; fully anchored."),
    value("web.max-connections", "512", "Most connections at one time."),
    value("web.read-timeout", "5m", "How long a request may take to arrive; idle connections end after it."),
    value("web.config.file", "", "File with TLS, basic authentication and headers of the faces."),
    Flag { name: "web.enable-admin-api", kind: Kind::NotBuiltSwitch, default: "", help: "Not built yet." },
    Flag {
        name: "web.enable-otlp-receiver",
        kind: Kind::NotBuiltSwitch,
        default: "",
        help: "Not built yet.",
    },
    ignored("web.console.templates"),
    ignored("web.console.libraries"),
    ignored("web.user-assets"),
    ignored("web.max-notifications-subscribers"),
    value(
        "storage.tsdb.retention.time",
        "",
        "How long samples are kept, such as 30d; the file's storage.tsdb.retention beats it; default 15d unless a size is set.",
    ),
    value(
        "storage.tsdb.retention.size",
        "",
        "Most bytes of stored samples, such as 100GB; the oldest go first.",
    ),
    value("storage.tsdb.retention", "", "Old name of --storage.tsdb.retention.time."),
    switch("storage.tsdb.no-lockfile", "Do not lock the data folder."),
    ignored_switch("storage.tsdb.wal-compression"),
    ignored("storage.tsdb.wal-compression-type"),
    ignored("storage.tsdb.wal-segment-size"),
    ignored("storage.tsdb.min-block-duration"),
    ignored("storage.tsdb.max-block-duration"),
    ignored("storage.tsdb.max-block-chunk-segment-size"),
    ignored("storage.tsdb.head-chunks-write-queue-size"),
    ignored("storage.tsdb.samples-per-chunk"),
    ignored("storage.tsdb.delay-compact-file.path"),
    ignored_switch("storage.tsdb.allow-overlapping-blocks"),
    ignored_switch("storage.tsdb.allow-overlapping-compaction"),
    ignored("storage.remote.flush-deadline"),
    ignored("storage.remote.read-sample-limit"),
    ignored("storage.remote.read-concurrent-limit"),
    ignored("storage.remote.read-max-bytes-in-frame"),
    Flag { name: "agent", kind: Kind::NotBuiltSwitch, default: "", help: "Not built yet." },
    ignored("storage.agent.path"),
    ignored_switch("storage.agent.wal-compression"),
    ignored("storage.agent.retention.min-time"),
    ignored("storage.agent.retention.max-time"),
    ignored_switch("storage.agent.no-lockfile"),
    value("query.lookback-delta", "5m", "How far back an instant selector looks for a sample."),
    value("query.timeout", "2m", "Longest a query may run."),
    value("query.max-concurrency", "20", "Most queries at one time."),
    value("query.max-samples", "50000000", "Most samples one query may hold in memory."),
    value(
        "rules.alert.for-outage-tolerance",
        "1h",
        "Longest outage after which an alert's `for` state is restored.",
    ),
    value(
        "rules.alert.for-grace-period",
        "10m",
        "Least time between a restored `for` state and its alert firing.",
    ),
    value("rules.alert.resend-delay", "1m", "Least time between sending an alert again."),
    value("rules.max-concurrent-evals", "4", "Most rule evaluations at one time."),
    value("alertmanager.notification-queue-capacity", "10000", "Most alerts waiting to be sent."),
    value("alertmanager.notification-batch-size", "256", "Most alerts in one request."),
    Flag {
        name: "alertmanager.drain-notification-queue-on-shutdown",
        kind: Kind::Switch,
        default: "true",
        help: "Send waiting alerts before shutting down.",
    },
    ignored("alertmanager.timeout"),
    values(
        "enable-feature",
        "",
        "Features to switch on, separated by commas; unknown names are warned about.",
    ),
    value("log.level", "info", "Least important log lines to print: debug, info, warn or error."),
    value("log.format", "logfmt", "Form of log lines: logfmt or json."),
    ignored_switch("auto-gomaxprocs"),
    ignored_switch("auto-gomemlimit"),
    ignored("auto-gomemlimit.ratio"),
    ignored("auto-gomemlimit.refresh-interval"),
    value(
        "memory",
        "",
        "Memory the process may use, such as 4GB; default: 60 % of the machine's or the cgroup's.",
    ),
];
