//! How a text can lie across the literals and values of a shape, so that lines need not be put together to
//! be searched.

use crate::shapes::{Of, Shape};
use crate::shred::HoleKind;

/// More ways than this, and lines are put together instead.
const MOST_WAYS: usize = 48;

/// What a value must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Starts(String),
    Ends(String),
    Is(String),
}

/// How lines of a shape can have a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    /// All have it: a literal does.
    All,
    /// Those where any value has it whole, or where one of these lists of conditions on values holds.
    Some(Vec<Vec<(usize, Condition)>>),
    /// Too many ways: search the lines.
    Many,
}

/// The ways of a text that is not empty.
pub(crate) fn ways(shape: &Shape, needle: &str) -> Ways {
    if !matches!(shape.of, Of::Json | Of::Logfmt) {
        return Ways::Some(Vec::new());
    }
    if shape.literals.iter().any(|literal| literal.contains(needle)) {
        return Ways::All;
    }
    let mut search = Search { shape, found: Vec::new(), steps: 0 };
    for (at, literal) in shape.literals.iter().enumerate() {
        // The text begins within the literal and goes on into the value behind it.
        for (from, _) in literal.char_indices() {
            let tail = literal.get(from..).unwrap_or("");
            if let Some(rest) = needle.strip_prefix(tail) {
                search.hole(at, rest, &mut Vec::new());
            }
        }
        // The text begins within the value before it, which it covers to its end.
        if let Some(hole) = at.checked_sub(1) {
            for (split, _) in needle.char_indices().skip(1) {
                let (head, rest) = needle.split_at_checked(split).unwrap_or_default();
                if search.possible(hole, head, Side::End) {
                    search.literal(at, rest, &mut vec![(hole, Condition::Ends(head.to_owned()))]);
                }
            }
        }
        if search.found.len() > MOST_WAYS || search.steps > 100_000 {
            return Ways::Many;
        }
    }
    Ways::Some(search.found)
}

struct Search<'a> {
    shape: &'a Shape,
    found: Vec<Vec<(usize, Condition)>>,
    steps: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Start,
    End,
}

impl Search<'_> {
    /// What is left of the text begins where literal `at` does.
    fn literal(&mut self, at: usize, rest: &str, conditions: &mut Vec<(usize, Condition)>) {
        self.steps += 1;
        let Some(literal) = self.shape.literals.get(at) else { return };
        if literal.starts_with(rest) {
            self.found.push(conditions.clone());
        } else if let Some(rest) = rest.strip_prefix(literal.as_str()) {
            self.hole(at, rest, conditions);
        }
    }

    /// What is left of the text begins where value `at` does; it is not empty.
    fn hole(&mut self, at: usize, rest: &str, conditions: &mut Vec<(usize, Condition)>) {
        if self.steps > 100_000 || at >= self.shape.holes.len() || rest.is_empty() {
            return;
        }
        if self.possible(at, rest, Side::Start) {
            let mut all = conditions.clone();
            all.push((at, Condition::Starts(rest.to_owned())));
            self.found.push(all);
        }
        for (split, _) in rest.char_indices() {
            let (head, tail) = rest.split_at_checked(split).unwrap_or_default();
            let next = self.shape.literals.get(at + 1).map_or("", String::as_str);
            let fits = next.starts_with(tail) || tail.starts_with(next);
            if fits && self.possible(at, head, Side::Start) {
                conditions.push((at, Condition::Is(head.to_owned())));
                self.literal(at + 1, tail, conditions);
                conditions.pop();
            }
        }
    }

    /// Whether a value can begin or end with a text: values cannot hold what would end them.
    fn possible(&self, at: usize, text: &str, side: Side) -> bool {
        let Some(hole) = self.shape.holes.get(at) else { return false };
        match hole.kind {
            HoleKind::JsonText | HoleKind::LogfmtText => match side {
                Side::Start => !has_bare_quote(text),
                Side::End => {
                    let mut bytes = text.bytes().zip(text.bytes().skip(1));
                    !bytes.any(|(before, byte)| byte == b'"' && before != b'\\')
                }
            },
            HoleKind::JsonBare => {
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
            }
            HoleKind::LogfmtBare | HoleKind::LogfmtOdd => {
                !text.bytes().any(|byte| matches!(byte, b' ' | b'"' | b'='))
            }
            HoleKind::JsonArray | HoleKind::Metadata => true,
        }
    }
}

fn has_bare_quote(text: &str) -> bool {
    let mut escaped = false;
    text.bytes().any(|byte| {
        let bare = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        bare
    })
}
