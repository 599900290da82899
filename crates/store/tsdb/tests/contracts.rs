//! The store through the contracts' conformance suite: from memory, from a part, from merged parts and the
//! log after a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod support;

use std::sync::Arc;

use novaobs_model::{
    AppendError, AppendReport, Labels, Matcher, QueryControl, Sample, SampleSink, SelectError, SelectRequest,
    SeriesCursor, SeriesRef, SeriesSource,
};
use novaobs_tsdb::Tsdb;
use support::{conformance, open};

/// A store in a folder of its own.
struct Owned {
    store: Arc<Tsdb>,
    folder: tempfile::TempDir,
}

fn make() -> Owned {
    let folder = tempfile::tempdir().unwrap();
    Owned { store: open(folder.path()), folder }
}

impl SampleSink for Owned {
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        SampleSink::series(&*self.store, labels, out)
    }
    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        self.store.append(samples)
    }
}

impl SeriesSource for Owned {
    fn select<'a>(
        &'a self,
        request: &SelectRequest,
        control: &'a QueryControl,
    ) -> Result<Box<dyn SeriesCursor + 'a>, SelectError> {
        self.store.select(request, control)
    }
    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        limit: usize,
        control: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError> {
        SeriesSource::series(&*self.store, selectors, start, end, limit, control)
    }
    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_names(selectors, start, end, control)
    }
    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_values(name, selectors, start, end, control)
    }
}

#[test]
fn from_memory() {
    conformance::run(make, |_| {});
}

#[test]
fn from_a_part() {
    conformance::run(make, |owned| owned.store.flush().unwrap());
}

#[test]
fn from_merged_parts_and_after_a_restart() {
    conformance::run(make, |owned| {
        owned.store.flush().unwrap();
        owned.store.run_maintenance().unwrap();
        let copy = tempfile::tempdir().unwrap();
        support::copy_folder(owned.folder.path(), copy.path());
        let again = open(copy.path());
        assert_eq!(support::read_all(&*again), support::read_all(&*owned.store));
    });
}
