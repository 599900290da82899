//! Finds texts in the lines of a block, mostly without putting the lines together.

use std::sync::Arc;

use super::BlockReader;
use crate::PartError;
use crate::align::{Condition, Ways};
use crate::cells::Cells;
use crate::columns::{LINE, REST, TIME, take_listed};
use crate::kinds::{Kind, parse_hex};
use crate::search::{Test, Text, Wanted};
use crate::shapes::{Of, Place, Shape, ShapeHole, TEXT};

/// Fewer rows than this are put together and searched as lines.
const FEW_ROWS: usize = 48;

impl BlockReader<'_> {
    /// Keeps the rows whose lines pass a test.
    pub(super) fn test_lines(&mut self, test: &Test, rows: &mut Vec<u32>) -> Result<(), PartError> {
        if rows.len() < FEW_ROWS {
            return self
                .keep_lines(rows, |line| test.any.iter().any(|wanted| wanted.is_in(line)) != test.negated);
        }
        self.load_line_shapes()?;
        let mut found = vec![false; self.rows];
        for wanted in &test.any {
            match wanted {
                Wanted::Text(text) => self.find_text(text, rows, &mut found)?,
                Wanted::Regex { regex, required } => {
                    let mut candidates: Vec<u32> =
                        rows.iter().copied().filter(|row| found.get(*row as usize) != Some(&true)).collect();
                    if !required.is_empty() {
                        let mut near = vec![false; self.rows];
                        for text in required {
                            self.find_text(text, &candidates, &mut near)?;
                        }
                        candidates.retain(|row| near.get(*row as usize) == Some(&true));
                    }
                    self.keep_lines(&mut candidates, |line| regex.is_match(line))?;
                    candidates.iter().for_each(|row| mark(&mut found, *row));
                }
                Wanted::Nothing => {}
            }
        }
        rows.retain(|row| (found.get(*row as usize) == Some(&true)) != test.negated);
        Ok(())
    }

    /// Keeps the rows whose lines, put together, pass.
    fn keep_lines(&mut self, rows: &mut Vec<u32>, passes: impl Fn(&str) -> bool) -> Result<(), PartError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.load_lines(rows)?;
        let mut line = String::new();
        let mut failed = None;
        rows.retain(|row| {
            line.clear();
            if let Err(error) = self.push_line(*row as usize, &mut line) {
                failed = Some(error);
            }
            passes(&line)
        });
        failed.map_or(Ok(()), Err)
    }

    /// Marks those of `rows` whose lines have a text, without putting lines together: it is in a literal
    /// of the shape, within a value, or across both.
    fn find_text(&mut self, text: &Text, rows: &[u32], found: &mut [bool]) -> Result<(), PartError> {
        if text.text.is_empty() {
            rows.iter().for_each(|row| mark(found, *row));
            return Ok(());
        }
        let numbers = self.shapes_of(rows, false);
        let shapes = self.shapes.clone();
        let mut plans: Vec<Option<Arc<Ways>>> = vec![None; shapes.len()];
        let mut columns: Vec<usize> = Vec::new();
        let (mut in_rest, mut in_time, mut whole) = (false, false, Vec::new());
        let time = Kind::Time { digits: 9 };
        let time_like = text.text.bytes().all(|byte| time.has_byte(byte));
        for number in &numbers {
            let Some(shape) = shapes.get(*number) else {
                return Err(self.part.corrupt("a row has a shape that is not there"));
            };
            let ways = text.ways(*number, shape);
            match *ways {
                Ways::All => {}
                Ways::Many => whole.push(*number),
                Ways::Some(ref lists) => {
                    for (hole, _) in lists.iter().flatten() {
                        match shape.holes.get(*hole).map(|hole| hole.place) {
                            Some(Place::Column(column)) => self.load(usize::from(column))?,
                            Some(Place::OwnTime(_)) => self.load(TIME)?,
                            _ => self.load(REST)?,
                        }
                    }
                    if shape.of == Of::Text {
                        columns.push(LINE);
                    }
                    columns.extend(shape.holes.iter().filter_map(|hole| match hole.place {
                        Place::Column(column) => Some(usize::from(column)),
                        Place::Rest | Place::OwnTime(_) => None,
                    }));
                    in_rest |= shape.has_rest();
                    in_time |=
                        time_like && shape.holes.iter().any(|hole| matches!(hole.place, Place::OwnTime(_)));
                }
            }
            if let Some(plan) = plans.get_mut(*number as usize) {
                *plan = Some(ways);
            }
        }
        columns.sort_unstable();
        columns.dedup();
        for column in columns {
            self.find_in_column(text, column, rows, &plans, found)?;
        }
        if in_rest {
            self.load(REST)?;
        }
        if in_time {
            self.load(TIME)?;
        }
        if !whole.is_empty() {
            let mut some: Vec<u32> =
                rows.iter().copied().filter(|row| whole.contains(&self.line_shape(*row as usize))).collect();
            self.keep_lines(&mut some, |line| text.finder.find(line.as_bytes()).is_some())?;
            some.iter().for_each(|row| mark(found, *row));
        }
        let across =
            plans.iter().flatten().any(|ways| !matches!(**ways, Ways::Some(ref lists) if lists.is_empty()));
        if across || in_rest || in_time {
            for row in rows {
                let at = *row as usize;
                if found.get(at) == Some(&true) {
                    continue;
                }
                let number = self.line_shape(at);
                let ways = plans.get(number as usize).and_then(Option::as_deref);
                if self.is_across(text, at, self.shape(number)?, ways, in_rest, in_time)? {
                    mark(found, *row);
                }
            }
        }
        Ok(())
    }

    /// Whether a row's line has a text in its literals, its rest, its own time, or across values.
    fn is_across(
        &self,
        text: &Text,
        row: usize,
        shape: &Shape,
        ways: Option<&Ways>,
        in_rest: bool,
        in_time: bool,
    ) -> Result<bool, PartError> {
        let lists = match ways {
            Some(Ways::All) => return Ok(true),
            Some(Ways::Some(lists)) => lists,
            Some(Ways::Many) | None => return Ok(false),
        };
        let mut scratch = String::new();
        if in_rest && shape.has_rest() {
            let mut rest = self.get(REST).text(row, &mut scratch).unwrap_or("");
            while let Some(value) = take_listed(&mut rest) {
                if text.finder.find(value.as_bytes()).is_some() {
                    return Ok(true);
                }
            }
        }
        if in_time {
            for hole in shape.holes.iter().filter(|hole| matches!(hole.place, Place::OwnTime(_))) {
                let mut value = String::new();
                self.push_hole(hole, row, &mut "", &mut value)?;
                if value.contains(&text.text) {
                    return Ok(true);
                }
            }
        }
        for list in lists {
            let mut all = true;
            for (hole, condition) in list {
                let Some(hole) = shape.holes.get(*hole) else { continue };
                if !self.holds(shape, hole, condition, row)? {
                    all = false;
                    break;
                }
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn holds(
        &self,
        shape: &Shape,
        hole: &ShapeHole,
        condition: &Condition,
        row: usize,
    ) -> Result<bool, PartError> {
        let test = |value: &str| match condition {
            Condition::Starts(text) => value.starts_with(text.as_str()),
            Condition::Ends(text) => value.ends_with(text.as_str()),
            Condition::Is(text) => value == text,
        };
        let mut scratch = String::new();
        if let Place::Column(column) = hole.place {
            return Ok(self.get(usize::from(column)).text(row, &mut scratch).is_some_and(test));
        }
        let mut rest = self.get(REST).text(row, &mut scratch).unwrap_or("");
        let mut value = String::new();
        for other in &shape.holes {
            if std::ptr::eq(other, hole) {
                self.push_hole(hole, row, &mut rest, &mut value)?;
                break;
            }
            if other.place == Place::Rest {
                take_listed(&mut rest);
            }
        }
        Ok(test(&value))
    }

    /// Marks rows where a value of a column has a text, when their shape has that column.
    fn find_in_column(
        &mut self,
        text: &Text,
        column: usize,
        rows: &[u32],
        plans: &[Option<Arc<Ways>>],
        found: &mut [bool],
    ) -> Result<(), PartError> {
        let kind = self.part.specs.get(column).map_or(Kind::Text, |spec| spec.kind);
        let too_long = matches!(kind, Kind::Hex { bytes } if text.text.len() > 2 * usize::from(bytes));
        if too_long || !text.text.bytes().all(|byte| kind.has_byte(byte)) {
            return Ok(());
        }
        self.load(column)?;
        let hits = hits(self.get(column), text, self.rows);
        if hits.is_empty() {
            return Ok(());
        }
        for row in rows {
            let at = *row as usize;
            if hits.get(at) != Some(&true) || found.get(at) == Some(&true) {
                continue;
            }
            let number = self.line_shape(at);
            let known = plans.get(number as usize).is_some_and(Option::is_some);
            let shape = self.shape(number)?;
            let has = match column {
                LINE => number == TEXT,
                _ => shape
                    .holes
                    .iter()
                    .any(|hole| matches!(hole.place, Place::Column(c) if usize::from(c) == column)),
            };
            if known && has {
                mark(found, *row);
            }
        }
        Ok(())
    }
}

fn mark(found: &mut [bool], row: u32) {
    if let Some(found) = found.get_mut(row as usize) {
        *found = true;
    }
}

/// Which rows of a column have a text; nothing when none has.
fn hits(cells: &Cells, text: &Text, rows: usize) -> Vec<bool> {
    let mut out = Vec::new();
    let mut hit = |row: usize| {
        if out.is_empty() {
            out.resize(rows, false);
        }
        mark(&mut out, row as u32);
    };
    match cells {
        Cells::Absent => {}
        Cells::Codes { codes, dictionary } => {
            let has: Vec<bool> =
                dictionary.texts.iter().map(|value| text.finder.find(value.as_bytes()).is_some()).collect();
            if has.contains(&true) {
                let found = |code: &u32| has.get(*code as usize) == Some(&true);
                codes.iter().enumerate().filter(|(_, code)| found(code)).for_each(|(row, _)| hit(row));
            }
        }
        Cells::Texts { texts, .. } => {
            let bytes = texts.text().as_bytes();
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| text.finder.find(rest)) {
                let start = from + at;
                let row = texts.ends().partition_point(|end| *end as usize <= start);
                let end = texts.ends().get(row).map_or(bytes.len(), |end| *end as usize);
                if start + text.text.len() <= end {
                    hit(row);
                    from = end;
                } else {
                    from = start + 1;
                }
            }
        }
        Cells::Hex { width, bytes, present } if text.text.len() == 2 * width => {
            let mut wanted = Vec::new();
            if parse_hex(&text.text, *width as u8, &mut wanted) {
                let same = |(_, value): &(usize, &[u8])| *value == wanted.as_slice();
                let there = |row: usize| present.get(row) != Some(&false);
                let found = bytes.chunks_exact(*width).enumerate().filter(same);
                found.filter(|(row, _)| there(*row)).for_each(|(row, _)| hit(row));
            }
        }
        Cells::Integers { .. } | Cells::Hex { .. } => {
            let mut scratch = String::new();
            for row in 0..rows {
                if cells
                    .text(row, &mut scratch)
                    .is_some_and(|value| text.finder.find(value.as_bytes()).is_some())
                {
                    hit(row);
                }
            }
        }
    }
    out
}
