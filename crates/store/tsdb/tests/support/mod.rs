//! What the store's tests share: opening, writing and reading in few words.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its share")]

pub mod conformance;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use novaobs_model::{
    AppendReport, Labels, Matcher, QueryControl, Sample, SampleSink, SelectRequest, SeriesRef, SeriesSamples,
    SeriesSource,
};
use novaobs_tsdb::{Options, Tsdb};

/// Labels to (time, value bits).
pub type Content = BTreeMap<String, BTreeMap<i64, u64>>;

/// A store without threads of its own.
pub fn open(folder: &Path) -> Arc<Tsdb> {
    open_with(folder, |_| {})
}

pub fn open_with(folder: &Path, change: impl FnOnce(&mut Options<'_>)) -> Arc<Tsdb> {
    let registry = prometheus::Registry::new();
    let mut options = Options::new(&registry);
    options.background = false;
    options.retention_time = None;
    change(&mut options);
    Tsdb::open(folder, options).unwrap()
}

pub fn labels(text: &str) -> Labels {
    let (name, rest) = text.split_once('{').unwrap_or((text, ""));
    let pairs = rest.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    Labels::from_pairs(pairs.chain([("__name__", name)]))
}

pub fn resolve(store: &impl SampleSink, texts: &[&str]) -> Vec<SeriesRef> {
    let sets: Vec<Labels> = texts.iter().map(|text| labels(text)).collect();
    let mut refs = Vec::new();
    store.series(&sets, &mut refs).unwrap();
    refs
}

pub fn append(store: &impl SampleSink, samples: &[(SeriesRef, i64, f64)]) -> AppendReport {
    let samples: Vec<Sample> =
        samples.iter().map(|&(series, timestamp, value)| Sample { series, timestamp, value }).collect();
    store.append(&samples).unwrap()
}

pub fn read(store: &impl SeriesSource, matchers: &[Matcher], start: i64, end: i64) -> Content {
    let control = QueryControl::unlimited();
    let request = SelectRequest { matchers: matchers.to_vec(), start, end };
    let mut cursor = store.select(&request, &control).unwrap();
    let mut out = SeriesSamples::default();
    let mut content = Content::new();
    while cursor.next(&mut out).unwrap() {
        assert!(
            out.samples.timestamps.is_sorted_by(|a, b| a < b),
            "times ascend: {:?}",
            out.samples.timestamps
        );
        assert!(!out.samples.is_empty(), "a series without samples is left out");
        let samples = out.samples.iter().map(|(time, value)| (time, value.to_bits())).collect();
        let before = content.insert(out.labels.to_string(), samples);
        assert!(before.is_none(), "{} came twice", out.labels);
    }
    content
}

pub fn read_all(store: &impl SeriesSource) -> Content {
    read(store, &[], i64::MIN, i64::MAX)
}

/// Copies the files of a store as a crash would leave them.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

pub fn files(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
    found.sort();
    found
}
