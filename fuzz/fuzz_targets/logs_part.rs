//! Any bytes as a part of log entries: an error or an answer, no panic.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use novaobs_model::logs::{LineWanted, LogColumns, LogScan, Order, ScanStats, Tenant};
use novaobs_model::select::QueryControl;
use novaobs_parts::{MemoryFile, Part};

fuzz_target!(|bytes: &[u8]| {
    let Ok(part) = Part::open("fuzz", Arc::new(MemoryFile::new(bytes.to_vec()))) else { return };
    let scan = LogScan {
        tenant: Tenant::new("fuzz"),
        start: i64::MIN,
        end: i64::MAX,
        matchers: vec![],
        lines: vec![],
        fields: vec![],
        columns: LogColumns { line: LineWanted::Always, line_bytes: true, metadata: true, fields: vec![] },
        order: Order::Newest,
    };
    let control = QueryControl::unlimited();
    for block in part.plan(&scan, &control).unwrap_or_default() {
        let _ = part.read(&scan, &block, &control, &mut ScanStats::default());
    }
});
