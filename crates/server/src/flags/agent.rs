//! The flags of `novaobs agent`.

use super::{Flag, Kind};

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Value, default, help }
}

/// What is tailed, and where it goes.
pub const FLAGS: &[Flag] = &[
    value("config.file", "", "File in Promtail's format: clients, positions, scrape_configs."),
    Flag {
        name: "path",
        kind: Kind::Values,
        default: "",
        help: "Without a file: pattern of log files, such as '/var/log/*.log'; may be repeated.",
    },
    value("url", "http://localhost:3100/loki/api/v1/push", "Without a file: where lines are pushed to."),
    value("tenant", "", "Without a file: the tenant lines belong to (X-Scope-OrgID)."),
    value("job", "files", "Without a file: the label job of all lines."),
    value("positions", "", "Where positions are kept; default: as the file says, or positions.json."),
    Flag {
        name: "check-syntax",
        kind: Kind::Switch,
        default: "",
        help: "Only say whether the file is right.",
    },
    value("log.level", "info", "Least level of log lines: debug, info, warn or error."),
    value("log.format", "logfmt", "Form of log lines: logfmt or json."),
];
