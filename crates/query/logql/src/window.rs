//! The windows of a range aggregation, and the cells they are made of.
//!
//! Step `i` of a query looks at `(t - range, t]`. Windows overlap when the step is shorter than the range, so
//! time is cut at every start and end of a window: each row then lies in one cell, and a window is a run of
//! neighbouring cells.

use std::ops::Range;

/// The times a metric query is evaluated at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Unix nanoseconds of the first.
    pub(crate) start: i64,
    /// Nanoseconds from one to the next, more than 0.
    pub(crate) step: i64,
    /// How many.
    pub(crate) count: u32,
}

impl Steps {
    /// From `start` to `end`, both in; one step when `step` is 0. `None` when there are over four billion.
    pub(crate) fn new(start: i64, end: i64, step: i64) -> Option<Steps> {
        if step <= 0 || end <= start {
            return Some(Steps { start, step: 1, count: 1 });
        }
        let count = (i128::from(end) - i128::from(start)) / i128::from(step) + 1;
        Some(Steps { start, step, count: u32::try_from(count).ok()? })
    }

    /// Unix nanoseconds of a step.
    pub(crate) fn time(&self, step: u32) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(i64::from(step)))
    }
}

/// One piece of time that no window begins or ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Its number, by time.
    pub(crate) index: u64,
    /// Unix nanoseconds, exclusive.
    pub(crate) low: i64,
    /// Unix nanoseconds, inclusive.
    pub(crate) high: i64,
}

/// Windows of equal length at the steps of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Where the first window begins, exclusive.
    low: i128,
    step: i128,
    range: i128,
    count: u32,
    /// Cells from the start of one window to that of the next.
    stride: u64,
    /// Cells of a window.
    length: u64,
}

impl Windows {
    /// Windows of `range` nanoseconds (more than 0) that end `offset` before each step.
    pub(crate) fn new(steps: Steps, range: i64, offset: i64) -> Windows {
        let (step, range) = (i128::from(steps.step.max(1)), i128::from(range.max(1)));
        let low = i128::from(steps.start) - i128::from(offset) - range;
        // With a single step there is nothing to overlap with.
        let (step, stride, length) = if steps.count == 1 || step >= range {
            (step.max(range), 1, 1)
        } else if range % step == 0 {
            (step, 1, (range / step) as u64)
        } else {
            (step, 2, 2 * (range / step) as u64 + 1)
        };
        Windows { low, step, range, count: steps.count, stride, length }
    }

    /// Unix nanoseconds of all windows together: the first in, the last out.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        let high = self.low + self.range + self.step * i128::from(self.count - 1);
        (clamp(self.low + 1), clamp(high + 1))
    }

    /// The cell a time lies in; `None` between and outside of windows.
    pub(crate) fn locate(&self, time: i64) -> Option<Cell> {
        let since = i128::from(time) - self.low - 1;
        if since < 0 {
            return None;
        }
        let (at, within) = (since / self.step, since % self.step);
        let start = self.low + at * self.step;
        let at = u64::try_from(at).ok()?;
        let rest = self.range % self.step;
        let (index, low, high) = if self.length == 1 {
            if within >= self.range {
                return None;
            }
            (at, start, start + self.range)
        } else if self.stride == 1 {
            (at, start, start + self.step)
        } else if within < rest {
            (2 * at, start, start + rest)
        } else {
            (2 * at + 1, start + rest, start + self.step)
        };
        if index >= u64::from(self.count - 1) * self.stride + self.length {
            return None;
        }
        Some(Cell { index, low: clamp(low), high: clamp(high) })
    }

    /// The cells of a step's window.
    pub(crate) fn cells(&self, step: u32) -> Range<u64> {
        let first = u64::from(step) * self.stride;
        first..first + self.length
    }

    /// The first step whose window has a cell or a later one.
    pub(crate) fn first_step_reaching(&self, cell: u64) -> u32 {
        let behind = (cell + 1).saturating_sub(self.length).div_ceil(self.stride);
        u32::try_from(behind).unwrap_or(u32::MAX)
    }

    /// A step's window in time: the first nanosecond out, the last in.
    pub(crate) fn span(&self, step: u32) -> (i64, i64) {
        let low = self.low + self.step * i128::from(step);
        (clamp(low), clamp(low + self.range))
    }

    /// How many windows a row lies in at most.
    pub(crate) fn overlap(&self) -> u64 {
        u64::try_from((self.range - 1) / self.step + 1).unwrap_or(u64::MAX).min(u64::from(self.count))
    }

    /// How many steps there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

fn clamp(time: i128) -> i64 {
    time.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cell_is_in_exactly_the_windows_its_times_are_in(
            start in -50i64..50, count in 1u32..8, step in 1i64..20, range in 1i64..60, offset in -9i64..9,
            time in -200i64..300,
        ) {
            let steps = Steps::new(start, start + i64::from(count - 1) * step, step).unwrap();
            prop_assert_eq!(steps.count, count);
            let windows = Windows::new(steps, range, offset);
            let cell = windows.locate(time);
            for i in 0..count {
                let end = steps.time(i) - offset;
                let inside = end - range < time && time <= end;
                let found = cell.is_some_and(|cell| windows.cells(i).contains(&cell.index));
                prop_assert_eq!(inside, found, "step {} time {} cell {:?}", i, time, cell);
                if count > 1 {
                    prop_assert_eq!(windows.span(i), (end - range, end));
                }
            }
            if let Some(cell) = cell {
                prop_assert!(cell.low < time && time <= cell.high);
                prop_assert_eq!(windows.locate(cell.low + 1).unwrap().index, cell.index);
                prop_assert_eq!(windows.locate(cell.high).unwrap().index, cell.index);
                let first = (0..count).find(|i| windows.cells(*i).end > cell.index).unwrap();
                prop_assert_eq!(windows.first_step_reaching(cell.index), first);
                let (low, high) = windows.bounds();
                prop_assert!(low <= time && time < high);
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let steps = Steps::new(i64::MIN, i64::MAX, i64::MAX / 2).unwrap();
        let windows = Windows::new(steps, i64::MAX, i64::MIN);
        assert!(windows.locate(i64::MAX).is_some() || windows.bounds().1 >= windows.bounds().0);
        assert_eq!(Steps::new(i64::MIN, i64::MAX, 1), None);
    }
}
