//! The `.test` files over part files of the event store, and over rows the store still has in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use novaobs_logql::run;
use novaobs_model::logs::{LogBatch, LogCursor, LogScan, LogSource, LogStats, LogStream, ScanStats, Tenant};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, Matcher, SelectError};
use novaobs_parts::{MemoryFile, Part};
use support::script::{Command, answer, read};
use support::source::{Kind, Memory};

/// Streams in one part, or in memory.
struct Store {
    part: Option<Arc<Part>>,
    streams: Memory,
}

impl Store {
    fn new(streams: &[LogStream], in_part: bool) -> Store {
        let part = in_part.then(|| {
            let mut bytes = Vec::new();
            novaobs_parts::write(streams, &mut bytes).unwrap();
            Part::open("test", Arc::new(MemoryFile::new(bytes))).unwrap()
        });
        Store { part, streams: Memory::new(streams.to_vec(), Kind::Text, 100) }
    }
}

struct Batches(std::vec::IntoIter<LogBatch>);

impl LogCursor for Batches {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        Ok(self.0.next())
    }
    fn bound(&mut self, _start: i64, _end: i64) {}
    fn stats(&self) -> ScanStats {
        ScanStats::default()
    }
}

impl LogSource for Store {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        let mut batches = Vec::new();
        match &self.part {
            Some(part) => {
                for block in part.plan(scan, control).unwrap() {
                    batches.extend(part.read(scan, &block, control, &mut ScanStats::default()).unwrap());
                }
            }
            None => batches = novaobs_parts::scan_rows(&self.streams.streams, scan, 7),
        }
        Ok(Box::new(Batches(batches.into_iter())))
    }

    fn streams(
        &self,
        tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        self.streams.streams(tenant, selectors, start, end, control, each)
    }
}

#[test]
fn the_store_gives_what_the_cases_expect() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut streams = Vec::new();
        let mut stores: Option<[Store; 2]> = None;
        for command in read(&text) {
            match command {
                Command::Other(_) => {}
                Command::Clear => (streams, stores) = (Vec::new(), None),
                Command::Load { stream, .. } => {
                    streams.push(stream);
                    stores = None;
                }
                Command::Eval { head, case, expected } => {
                    let stores =
                        stores.get_or_insert_with(|| [true, false].map(|part| Store::new(&streams, part)));
                    for (store, place) in stores.iter().zip(["part", "memory"]) {
                        let got = answer(&case, store, run);
                        if got != expected {
                            failures.push(format!(
                                "{place}: {head}\n got\n{}\n not\n{}",
                                got.join("\n"),
                                expected.join("\n")
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}
