//! A test of a field on the values of its column.

use novaobs_model::logs::{FieldTest, NumberRange, TextColumn};

use super::fields::show;
use crate::cells::Cells;
use crate::kinds::{Kind, parse_hex};

/// A test of a field on the cells of its column: each distinct value is asked once.
pub(super) struct ColumnTest<'a> {
    test: &'a FieldTest,
    cells: &'a Cells,
    escapes: bool,
    absent: Option<bool>,
    /// Of each code.
    verdicts: Vec<Option<bool>>,
    /// Least and greatest integer that pass by the test's range, when that can be said of integers.
    bounds: Option<(i64, i64)>,
    scratch: String,
    shown: String,
}

impl<'a> ColumnTest<'a> {
    pub(super) fn new(test: &'a FieldTest, cells: &'a Cells, escapes: bool) -> Self {
        let verdicts = match cells {
            Cells::Codes { dictionary, .. } => vec![None; dictionary.texts.len()],
            _ => Vec::new(),
        };
        let bounds = match (cells, test.range) {
            (Cells::Integers { kind: Kind::Number { scale: 0, .. }, .. }, Some(range)) if !range.outside => {
                whole_bounds(range)
            }
            _ => None,
        };
        ColumnTest {
            test,
            cells,
            escapes,
            absent: None,
            verdicts,
            bounds,
            scratch: String::new(),
            shown: String::new(),
        }
    }

    pub(super) fn passes(&mut self, row: usize) -> bool {
        match self.cells {
            Cells::Codes { codes, dictionary } => {
                let code = codes.get(row).copied().unwrap_or(TextColumn::ABSENT);
                let Some(verdict) = self.verdicts.get_mut(code as usize) else { return self.absent() };
                *verdict.get_or_insert_with(|| {
                    let value = dictionary.texts.get(code as usize);
                    (self.test.accepts)(Some(show(value, self.escapes, &mut self.shown)))
                })
            }
            cells if !cells.has(row) => self.absent(),
            Cells::Integers { kind: Kind::Number { scale, .. }, values, .. } => {
                let value = values.get(row).copied().unwrap_or(0);
                if let Some((low, high)) = self.bounds {
                    return value >= low && value <= high;
                }
                match self.test.range {
                    // Both are exact there, so that the quotient is the nearest number to the decimal.
                    Some(range) if value.unsigned_abs() < 1 << 53 && *scale <= 22 => {
                        range.accepts(value as f64 / 10f64.powi(i32::from(*scale)))
                    }
                    _ => self.ask(row),
                }
            }
            _ => self.ask(row),
        }
    }

    /// Keeps the rows that pass.
    pub(super) fn keep(&mut self, rows: &mut Vec<u32>) {
        match (self.cells, &self.test.one_of) {
            (Cells::Codes { codes, dictionary }, _) => {
                let shown = &mut self.shown;
                let table: Vec<bool> = dictionary
                    .texts
                    .iter()
                    .map(|value| (self.test.accepts)(Some(show(value, self.escapes, shown))))
                    .collect();
                let absent = self.absent();
                if !absent && !table.contains(&true) {
                    rows.clear();
                    return;
                }
                let passes = |code: &u32| table.get(*code as usize).copied().unwrap_or(absent);
                // Most tests are asked of all rows of a block, one behind the other.
                match (rows.first().copied(), rows.last().copied()) {
                    (Some(first), Some(last)) if (last - first) as usize + 1 == rows.len() => {
                        rows.clear();
                        let codes = codes.get(first as usize..=last as usize).unwrap_or_default();
                        rows.extend(
                            (first..=last).zip(codes).filter(|(_, code)| passes(code)).map(|(row, _)| row),
                        );
                    }
                    _ => rows.retain(|row| codes.get(*row as usize).map_or(absent, passes)),
                }
            }
            (Cells::Hex { width, bytes, present }, Some(wanted)) if present.is_empty() => {
                let mut values = Vec::new();
                for text in wanted {
                    parse_hex(text, *width as u8, &mut values);
                }
                rows.retain(|row| {
                    let at = *row as usize * width;
                    let value = bytes.get(at..at + width);
                    values.chunks_exact(*width).any(|wanted| Some(wanted) == value)
                });
            }
            _ => rows.retain(|row| self.passes(*row as usize)),
        }
    }

    fn absent(&mut self) -> bool {
        *self.absent.get_or_insert_with(|| (self.test.accepts)(None))
    }

    fn ask(&mut self, row: usize) -> bool {
        let value = self.cells.text(row, &mut self.scratch);
        (self.test.accepts)(value.map(|value| show(value, self.escapes, &mut self.shown)))
    }
}

/// The whole numbers in a range whose ends are small enough to be exact.
fn whole_bounds(range: NumberRange) -> Option<(i64, i64)> {
    const EXACT: f64 = 9e15;
    let low = match range.low {
        (low, _) if low < -EXACT => return None,
        (low, true) => low.ceil(),
        (low, false) => low.floor() + 1.0,
    };
    let high = match range.high {
        (high, _) if high > EXACT => return Some((low as i64, i64::MAX)).filter(|_| high.is_infinite()),
        (high, true) => high.floor(),
        (high, false) => high.ceil() - 1.0,
    };
    (low <= EXACT && high >= -EXACT).then_some((low as i64, high as i64))
}
