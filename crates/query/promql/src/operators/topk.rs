//! Aggregations that pass some of their input on: topk, bottomk, limitk, limit_ratio.

use std::collections::HashMap;

use novaobs_model::{Labels, Lease};
use novaobs_promql_parser::ast::AggregateOp;
use xxhash_rust::xxh64::xxh64;

use crate::result::QueryError;
use crate::row::{Column, Row, Timeline};
use crate::run::{Run, Tally};
use crate::stream::{Grouping, Operator, Stream};

/// Chooses up to k series per group at each step.
pub(crate) struct TopK<'q> {
    run: &'q Run<'q>,
    input: Stream<'q>,
    op: AggregateOp,
    grouping: Grouping,
    k: Column,
    timeline: Timeline,
    memory: Lease,
    chosen: Option<std::vec::IntoIter<Row>>,
    tally: Tally<'q>,
}

/// A sample that may be among the chosen: value and number of its series.
type Candidate = (f64, usize);

impl<'q> TopK<'q> {
    /// `op` is topk, bottomk or limitk; `k` was checked.
    pub(crate) fn new(
        run: &'q Run<'q>,
        input: Stream<'q>,
        op: AggregateOp,
        grouping: Grouping,
        k: Column,
        timeline: Timeline,
    ) -> Result<Self, QueryError> {
        let memory = run.memory()?;
        Ok(TopK { run, input, op, grouping, k, timeline, memory, chosen: None, tally: run.tally() })
    }

    fn choose(&mut self) -> Result<Vec<Row>, QueryError> {
        let steps = self.timeline.count;
        let limits: Vec<usize> = (0..steps).map(|step| self.k.at(step).max(0.0) as usize).collect();
        let mut labels: Vec<Labels> = Vec::new();
        let mut groups: Vec<Vec<Vec<Candidate>>> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut row = Row::default();
        while self.input.next(&mut row)? {
            self.run.control.check()?;
            let key = self.grouping.apply(&row.labels);
            let place = match places.get(&key) {
                Some(place) => *place,
                None => {
                    self.memory.grow((steps * 24 + key.heap_bytes() * 2 + 64) as u64)?;
                    places.insert(key, groups.len());
                    groups.push(vec![Vec::new(); steps]);
                    groups.len() - 1
                }
            };
            let Some(group) = groups.get_mut(place) else { continue };
            let mut grown = 0;
            for (step, value) in row.iter() {
                if let (Some(heap), Some(limit)) = (group.get_mut(step), limits.get(step)) {
                    grown += usize::from(heap.len() < *limit);
                    offer(self.op, heap, *limit, (value, labels.len()));
                }
            }
            self.memory.grow((grown * 16 + row.labels.heap_bytes() + 16) as u64)?;
            labels.push(row.labels.clone());
        }
        self.assemble(labels, groups)
    }

    /// The chosen samples as rows, group by group, each in its order at the first step it appears.
    fn assemble(
        &mut self,
        labels: Vec<Labels>,
        groups: Vec<Vec<Vec<Candidate>>>,
    ) -> Result<Vec<Row>, QueryError> {
        let mut rows: Vec<Row> = Vec::new();
        let mut row_of: HashMap<usize, usize> = HashMap::new();
        for group in groups {
            for (step, mut heap) in group.into_iter().enumerate() {
                match self.op {
                    AggregateOp::TopK => heap.sort_by(|a, b| best_first(b.0, a.0, a.0, b.0)),
                    AggregateOp::BottomK => heap.sort_by(|a, b| best_first(a.0, b.0, a.0, b.0)),
                    _ => {}
                }
                for (value, series) in heap {
                    let place = match row_of.get(&series) {
                        Some(place) => *place,
                        None => {
                            let labels = labels.get(series).cloned().unwrap_or_default();
                            let row = Row::new(labels, self.timeline.count);
                            self.memory.grow(row.bytes())?;
                            rows.push(row);
                            row_of.insert(series, rows.len() - 1);
                            rows.len() - 1
                        }
                    };
                    if let Some(row) = rows.get_mut(place) {
                        row.set(step, value);
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// The order `low` before `high`, and NaN (of `a`, `b`) behind all.
fn best_first(low: f64, high: f64, a: f64, b: f64) -> std::cmp::Ordering {
    low.partial_cmp(&high).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Offers a candidate to the heap of the best so far, the worst of which is on top. Ties are resolved as
/// by Go's `container/heap`, which decides which of equal series the peer shows.
fn offer(op: AggregateOp, heap: &mut Vec<Candidate>, limit: usize, candidate: Candidate) {
    let worse = |a: Candidate, b: Candidate| match op {
        AggregateOp::TopK => a.0.is_nan() || a.0 < b.0,
        _ => a.0.is_nan() || a.0 > b.0,
    };
    if heap.len() < limit {
        heap.push(candidate);
        if op != AggregateOp::LimitK {
            sift_up(heap, worse);
        }
        return;
    }
    if op == AggregateOp::LimitK {
        return;
    }
    let Some(top) = heap.first_mut() else { return };
    let better = match op {
        AggregateOp::TopK => top.0 < candidate.0,
        _ => top.0 > candidate.0,
    };
    if better || (top.0.is_nan() && !candidate.0.is_nan()) {
        *top = candidate;
        sift_down(heap, worse);
    }
}

fn sift_up(heap: &mut [Candidate], less: impl Fn(Candidate, Candidate) -> bool) {
    let mut child = heap.len().saturating_sub(1);
    while child > 0 {
        let parent = (child - 1) / 2;
        match (heap.get(child), heap.get(parent)) {
            (Some(low), Some(high)) if less(*low, *high) => heap.swap(child, parent),
            _ => return,
        }
        child = parent;
    }
}

fn sift_down(heap: &mut [Candidate], less: impl Fn(Candidate, Candidate) -> bool) {
    let mut parent = 0;
    loop {
        let mut child = 2 * parent + 1;
        let Some(left) = heap.get(child).copied() else { return };
        if let Some(right) = heap.get(child + 1).copied()
            && less(right, left)
        {
            child += 1;
        }
        match (heap.get(child), heap.get(parent)) {
            (Some(low), Some(high)) if less(*low, *high) => heap.swap(child, parent),
            _ => return,
        }
        parent = child;
    }
}

impl Operator for TopK<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.chosen.is_none() {
            self.chosen = Some(self.choose()?.into_iter());
        }
        let Some(next) = self.chosen.as_mut().and_then(Iterator::next) else { return Ok(false) };
        *row = next;
        self.tally.add_row(row)?;
        Ok(true)
    }
}

/// limit_ratio: a share of the series, chosen by a hash of their labels.
pub(crate) struct LimitRatio<'q> {
    input: Stream<'q>,
    ratio: Column,
    tally: Tally<'q>,
}

impl<'q> LimitRatio<'q> {
    /// `ratio` between -1 and 1; a negative one chooses what the positive complement leaves out.
    pub(crate) fn new(run: &'q Run<'q>, input: Stream<'q>, ratio: Column) -> Self {
        LimitRatio { input, ratio, tally: run.tally() }
    }
}

impl Operator for LimitRatio<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        while self.input.next(row)? {
            let offset = hash(&row.labels) as f64 / u64::MAX as f64;
            let ratio = &self.ratio;
            row.present.retain(|step| {
                let ratio = ratio.at(step).clamp(-1.0, 1.0);
                if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
            });
            if !row.present.is_empty() {
                self.tally.add_row(row)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The peer's hash of a label set: XXH64 over each name and value behind its length, which is one byte, or
/// 255 and three bytes (little endian) from 255 on.
fn hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < 255 => bytes.push(length),
            _ => {
                bytes.push(255);
                bytes.extend(text.len().to_le_bytes().into_iter().take(3));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes, 0)
}
