//! Patterns of log lines: lines that differ only in their values are counted as one.
//!
//! After Drain (He, Zhu, Zheng, Lyu: "Drain: an online log parsing approach with fixed depth tree", ICWS
//! 2017): a line is cut into words and what stands between them; clusters are looked up by the number of
//! pieces and the first words, and a line joins the most similar cluster when enough of its words agree.
//! Words that differ become `<_>`.

use std::collections::HashMap;

/// What stands for words that differ.
const ANY: &str = "<_>";
/// Longer lines are cut for their pattern.
const MAX_PIECES: usize = 160;
/// Longer lines have no pattern.
const MAX_LINE: usize = 8 << 10;
/// Leading words that must agree before similarity is looked at.
const DEPTH: usize = 2;
/// Least share of a cluster's words that must agree.
const SIMILARITY: f64 = 0.5;
/// Most clusters; lines that fit none of them are left out then.
const MAX_CLUSTERS: usize = 1000;

/// Clusters of lines, each with what was counted of it.
#[derive(Debug, Default)]
pub(super) struct Drain<C> {
    clusters: Vec<Cluster<C>>,
    /// By number of pieces and leading words: places in `clusters`.
    leaves: HashMap<(usize, Vec<String>), Vec<usize>>,
}

#[derive(Debug)]
struct Cluster<C> {
    /// Words and, between them, separators in turn; a word that is not the same in all lines is [`ANY`].
    pieces: Vec<String>,
    count: C,
}

impl<C: Default> Drain<C> {
    /// What is counted of the cluster a line belongs to; `None` for lines without a pattern.
    pub(super) fn count(&mut self, line: &str) -> Option<&mut C> {
        if line.trim().is_empty() || line.len() > MAX_LINE {
            return None;
        }
        let pieces = pieces(line);
        let leading = pieces.iter().step_by(2).take(DEPTH).map(|word| shown(word).to_owned());
        let key = (pieces.len(), leading.collect::<Vec<_>>());
        let full = self.clusters.len() >= MAX_CLUSTERS;
        let leaf = match self.leaves.get_mut(&key) {
            Some(leaf) => leaf,
            None if full => return None,
            None => self.leaves.entry(key).or_default(),
        };
        let best = leaf
            .iter()
            .filter_map(|at| Some((*at, similarity(&self.clusters.get(*at)?.pieces, &pieces)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, similarity)| *similarity >= SIMILARITY);
        let at = match best {
            Some((at, _)) => at,
            None if full => return None,
            None => {
                leaf.push(self.clusters.len());
                let pieces = pieces
                    .iter()
                    .enumerate()
                    .map(|(at, piece)| if at % 2 == 0 { shown(piece) } else { piece }.to_owned());
                self.clusters.push(Cluster { pieces: pieces.collect(), count: C::default() });
                self.clusters.len() - 1
            }
        };
        let cluster = self.clusters.get_mut(at)?;
        for (have, piece) in cluster.pieces.iter_mut().zip(&pieces).step_by(2) {
            if have != ANY && have != piece {
                ANY.clone_into(have);
            }
        }
        Some(&mut cluster.count)
    }

    /// Patterns and what was counted of each. Clusters that became the same pattern come one after the
    /// other.
    pub(super) fn finish(self) -> impl Iterator<Item = (String, C)> {
        self.clusters.into_iter().map(|cluster| (text(&cluster.pieces), cluster.count))
    }
}

/// Cuts a line into words and the separators between them, in turn; begins and ends with a word, which may
/// be empty.
fn pieces(line: &str) -> Vec<&str> {
    let separates = |c: char| c.is_whitespace() || "=,;:()[]{}\"'|<>&?".contains(c);
    let mut pieces = Vec::new();
    let mut rest = line;
    while pieces.len() + 2 < MAX_PIECES {
        let Some(start) = rest.find(separates) else { break };
        let (word, after) = rest.split_at(start);
        let end = after.find(|c| !separates(c)).unwrap_or(after.len());
        let (separator, next) = after.split_at(end);
        pieces.push(word);
        pieces.push(separator);
        rest = next;
    }
    pieces.push(rest);
    pieces
}

/// Words with digits are most likely values.
fn shown(word: &str) -> &str {
    if word.bytes().any(|byte| byte.is_ascii_digit()) { ANY } else { word }
}

/// The share of words that agree, of those that are no `<_>` yet; `None` when separators differ.
fn similarity(pattern: &[String], pieces: &[&str]) -> Option<f64> {
    let (mut words, mut same) = (0u32, 0u32);
    for (at, (have, piece)) in pattern.iter().zip(pieces).enumerate() {
        if at % 2 == 1 {
            if have != piece {
                return None;
            }
        } else if have != ANY {
            words += 1;
            same += u32::from(have == piece);
        }
    }
    Some(if words == 0 { 1.0 } else { f64::from(same) / f64::from(words) })
}

/// A pattern as it is shown: one `<_>` for several in a row.
fn text(pieces: &[String]) -> String {
    let mut out = String::new();
    let mut rest = pieces;
    while let [piece, tail @ ..] = rest {
        out.push_str(piece);
        rest = tail;
        if piece == ANY {
            // Blanks and colons between values belong to them: dates, addresses.
            while let [separator, next, tail @ ..] = rest {
                let joins = separator.chars().all(|c| c == ' ' || c == ':' || c == ',');
                if next != ANY || !joins {
                    break;
                }
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(lines: &[&str]) -> Vec<(String, u64)> {
        let mut drain: Drain<u64> = Drain::default();
        for line in lines {
            if let Some(count) = drain.count(line) {
                *count += 1;
            }
        }
        drain.finish().collect()
    }

    #[test]
    fn values_become_placeholders() {
        let found = patterns(&[
            "level=info msg=\"GET /users took 5ms\" status=200",
            "level=info msg=\"GET /items took 71ms\" status=404",
            "2026-11-22T10:00:01.5Z user alice failed login after 3 tries",
            "2026-11-22T10:00:07.1Z user bob failed login after 12 tries",
        ]);
        assert_eq!(
            found,
            [
                ("level=info msg=\"GET <_> took <_>\" status=<_>".to_owned(), 2),
                ("<_> user <_> failed login after <_> tries".to_owned(), 2),
            ]
        );
    }

    #[test]
    fn lines_of_other_shapes_stay_apart() {
        let found = patterns(&["start server", "stop server now", "start server", "", "   "]);
        assert_eq!(found, [("start server".to_owned(), 2), ("stop server now".to_owned(), 1)]);
        let long = "x".repeat(MAX_LINE + 1);
        assert_eq!(patterns(&[&long]), []);
    }

    #[test]
    fn clusters_are_bounded() {
        let words: Vec<String> = (0..3 * MAX_CLUSTERS)
            .map(|n| {
                let word: String = n.to_string().bytes().map(|b| char::from(b - b'0' + b'a')).collect();
                format!("{word} {word} {word}")
            })
            .collect();
        let lines: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(patterns(&lines).len(), MAX_CLUSTERS);
    }
}
