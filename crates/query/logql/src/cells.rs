//! What is kept of the rows of one series in one cell, and the sum of neighbouring cells.

use crate::window::Windows;

/// When a row was: its time, and its place in the scan for rows of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// Unix nanoseconds.
    pub(crate) time: i64,
    /// Ascending within a scan.
    pub(crate) place: u64,
}

/// What is kept of some rows, mergeable.
pub(crate) trait Accumulator: Clone + Send {
    /// Of one row.
    fn of(at: Stamp, value: f64) -> Self;
    /// Takes in another.
    fn merge(&mut self, other: &Self);
    /// Bytes of memory behind it.
    fn heap(&self) -> usize {
        0
    }
}

/// Rows, or bytes: exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Count(pub(crate) u64);

impl Accumulator for Count {
    fn of(_at: Stamp, value: f64) -> Self {
        Count(value as u64)
    }
    fn merge(&mut self, other: &Self) {
        self.0 += other.0;
    }
}

/// A sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum(pub(crate) f64);

impl Accumulator for Sum {
    fn of(_at: Stamp, value: f64) -> Self {
        Sum(value)
    }
    fn merge(&mut self, other: &Self) {
        self.0 += other.0;
    }
}

/// The least; NaN only when there is nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Least(pub(crate) f64);

impl Accumulator for Least {
    fn of(_at: Stamp, value: f64) -> Self {
        Least(value)
    }
    fn merge(&mut self, other: &Self) {
        if other.0 < self.0 || self.0.is_nan() {
            self.0 = other.0;
        }
    }
}

/// The greatest; NaN only when there is nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greatest(pub(crate) f64);

impl Accumulator for Greatest {
    fn of(_at: Stamp, value: f64) -> Self {
        Greatest(value)
    }
    fn merge(&mut self, other: &Self) {
        if other.0 > self.0 || self.0.is_nan() {
            self.0 = other.0;
        }
    }
}

/// Number, mean and sum of squared distances from it (Welford; merged as Chan, Golub and LeVeque do).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Accumulator for Moments {
    fn of(_at: Stamp, value: f64) -> Self {
        Moments { count: 1.0, mean: value, squares: 0.0 }
    }
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.mean += delta * (other.count / count);
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.count = count;
    }
}

/// The first row's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earliest(pub(crate) Stamp, pub(crate) f64);

impl Accumulator for Earliest {
    fn of(at: Stamp, value: f64) -> Self {
        Earliest(at, value)
    }
    fn merge(&mut self, other: &Self) {
        if other.0 < self.0 {
            *self = *other;
        }
    }
}

/// The last row's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest(pub(crate) Stamp, pub(crate) f64);

impl Accumulator for Latest {
    fn of(at: Stamp, value: f64) -> Self {
        Latest(at, value)
    }
    fn merge(&mut self, other: &Self) {
        if other.0 > self.0 {
            *self = *other;
        }
    }
}

/// All values, in no order.
#[derive(Clone, Debug)]
pub(crate) struct Bag(pub(crate) Vec<f64>);

impl Accumulator for Bag {
    fn of(_at: Stamp, value: f64) -> Self {
        Bag(vec![value])
    }
    fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }
    fn heap(&self) -> usize {
        self.0.len() * size_of::<f64>()
    }
}

/// What is kept of one series, by cell; only cells with rows are there.
#[derive(Clone, Debug)]
pub(crate) struct Cells<A> {
    /// The cell rows were last added to. It stands here so that adding touches no other memory.
    current: Option<(u64, A)>,
    /// Cells as rows came: a stream's are ascending, and with each stream they begin anew until
    /// [`Cells::tidy`] has been.
    entries: Vec<(u64, A)>,
    /// Length at which to tidy.
    full: u32,
}

/// Least length at which to tidy.
const LEAST_FULL: u32 = 64;

impl<A> Default for Cells<A> {
    fn default() -> Self {
        Cells { current: None, entries: Vec::new(), full: LEAST_FULL }
    }
}

impl<A: Accumulator> Cells<A> {
    /// Adds to a cell; returns about how many bytes it grew by.
    pub(crate) fn add(&mut self, cell: u64, more: A) -> usize {
        let heap = more.heap();
        if let Some((current, sum)) = &mut self.current
            && *current == cell
        {
            sum.merge(&more);
            return heap;
        }
        self.set_aside();
        self.current = Some((cell, more));
        size_of::<(u64, A)>() + heap
    }

    /// Moves the current cell to the others.
    fn set_aside(&mut self) {
        let Some(done) = self.current.take() else { return };
        self.entries.push(done);
        if self.entries.len() >= self.full as usize {
            self.sort();
            self.full = u32::try_from(self.entries.len() * 2).unwrap_or(u32::MAX).max(LEAST_FULL);
        }
    }

    /// Takes in another series' cells.
    pub(crate) fn absorb(&mut self, mut other: Cells<A>) {
        other.set_aside();
        match other.entries.as_slice() {
            [(cell, sum)] => drop(self.add(*cell, sum.clone())),
            _ => self.entries.extend(other.entries),
        }
    }

    /// Sorts by cell and merges entries of the same one.
    pub(crate) fn tidy(&mut self) {
        if let Some(done) = self.current.take() {
            self.entries.push(done);
        }
        self.sort();
    }

    fn sort(&mut self) {
        if self.entries.is_sorted_by(|a, b| a.0 < b.0) {
            return;
        }
        self.entries.sort_by_key(|(cell, _)| *cell);
        let mut merged: Vec<(u64, A)> = Vec::with_capacity(self.entries.len());
        for (cell, sum) in self.entries.drain(..) {
            match merged.last_mut() {
                Some((last, before)) if *last == cell => before.merge(&sum),
                _ => merged.push((cell, sum)),
            }
        }
        self.entries = merged;
    }

    /// Calls `each` with every step whose window has rows and what its cells merge to, in time O(cells +
    /// steps): a queue of two stacks, whose front keeps sums up to its end.
    pub(crate) fn windows(mut self, windows: &Windows, mut each: impl FnMut(u32, &A)) {
        self.tidy();
        let entries = &self.entries;
        // Sums of entries[i..split] for the i of the front, back to front.
        let mut front: Vec<A> = Vec::new();
        let mut back: Option<A> = None;
        let (mut first, mut split, mut next) = (0usize, 0usize, 0usize);
        let mut step = 0u32;
        while step < windows.count() {
            let cells = windows.cells(step);
            while let Some((_, sum)) = entries.get(next).filter(|(cell, _)| *cell < cells.end) {
                match &mut back {
                    Some(back) => back.merge(sum),
                    None => back = Some(sum.clone()),
                }
                next += 1;
            }
            while first < next && entries.get(first).is_some_and(|(cell, _)| *cell < cells.start) {
                if front.is_empty() {
                    for (_, sum) in entries.get(split..next).unwrap_or_default().iter().rev() {
                        let mut whole = sum.clone();
                        if let Some(later) = front.last() {
                            whole.merge(later);
                        }
                        front.push(whole);
                    }
                    (split, back) = (next, None);
                }
                front.pop();
                first += 1;
            }
            if first < next {
                match (front.last(), &back) {
                    (Some(front), Some(back)) => {
                        let mut whole = front.clone();
                        whole.merge(back);
                        each(step, &whole);
                    }
                    (Some(one), None) | (None, Some(one)) => each(step, one),
                    (None, None) => {}
                }
                step += 1;
                continue;
            }
            let Some((cell, _)) = entries.get(next) else { return };
            step = windows.first_step_reaching(*cell).max(step + 1);
        }
    }

    /// Like [`Cells::windows`] with the entries of each window as they are, for what is costly to merge.
    pub(crate) fn slices(mut self, windows: &Windows, mut each: impl FnMut(u32, &[(u64, A)])) {
        self.tidy();
        let mut step = 0u32;
        let (mut first, mut next) = (0usize, 0usize);
        while step < windows.count() {
            let cells = windows.cells(step);
            while self.entries.get(next).is_some_and(|(cell, _)| *cell < cells.end) {
                next += 1;
            }
            while first < next && self.entries.get(first).is_some_and(|(cell, _)| *cell < cells.start) {
                first += 1;
            }
            match self.entries.get(first..next) {
                Some(slice) if !slice.is_empty() => {
                    each(step, slice);
                    step += 1;
                }
                _ => {
                    let Some((cell, _)) = self.entries.get(next) else { return };
                    step = windows.first_step_reaching(*cell).max(step + 1);
                }
            }
        }
    }
}

impl Cells<Bag> {
    /// Adds a value to a cell, without a list of its own for it; returns the bytes grown by.
    pub(crate) fn add_value(&mut self, cell: u64, value: f64) -> usize {
        match &mut self.current {
            Some((current, bag)) if *current == cell => {
                bag.0.push(value);
                size_of::<f64>()
            }
            _ => self.add(cell, Bag(vec![value])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Steps;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_are_the_rows_inside(
            times in proptest::collection::vec(0i64..300, 0..60),
            count in 1u32..12, step in 1i64..30, range in 1i64..90,
        ) {
            let steps = Steps::new(40, 40 + i64::from(count - 1) * step, step).unwrap();
            let windows = Windows::new(steps, range, 0);
            let mut cells: Cells<Bag> = Cells::default();
            for time in &times {
                if let Some(cell) = windows.locate(*time) {
                    cells.add(cell.index, Bag::of(Stamp { time: *time, place: 0 }, *time as f64));
                }
            }
            let mut want: Vec<(u32, Vec<f64>)> = Vec::new();
            for i in 0..count {
                let end = steps.time(i);
                let mut inside: Vec<f64> =
                    times.iter().filter(|t| end - range < **t && **t <= end).map(|t| *t as f64).collect();
                inside.sort_by(f64::total_cmp);
                if !inside.is_empty() {
                    want.push((i, inside));
                }
            }
            let mut got = Vec::new();
            cells.clone().windows(&windows, |step, bag| {
                let mut values = bag.0.clone();
                values.sort_by(f64::total_cmp);
                got.push((step, values));
            });
            prop_assert_eq!(&got, &want);
            let mut sliced = Vec::new();
            cells.slices(&windows, |step, entries| {
                let mut values: Vec<f64> = entries.iter().flat_map(|(_, bag)| bag.0.clone()).collect();
                values.sort_by(f64::total_cmp);
                sliced.push((step, values));
            });
            prop_assert_eq!(&sliced, &want);
        }
    }
}
