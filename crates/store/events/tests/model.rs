//! Random calls, flushes, merges, restarts, crashes and deletes against a list of entries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::sync::Arc;

use novaobs_events::{Bucket, RemoteBucket};
use novaobs_model::{LogScan, Matcher};
use proptest::prelude::*;
use support::*;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, i64, u8)>),
    Flush,
    Maintain(bool),
    Reopen,
    Delete { app: u8, from: i64, hours: i64 },
    Scan { app: u8, from: i64, hours: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0u8..4, -60i64..60, 0u8..5);
    prop_oneof![
        6 => prop::collection::vec(row, 1..30).prop_map(Step::Append),
        2 => Just(Step::Flush),
        2 => any::<bool>().prop_map(Step::Maintain),
        1 => Just(Step::Reopen),
        1 => (0u8..4, -60i64..60, 1i64..20).prop_map(|(app, from, hours)| Step::Delete { app, from, hours }),
        3 => (0u8..4, -60i64..60, 1i64..60).prop_map(|(app, from, hours)| Step::Scan { app, from, hours }),
    ]
}

fn app(number: u8) -> String {
    format!("app-{number}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_store_is_a_list_of_entries(steps in prop::collection::vec(step(), 1..25), remote in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let bucket = remote.then(|| Arc::new(RemoteBucket::in_memory().unwrap()) as Arc<dyn Bucket>);
        let mut events = open(folder.path(), bucket.clone());
        let base = 1_700_000_000_000_000_000 / DAY * DAY;
        let mut entries: Vec<Entry> = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Append(rows) => {
                    let mut call: Vec<Entry> = Vec::new();
                    for (name, hour, line) in rows {
                        // No entry twice, however long ago the first was.
                        number += 1;
                        call.push(entry(&app(name), base + hour * HOUR + i64::from(line), &format!("{line} #{number}")));
                    }
                    append(&events, &call);
                    entries.extend(call);
                }
                Step::Flush => events.flush().unwrap(),
                Step::Maintain(eagerly) => events.run_maintenance(eagerly).unwrap(),
                Step::Reopen => {
                    drop(events);
                    events = open(folder.path(), bucket.clone());
                }
                Step::Delete { app: name, from, hours } => {
                    let (start, end) = (base + from * HOUR, base + (from + hours) * HOUR);
                    events.add_delete(&tenant(), &format!("app={}", app(name)), start, end).unwrap();
                    entries.retain(|row| row.0 != app(name) || row.1 < start || row.1 >= end);
                    // Entries that come later are not covered once it is done.
                    events.flush().unwrap();
                    events.run_maintenance(false).unwrap();
                    let done = |request: &novaobs_events::DeleteRequest| request.status == novaobs_events::DeleteStatus::Processed;
                    prop_assert!(events.deletes(&tenant()).iter().all(done));
                }
                Step::Scan { app: name, from, hours } => {
                    let (start, end) = (base + from * HOUR, base + (from + hours) * HOUR);
                    let scan = LogScan { start, end, matchers: vec![Matcher::equal("app", &app(name))], ..everything() };
                    let wanted: Vec<Entry> =
                        entries.iter().filter(|row| row.0 == app(name) && row.1 >= start && row.1 < end).cloned().collect();
                    prop_assert_eq!(rows(&*events, &scan), sorted(wanted));
                }
            }
        }
        prop_assert_eq!(all(&*events), sorted(entries));
    }
}
