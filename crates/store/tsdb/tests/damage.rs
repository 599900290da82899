//! Full disks, killed processes, damaged files, two processes on one folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use novaobs_model::{AppendError, Matcher, Sample, SampleSink};
use novaobs_tsdb::{OpenError, Options, Settings, Tsdb};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;

/// Set in the processes that tests start of themselves: the folder to work in.
const CHILD: &str = "NOVAOBS_TSDB_TEST_FOLDER";

/// Starts this test binary again to run only `test`, as a process the test may kill or limit.
fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    // SIGXFSZ would end the process before it sees the error.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --nocapture"]);
    command.arg(std::env::current_exe().unwrap()).arg(test).env(CHILD, folder);
    command
}

#[test]
fn killed_at_any_instant_nothing_acknowledged_is_missing() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return append_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4u64 {
        let mut child = child("killed_at_any_instant_nothing_acknowledged_is_missing", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = None;
        // Killed after a different amount of work each round, in the middle of whatever it does then.
        for line in
            lines.by_ref().map_while(Result::ok).filter_map(|l| l.strip_prefix("ack ").map(str::to_owned))
        {
            acknowledged = Some(line.parse::<i64>().unwrap());
            if acknowledged.unwrap() % 1000 >= 150 + 200 * round as i64 {
                break;
            }
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let more = lines
            .map_while(Result::ok)
            .filter_map(|l| l.strip_prefix("ack ").and_then(|n| n.parse().ok()))
            .last();
        let last = more.or(acknowledged).unwrap();
        let store = open(folder.path());
        let content = read_all(&*store);
        for series in ["a", "b{x=y}"] {
            let samples = &content[&labels(series).to_string()];
            let first = *samples.keys().next().unwrap();
            let missing: Vec<i64> =
                (first..=last).filter(|n| samples.get(n) != Some(&(*n as f64).to_bits())).collect();
            assert_eq!((first, missing), (0, vec![]), "{series} up to {last} in round {round}");
        }
    }
}

/// Appends numbers and says so, flushing and merging all the while.
fn append_until_killed(folder: &Path) {
    let store = open(folder);
    let refs = resolve(&*store, &["a", "b{x=y}"]);
    let start = store.time_range().map_or(0, |(_, last)| last + 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                store.flush().unwrap();
                store.run_maintenance().unwrap();
            }
        });
        for n in start.. {
            append(&*store, &[(refs[0], n, n as f64), (refs[1], n, n as f64)]);
            println!("ack {n}");
        }
    });
}

#[test]
fn a_full_disk_refuses_whole_batches_and_recovers_by_itself() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return fill_the_disk(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let done =
        child("a_full_disk_refuses_whole_batches_and_recovers_by_itself", folder.path()).status().unwrap();
    assert!(done.success(), "{done}");
    let store = open(folder.path());
    assert_eq!(read_all(&*store)["a"].len(), 1001, "only what was acknowledged is there after a restart");
}

/// A limit on file sizes stands in for the full disk: writes stop half-way in just the same manner.
fn fill_the_disk(folder: &Path) {
    let store = open(folder);
    let refs = resolve(&*store, &["a"]);
    let batch = |from: i64, count: i64| -> Vec<Sample> {
        (from..from + count)
            .map(|n| Sample { series: refs[0], timestamp: n, value: n as f64 * 0.1 })
            .collect()
    };
    store.append(&batch(0, 500)).unwrap();
    let before = read_all(&*store);

    let free = getrlimit(Resource::Fsize);
    let size = std::fs::metadata(files(folder, "wal-").pop().unwrap()).unwrap().len();
    setrlimit(Resource::Fsize, Rlimit { current: Some(size + 100), ..free }).unwrap();
    let refused = store.append(&batch(500, 500)).unwrap_err();
    assert!(
        matches!(&refused, AppendError::ReadOnly(reason) if reason.contains("cannot write the log")),
        "{refused}"
    );
    assert_eq!(read_all(&*store), before, "nothing of a refused batch is visible, and queries go on");
    // A small batch still fits behind the cut.
    store.append(&batch(500, 1)).unwrap();
    setrlimit(Resource::Fsize, Rlimit { current: Some(10), ..free }).unwrap();
    assert!(matches!(store.append(&batch(501, 1)), Err(AppendError::ReadOnly(_))));
    assert!(store.flush().is_err(), "a part cannot be written either");
    let mut new = Vec::new();
    assert!(matches!(SampleSink::series(&*store, &[labels("new")], &mut new), Err(AppendError::ReadOnly(_))));
    assert!(new.is_empty());
    assert_eq!(read_all(&*store)["a"].len(), 501);

    setrlimit(Resource::Fsize, free).unwrap();
    assert_eq!(store.append(&batch(501, 500)).unwrap().accepted, 500);
    store.flush().unwrap();
    assert_eq!(read_all(&*store)["a"].len(), 1001);
}

#[test]
fn a_damaged_part_is_set_aside_and_the_rest_serves() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let refs = resolve(&*store, &["a", "b"]);
    append(&*store, &[(refs[0], 1, 1.0)]);
    store.flush().unwrap();
    append(&*store, &[(refs[1], 2, 2.0)]);
    store.flush().unwrap();
    let parts = files(folder.path(), "part-");
    let whole = std::fs::read(&parts[0]).unwrap();
    for at in 0..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(copy.path().join(parts[0].file_name().unwrap()), &bytes).unwrap();
        let store = open(copy.path());
        assert_eq!(read_all(&*store).keys().collect::<Vec<_>>(), ["b"], "byte {at}");
        assert_eq!(
            files(copy.path(), "part-").iter().filter(|p| p.extension().unwrap() == "corrupt").count(),
            1
        );
        // The next start does not trip over it again.
        store.close();
        drop(store);
        assert_eq!(read_all(&*open(copy.path())).len(), 1);
    }
    for length in 0..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        std::fs::write(copy.path().join(parts[0].file_name().unwrap()), &whole[..length]).unwrap();
        assert_eq!(read_all(&*open(copy.path())).len(), 1, "cut to {length}");
    }
}

#[test]
fn a_damaged_log_or_manifest_never_keeps_the_store_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let refs = resolve(&*store, &["a", "b"]);
    append(&*store, &[(refs[0], 1, 1.0)]);
    store.flush().unwrap();
    append(&*store, &[(refs[1], 2, 2.0)]);
    for prefix in ["wal-", "series-", "manifest-"] {
        let file = files(folder.path(), prefix).pop().unwrap();
        let whole = std::fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(folder.path(), copy.path());
            let mut bytes = whole.clone();
            bytes[at] = !bytes[at];
            std::fs::write(copy.path().join(file.file_name().unwrap()), &bytes).unwrap();
            let store = open(copy.path());
            assert_eq!(
                read(&*store, &[Matcher::equal("__name__", "a")], 0, 9).len(),
                1,
                "{prefix} byte {at}"
            );
            let refs = resolve(&*store, &["c"]);
            assert_eq!(append(&*store, &[(refs[0], 3, 3.0)]).accepted, 1);
            drop(store);
            let again = read_all(&*open(copy.path()));
            let only = std::collections::BTreeMap::from([(3, 3.0f64.to_bits())]);
            assert_eq!(
                again.get("c"),
                Some(&only),
                "{prefix} byte {at}: a new series has only its own samples"
            );
        }
    }
}

#[test]
fn two_stores_do_not_open_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let registry = prometheus::Registry::new();
    let second = Tsdb::open(folder.path(), Options::new(&registry)).err().expect("the folder is locked");
    assert!(matches!(second, OpenError::Locked { .. }));
    assert!(second.to_string().contains("in use by another process"), "{second}");
    drop(first);
    open(folder.path());
}

#[test]
fn retention_deletes_the_oldest_parts_by_time_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let hour = 3_600_000i64;
    let refs = resolve(&*store, &["a"]);
    for n in 0..20 {
        let batch: Vec<_> = (0..100).map(|k| (refs[0], n * 2 * hour + k * 1000, (k * k) as f64)).collect();
        append(&*store, &batch);
        store.flush().unwrap();
    }
    let first = || *read_all(&*store)["a"].keys().next().unwrap();
    store.run_maintenance().unwrap();
    assert_eq!(first(), 0);
    // Merged by now: [0 h, 18 h), [18 h, 36 h), 36 h, 38 h. Only whole parts go.
    let keep = |hours: u64| Some(Duration::from_secs(hours * 3600));
    store.set(Settings { retention_time: keep(24), ..store.settings() });
    store.run_maintenance().unwrap();
    assert_eq!(first(), 0);
    store.set(Settings { retention_time: keep(20), ..store.settings() });
    store.run_maintenance().unwrap();
    assert_eq!(first(), 18 * hour);
    let size = store.disk_bytes();
    store.set(Settings { retention_size: Some(size / 2), ..store.settings() });
    store.run_maintenance().unwrap();
    assert!(store.disk_bytes() <= size / 2 && first() > 18 * hour);
    let parts = files(folder.path(), "part-");
    let on_disk: u64 = parts.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(on_disk <= store.disk_bytes(), "the files are gone too");
}

#[test]
fn reads_see_all_that_was_acknowledged_while_parts_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let refs = resolve(&*store, &["a", "b{x=y}"]);
    let acknowledged = std::sync::atomic::AtomicI64::new(-1);
    let done = std::sync::atomic::AtomicBool::new(false);
    use std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) {
                store.flush().unwrap();
                store.run_maintenance().unwrap();
            }
        });
        scope.spawn(|| {
            for n in 0..3000i64 {
                // Two minutes apart, so that ranges complete and merge.
                append(&*store, &[(refs[0], n * 120_000, n as f64), (refs[1], n * 120_000, n as f64)]);
                acknowledged.store(n, SeqCst);
            }
            done.store(true, SeqCst);
        });
        while !done.load(SeqCst) {
            let at_least = acknowledged.load(SeqCst) + 1;
            for (name, samples) in read_all(&*store) {
                let expected = (0..samples.len() as i64).map(|n| (n * 120_000, (n as f64).to_bits()));
                assert!(samples.iter().map(|(t, v)| (*t, *v)).eq(expected), "{name} has a hole");
                assert!(samples.len() as i64 >= at_least, "{name}: {} of {at_least}", samples.len());
            }
        }
    });
    assert!(files(folder.path(), "part-").len() < 60);
}

#[test]
fn the_stores_own_threads_flush_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), |options| options.background = true);
    let refs = resolve(&*store, &["a"]);
    append(&*store, &[(refs[0], 1, 1.0)]);
    store.close();
    assert!(matches!(
        store.append(&[Sample { series: refs[0], timestamp: 2, value: 1.0 }]),
        Err(AppendError::Closed)
    ));
    assert_eq!(read_all(&*store).len(), 1);
    drop(store);
    assert_eq!(read_all(&*open(folder.path())).len(), 1);
}
