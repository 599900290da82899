//! The flags of `novaobs query`.

use super::{Flag, Kind};

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Value, default, help }
}

/// Where a query goes, and how its answer is shown.
pub const FLAGS: &[Flag] = &[
    value("query", "", "The query; may stand without its name behind the language."),
    value("url", "http://localhost:3000", "The server that is asked."),
    value("tenant", "", "Whose logs are asked for (X-Scope-OrgID)."),
    value("format", "table", "How rows are shown: table, csv, json, ndjson or arrow."),
    value("timeout", "5m", "How long the answer may take."),
];
