//! `info()`: adds the data labels of info series (by default `target_info`) to the series that share their
//! instance and job.

use std::collections::{BTreeMap, HashMap};

use novaobs_model::{Labels, LabelsBuilder, Lease, METRIC_NAME, MatchOp, Matcher};

use super::feed::collect_whole;
use super::selector::{Reading, Selector};
use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::{Run, Tally};
use crate::steps::Steps;
use crate::stream::{Names, Operator, Stream, UniqueCheck, UniqueScope, plain_text};

/// The labels that say which series an info series is about.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info metric when none is named.
const TARGET_INFO: &str = "target_info";

/// What `info` needs of one info metric for one identity at each step.
struct Winners {
    metric: String,
    /// The info series that holds at a step: its position and the time of its sample (milliseconds).
    at: Vec<Option<(usize, f64)>>,
}

/// An `info` call.
pub(crate) struct Info<'q> {
    run: &'q Run<'q>,
    base: Stream<'q>,
    /// Which metrics are info metrics; all must hold of the name.
    name_matchers: Vec<Matcher>,
    /// Which labels to add and what they must be; empty: all labels.
    data_matchers: Vec<Matcher>,
    timeline: Timeline,
    /// When info series are looked up.
    lookup: Timeline,
    unique: UniqueCheck,
    enriched: Option<(std::vec::IntoIter<Row>, Lease)>,
    tally: Tally<'q>,
}

impl<'q> Info<'q> {
    /// Enriches `base`; `selector` is the second argument.
    pub(crate) fn new(
        run: &'q Run<'q>,
        base: Stream<'q>,
        selector: Option<&[Matcher]>,
        timeline: Timeline,
        lookup: Timeline,
    ) -> Result<Self, QueryError> {
        let (names, data): (Vec<Matcher>, Vec<Matcher>) =
            selector.unwrap_or_default().iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
        Ok(Info {
            run,
            base,
            name_matchers: effective_name_matchers(names)?,
            data_matchers: data,
            timeline,
            lookup,
            unique: UniqueCheck::new(run, UniqueScope::PerStep)?,
            enriched: None,
            tally: run.tally(),
        })
    }

    fn enrich(&mut self) -> Result<(Vec<Row>, Lease), QueryError> {
        let (base, mut memory) = collect_whole(self.run, &mut self.base, self.timeline.count)?;
        let is_info =
            |row: &Row| self.name_matchers.iter().all(|matcher| matcher.matches(row.labels.metric_name()));
        let (infos, _lease) = self.info_series(base.iter().filter(|row| !is_info(row)))?;
        let mut wanted = Steps::none(self.timeline.count);
        base.iter().for_each(|row| wanted.union(&row.present));
        let winners = self.winners(&infos, &wanted)?;
        let mut out = Vec::new();
        for row in base {
            self.run.control.check()?;
            if is_info(&row) {
                out.push(row);
                continue;
            }
            let none = Vec::new();
            let about = winners.get(&identity(&row.labels)).unwrap_or(&none);
            for part in self.parts(&row, about, &infos)? {
                memory.grow(part.bytes())?;
                out.push(part);
            }
        }
        Ok((out, memory))
    }

    /// The info series about any of `rows`, with the times of their samples as values.
    fn info_series<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Result<(Vec<Row>, Lease), QueryError> {
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in rows {
            for name in IDENTIFYING {
                if let Some(value) = row.labels.get(name) {
                    values.entry(name).or_default().push(value);
                }
            }
        }
        if values.is_empty() {
            return Ok((Vec::new(), self.run.memory()?));
        }
        let mut matchers = self.name_matchers.clone();
        matchers.extend(self.data_matchers.iter().cloned());
        for (name, mut values) in values {
            values.sort_unstable();
            values.dedup();
            let escaped: Vec<String> = values.into_iter().map(quote_regex).collect();
            matchers.push(matcher(name, MatchOp::Match, &escaped.join("|"))?);
        }
        let selector = Selector::new(self.run, &matchers, self.timeline, self.lookup, Reading::Timestamp);
        collect_whole(self.run, &mut Stream::new(selector, Names::Mixed), self.timeline.count)
    }

    /// The newest info series per identity, metric and step, where any base series is (`wanted`).
    fn winners(&self, infos: &[Row], wanted: &Steps) -> Result<HashMap<Labels, Vec<Winners>>, QueryError> {
        let mut winners: HashMap<Labels, Vec<Winners>> = HashMap::new();
        for (position, info) in infos.iter().enumerate() {
            let metric = info.labels.metric_name();
            let metrics = winners.entry(identity(&info.labels)).or_default();
            let place = match metrics.iter().position(|winners| winners.metric == metric) {
                Some(place) => place,
                None => {
                    metrics.push(Winners { metric: metric.to_owned(), at: vec![None; self.timeline.count] });
                    metrics.len() - 1
                }
            };
            let Some(slots) = metrics.get_mut(place).map(|winners| &mut winners.at) else { continue };
            for (step, time) in info.iter().filter(|(step, _)| wanted.contains(*step)) {
                let Some(slot) = slots.get_mut(step) else { continue };
                match *slot {
                    Some((_, newest)) if newest > time => {}
                    Some((existing, newest)) if newest == time => {
                        let existing = infos.get(existing).map(|row| &row.labels).unwrap_or(&info.labels);
                        let milliseconds = (time * 1000.0).round() as i64;
                        return Err(QueryError::Execution(format!(
                            "found duplicate series for info metric: existing {} @ {milliseconds}, \
                             new {} @ {milliseconds}",
                            plain_text(existing),
                            plain_text(&info.labels)
                        )));
                    }
                    _ => *slot = Some((position, time)),
                }
            }
        }
        Ok(winners)
    }

    /// The row split by which info series hold, with their labels added.
    fn parts(&self, row: &Row, about: &[Winners], infos: &[Row]) -> Result<Vec<Row>, QueryError> {
        let mut parts: HashMap<Vec<Option<usize>>, Option<Row>> = HashMap::new();
        for (step, value) in row.iter() {
            let holding: Vec<Option<usize>> = about
                .iter()
                .map(|winners| winners.at.get(step).copied().flatten().map(|(position, _)| position))
                .collect();
            let part = match parts.entry(holding) {
                std::collections::hash_map::Entry::Occupied(part) => part.into_mut(),
                std::collections::hash_map::Entry::Vacant(part) => {
                    let labels = self.labels(&row.labels, part.key(), infos)?;
                    part.insert(labels.map(|labels| Row::new(labels, self.timeline.count)))
                }
            };
            if let Some(part) = part {
                part.set(step, value);
            }
        }
        let mut parts: Vec<Row> = parts.into_values().flatten().collect();
        parts.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(parts)
    }

    /// The labels of a base series with those of info series; `None` if it must be left out for want of one.
    fn labels(
        &self,
        base: &Labels,
        holding: &[Option<usize>],
        infos: &[Row],
    ) -> Result<Option<Labels>, QueryError> {
        let mut added = LabelsBuilder::new();
        let mut any = false;
        for info in holding.iter().flatten().filter_map(|position| infos.get(*position)) {
            any = true;
            for (name, value) in &info.labels {
                let asked =
                    self.data_matchers.is_empty() || self.data_matchers.iter().any(|m| m.name == name);
                if name == METRIC_NAME || !asked {
                    continue;
                }
                let before = added.get(name);
                if !before.is_empty() && before != value {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        if !any && !self.data_matchers.iter().all(Matcher::matches_empty) {
            return Ok(None);
        }
        let mut labels = LabelsBuilder::from_labels(base);
        added.iter().for_each(|(name, value)| {
            labels.set(name, value);
        });
        Ok(Some(labels.build()))
    }
}

impl Operator for Info<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.enriched.is_none() {
            let (rows, memory) = self.enrich()?;
            self.enriched = Some((rows.into_iter(), memory));
        }
        let Some(next) = self.enriched.as_mut().and_then(|(rows, _)| rows.next()) else { return Ok(false) };
        *row = next;
        self.unique.admit(row)?;
        self.tally.add_row(row)?;
        Ok(true)
    }
}

/// What must hold of an info metric's name: something positive, by default `.+_info` beside exclusions.
fn effective_name_matchers(mut names: Vec<Matcher>) -> Result<Vec<Matcher>, QueryError> {
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, TARGET_INFO)]);
    }
    if !names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Match)) {
        names.push(matcher(METRIC_NAME, MatchOp::Match, ".+_info")?);
    }
    Ok(names)
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Result<Matcher, QueryError> {
    Matcher::new(name, op, value).map_err(|error| QueryError::Execution(error.to_string()))
}

fn identity(labels: &Labels) -> Labels {
    labels.without(|name| !IDENTIFYING.contains(&name))
}

/// `text` as an expression that matches only it.
fn quote_regex(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
