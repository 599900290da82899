//! One suite for the contracts of a log store, run in each state a store can be in and on each bucket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use novaobs_events::{Bucket, DiskBucket, Events, RemoteBucket};
use novaobs_model::logs::{LineMatch, LineTest, LogColumns, Order};
use novaobs_model::{LogScan, LogSink, LogSource, Matcher, QueryControl, Tenant};
use support::*;

/// What is done to a store between writing and reading.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Nothing,
    Flush,
    Merge,
    Crash,
    Reopen,
}

const STATES: [Then; 5] = [Then::Nothing, Then::Flush, Then::Merge, Then::Crash, Then::Reopen];

/// Runs the suite on stores whose bucket `bucket` makes; `None` is the store's own folder.
fn conformance(bucket: &dyn Fn() -> Option<Arc<dyn Bucket>>, states: &[Then]) {
    for then in states {
        let folder = tempfile::tempdir().unwrap();
        let bucket = bucket();
        let crashed = tempfile::tempdir().unwrap();
        let mut crashed_from = None;
        let mut events = open(folder.path(), bucket.clone());
        let written = write_all(&events, *then);
        match then {
            Then::Nothing | Then::Flush => {}
            Then::Merge => {
                let parts = || events.stats().tenants.iter().map(|tenant| tenant.parts).sum::<u64>();
                let before = parts();
                events.run_maintenance(true).unwrap();
                assert!(parts() < before, "{then:?}");
            }
            Then::Crash => {
                // What the disk has at this moment is what a killed process leaves behind.
                copy(folder.path(), crashed.path());
                crashed_from = Some(events);
                events = open(crashed.path(), bucket.clone());
            }
            Then::Reopen => {
                events.close();
                drop(events);
                events = open(folder.path(), bucket.clone());
            }
        }
        reads(&events, &written, *then);
        lists(&events, &written);
        duplicates(&events, &written, *then);
        drop(events);
        drop(crashed_from);
    }
}

/// Copies a folder with all below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn write_all(events: &Events, then: Then) -> Vec<Entry> {
    let base = 1_700_000_000_000_000_000 / DAY * DAY;
    let mut written = Vec::new();
    for call in 0..12i64 {
        let mut entries = Vec::new();
        for row in 0..10i64 {
            // Three days, out of order, the same time several times.
            let time = base + (row * 7 % 3) * DAY + (11 - call) * 1_000 + row / 2;
            let app = ["web", "db", "cache"][(row % 3) as usize];
            entries.push(entry(app, time, &format!("call={call} row={row} status={}", 200 + row % 4 * 100)));
        }
        append(events, &entries);
        written.extend(entries);
        if matches!(then, Then::Flush | Then::Merge | Then::Crash) && call % 3 == 2 {
            events.flush().unwrap();
        }
    }
    // The far past, the far future, an empty line and a large one.
    let odd = vec![
        entry("web", i64::MIN, "first of all"),
        entry("web", -1, ""),
        entry("db", i64::MAX - 1, "last of all"),
        entry("db", base, &"x".repeat(100_000)),
    ];
    append(events, &odd);
    written.extend(odd);
    events.append(&Tenant::new("an(other)!*"), &streams(&[entry("web", base, "of another tenant")])).unwrap();
    if then == Then::Flush {
        events.flush().unwrap();
        assert!(events.stats().tenants.iter().all(|tenant| tenant.memory_rows == 0));
    }
    sorted(written)
}

fn reads(events: &Events, written: &[Entry], then: Then) {
    assert_eq!(all(events), written, "{then:?}");
    let other = LogScan { tenant: Tenant::new("an(other)!*"), ..everything() };
    assert_eq!(rows(events, &other).len(), 1);
    assert_eq!(rows(events, &LogScan { tenant: Tenant::new("nobody"), ..everything() }), []);

    let middle = written[written.len() / 2].1;
    for (start, end) in [(middle, i64::MAX), (i64::MIN, middle), (middle, middle + 1), (middle, middle)] {
        let scan = LogScan { start, end, ..everything() };
        let wanted: Vec<Entry> =
            written.iter().filter(|row| row.1 >= start && row.1 < end).cloned().collect();
        assert_eq!(rows(events, &scan), wanted, "{then:?} [{start}, {end})");
    }
    let scan = LogScan { matchers: vec![Matcher::equal("app", "web")], ..everything() };
    let wanted: Vec<Entry> = written.iter().filter(|row| row.0 == "web").cloned().collect();
    assert_eq!(rows(events, &scan), wanted);
    let test = |text: &str, negated| LineTest { any: vec![LineMatch::Text(text.into())], negated };
    let scan = LogScan { lines: vec![test("status=500", false), test("call=7", true)], ..everything() };
    let wanted: Vec<Entry> = written
        .iter()
        .filter(|row| row.2.contains("status=500") && !row.2.contains("call=7"))
        .cloned()
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(rows(events, &scan), wanted);

    for order in [Order::Newest, Order::Oldest] {
        newest_or_oldest(events, written, order, then);
    }
}

/// Reads the first few rows in an order as an engine does: narrowing what is wanted as rows come.
fn newest_or_oldest(events: &Events, written: &[Entry], order: Order, then: Then) {
    let scan = LogScan { order, columns: LogColumns::default(), ..everything() };
    let control = QueryControl::unlimited();
    let mut cursor = events.scan(&scan, &control).unwrap();
    let limit = 5;
    let mut times: Vec<i64> = Vec::new();
    while let Some(batch) = cursor.next().unwrap() {
        times.extend(&batch.timestamps);
        times.sort_unstable();
        if order == Order::Newest {
            times.reverse();
        }
        times.truncate(limit);
        if let (true, Some(worst)) = (times.len() == limit, times.last()) {
            match order {
                Order::Newest => cursor.bound(*worst, i64::MAX),
                _ => cursor.bound(i64::MIN, worst.saturating_add(1)),
            }
        }
    }
    let mut wanted: Vec<i64> = written.iter().map(|row| row.1).collect();
    wanted.sort_unstable();
    if order == Order::Newest {
        wanted.reverse();
    }
    wanted.truncate(limit);
    assert_eq!(times, wanted, "{then:?} {order:?}");
}

fn lists(events: &Events, written: &[Entry]) {
    let control = QueryControl::unlimited();
    let count = |selectors: &[Vec<Matcher>], start, end| {
        let mut entries = std::collections::BTreeMap::<String, u64>::new();
        let mut each = |labels: &novaobs_model::Labels, stats: novaobs_model::logs::LogStats| {
            assert!(stats.first <= stats.last && stats.entries > 0);
            *entries.entry(labels.value("app").to_owned()).or_default() += stats.entries;
        };
        events.streams(&tenant(), selectors, start, end, &control, &mut each).unwrap();
        entries
    };
    let of = |app: &str| written.iter().filter(|row| row.0 == app).count() as u64;
    let all = count(&[], i64::MIN, i64::MAX);
    assert_eq!(all, ["cache", "db", "web"].map(|app| (app.to_owned(), of(app))).into());
    let two = [vec![Matcher::equal("app", "web")], vec![Matcher::equal("app", "db")]];
    assert_eq!(count(&two, i64::MIN, i64::MAX).len(), 2);
    assert_eq!(count(&[], -1, 0).into_keys().collect::<Vec<_>>(), ["web"]);
    assert!(count(&[], 0, 1000).is_empty());
}

/// A call sent again changes nothing while its entries are in memory.
fn duplicates(events: &Events, written: &[Entry], then: Then) {
    if matches!(then, Then::Nothing) {
        append(events, &written[..7]);
        append(events, &[written[3].clone(), entry("web", 77, "new")]);
        let mut more = written.to_vec();
        more.push(entry("web", 77, "new"));
        assert_eq!(all(events), sorted(more));
    }
}

#[test]
fn a_store_in_its_own_folder() {
    conformance(&|| None, &STATES);
}

#[test]
fn a_store_on_a_bucket_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    let bucket = || {
        number.set(number.get() + 1);
        let own = folder.path().join(number.get().to_string());
        Some(Arc::new(DiskBucket::new(&own).unwrap()) as Arc<dyn Bucket>)
    };
    conformance(&bucket, &STATES);
}

#[test]
fn a_store_on_an_object_store() {
    let bucket = || Some(Arc::new(RemoteBucket::in_memory().unwrap()) as Arc<dyn Bucket>);
    conformance(&bucket, &STATES);
}

/// An S3 server by moto; ended when dropped.
struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    fn start() -> Option<Moto> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("moto_server");
        command
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut moto = Moto { child: command.spawn().ok()?, port };
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() && moto.make_bucket("logs") {
                return Some(moto);
            }
            if moto.child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    /// An unsigned request is enough for moto.
    fn make_bucket(&self, name: &str) -> bool {
        use std::io::{Read, Write};
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let host = format!("127.0.0.1:{}", self.port);
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: {host}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_store_on_s3() {
    let Some(moto) = Moto::start() else {
        eprintln!("skipped: moto_server is not installed (pip install 'moto[server]')");
        return;
    };
    let number = std::cell::Cell::new(0);
    let bucket = || {
        number.set(number.get() + 1);
        let url = format!(
            "s3://logs/prefix-{}/a?endpoint=http://127.0.0.1:{}&region=us-east-1&allow_http=true&access_key_id=a&secret_access_key=b",
            number.get(),
            moto.port
        );
        Some(Arc::new(RemoteBucket::from_url(&url, 1 << 20).unwrap()) as Arc<dyn Bucket>)
    };
    conformance(&bucket, &[Then::Merge, Then::Crash]);

    // A large object goes in pieces and comes back by any range.
    let bucket = bucket().unwrap();
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n / 7) as u8).collect();
    let mut upload = bucket.upload("large").unwrap();
    bytes.chunks(3_000_000).for_each(|piece| upload.write_all(piece).unwrap());
    upload.finish().unwrap();
    let file = bucket.open("large", bytes.len() as u64);
    for range in [0..10u64, 262_140..262_150, 0..20_000_000, 19_999_999..20_000_000, 700_000..1_500_000] {
        assert_eq!(file.read(range.clone()).unwrap(), bytes[range.start as usize..range.end as usize]);
    }
    assert!(bucket.put_if_absent("once", b"1").unwrap());
    assert_eq!(bucket.get("nothing").unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_url_that_names_no_bucket_says_what_to_write() {
    let message = |url: &str| RemoteBucket::from_url(url, 0).unwrap_err().to_string();
    assert!(message("logs").contains("write s3://bucket/prefix"), "{}", message("logs"));
    assert!(message("ftp://host/x").contains("unknown scheme ftp; write s3://"));
    assert!(
        message("s3://b/x?colour=red").contains("unknown parameter colour; write one of endpoint, region")
    );
}
