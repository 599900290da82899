//! `| distinct a, b` (an extension): lets the first row of each combination of values pass.

use std::collections::HashSet;
use std::sync::Mutex;

use xxhash_rust::xxh3::Xxh3;

use crate::stages::{Context, Outcome, StageRun};

/// The stage; what it saw holds for all streams of the pipeline. A missing label counts as an empty one.
#[derive(Debug)]
pub(crate) struct Distinct {
    names: Vec<String>,
    /// 128-bit hashes of combinations.
    seen: Mutex<HashSet<u128>>,
}

impl Distinct {
    /// By these labels.
    pub(crate) fn new(names: &[String]) -> Self {
        Distinct { names: names.to_vec(), seen: Mutex::default() }
    }
}

impl StageRun for Distinct {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        let mut hasher = Xxh3::new();
        for name in &self.names {
            hasher.update(row.labels.get(name).unwrap_or("").as_bytes());
            hasher.update(&[0xff]);
        }
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Outcome::keep_if(seen.insert(hasher.digest128()))
    }

    fn reads(&self, names: &mut Vec<String>) {
        names.extend_from_slice(&self.names);
    }
}
