//! The append and select contracts as checks any store can be put through.
//!
//! `settle` is called between writing and reading; run the suite once with nothing in it and once with
//! whatever moves data to where it rests (a flush, a merge, a restart).

use novaobs_model::{
    Interrupt, Labels, MatchOp, Matcher, Pool, QueryControl, RejectReason, Sample, SampleSink, SelectError,
    SelectRequest, SeriesRef, SeriesSamples, SeriesSource, stale_nan,
};

use super::{append, labels, read, read_all, resolve};

const SERIES: [&str; 7] = [
    "http_requests_total{code=200,job=api}",
    "http_requests_total{code=500,job=api}",
    "http_requests_total{code=200,job=web}",
    "node_load1{instance=a}",
    "node_load1{instance=b,job=}",
    "Upper{Aa=1,zone=eu}",
    "{only=label}",
];

/// Runs all checks, each on a store of its own.
pub fn run<S: SampleSink + SeriesSource>(mut make: impl FnMut() -> S, settle: impl Fn(&S)) {
    values_come_back_bit_by_bit(&make(), &settle);
    ranges_are_inclusive(&make(), &settle);
    matchers_select(&make(), &settle);
    listings_know_times_and_selectors(&make(), &settle);
    equal_labels_are_one_series(&make());
    batches_report_each_sample(&make());
    queries_stop_when_told(&make(), &settle);
}

fn fill<S: SampleSink>(store: &S) -> Vec<SeriesRef> {
    let refs = resolve(store, &SERIES);
    for step in 0..10 {
        let batch: Vec<_> =
            refs.iter().zip(0i64..).map(|(r, n)| (*r, step * 1000, (step * 10 + n) as f64)).collect();
        let report = append(store, &batch);
        assert_eq!((report.accepted, report.rejected), (SERIES.len(), vec![]));
    }
    refs
}

fn values_come_back_bit_by_bit<S: SampleSink + SeriesSource>(store: &S, settle: &impl Fn(&S)) {
    let refs = resolve(store, &["v"]);
    let nan = f64::from_bits(0x7ff8_dead_beef_0001);
    let values = [
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        nan,
        stale_nan(),
        f64::MIN_POSITIVE / 8.0,
        0.1,
        1e300,
        -7.25,
    ];
    for (value, time) in values.iter().zip(-5i64..) {
        append(store, &[(refs[0], time, *value)]);
    }
    settle(store);
    let bits: Vec<u64> = read_all(store)["v"].values().copied().collect();
    assert_eq!(bits, values.map(f64::to_bits));
}

fn ranges_are_inclusive<S: SampleSink + SeriesSource>(store: &S, settle: &impl Fn(&S)) {
    fill(store);
    settle(store);
    let f = |start, end, want: &[i64]| {
        let found = read(store, &[Matcher::equal("code", "500")], start, end);
        let times: Vec<i64> = found.values().flat_map(|samples| samples.keys().copied()).collect();
        assert_eq!(times, want, "{start}..={end}");
    };
    f(2000, 4000, &[2000, 3000, 4000]);
    f(2001, 3999, &[3000]);
    f(2001, 2999, &[]);
    f(i64::MIN, 0, &[0]);
    f(9000, i64::MAX, &[9000]);
    f(5000, 1000, &[]);
}

fn matchers_select<S: SampleSink + SeriesSource>(store: &S, settle: &impl Fn(&S)) {
    fill(store);
    settle(store);
    use MatchOp::{Equal, Match, NotEqual, NotMatch};
    let f = |matchers: &[(&str, MatchOp, &str)], want: &[usize]| {
        let matchers: Vec<_> = matchers.iter().map(|(n, op, v)| Matcher::new(n, *op, v).unwrap()).collect();
        let found: Vec<String> = read(store, &matchers, 0, 9000).into_keys().collect();
        let mut want: Vec<String> = want.iter().map(|n| labels(SERIES[*n]).to_string()).collect();
        want.sort();
        assert_eq!(found, want, "{matchers:?}");
        // The index and the matcher itself must agree.
        let all: Vec<Labels> = SERIES.iter().map(|text| labels(text)).collect();
        let mut held: Vec<String> = all
            .iter()
            .filter(|l| matchers.iter().all(|m| m.matches_labels(l)))
            .map(Labels::to_string)
            .collect();
        held.sort();
        assert_eq!(found, held, "{matchers:?}");
    };
    f(&[("__name__", Equal, "node_load1")], &[3, 4]);
    f(&[("__name__", Equal, "node_load")], &[]);
    f(&[("code", Equal, "200"), ("job", NotEqual, "web")], &[0]);
    f(&[("code", Equal, "")], &[3, 4, 5, 6]);
    f(&[("code", NotEqual, "")], &[0, 1, 2]);
    f(&[("code", NotEqual, "200")], &[1, 3, 4, 5, 6]);
    f(&[("code", Match, "200|500"), ("job", Match, "a.*")], &[0, 1]);
    f(&[("code", Match, "200|")], &[0, 2, 3, 4, 5, 6]);
    f(&[("code", Match, "[25]00")], &[0, 1, 2]);
    f(&[("code", Match, ".*")], &[0, 1, 2, 3, 4, 5, 6]);
    f(&[("code", Match, ".+")], &[0, 1, 2]);
    f(&[("code", NotMatch, ".+")], &[3, 4, 5, 6]);
    f(&[("code", NotMatch, "5..")], &[0, 2, 3, 4, 5, 6]);
    f(&[("code", NotMatch, "2.*"), ("__name__", Match, "http.*")], &[1]);
    f(&[("code", NotMatch, "")], &[0, 1, 2]);
    f(&[("code", NotMatch, ".*")], &[]);
    f(&[("__name__", Equal, "")], &[6]);
    f(&[("Aa", Equal, "1")], &[5]);
    f(&[("nothing", Equal, "")], &[0, 1, 2, 3, 4, 5, 6]);
    f(&[("nothing", Match, "x|y")], &[]);
    f(&[], &[0, 1, 2, 3, 4, 5, 6]);
}

fn listings_know_times_and_selectors<S: SampleSink + SeriesSource>(store: &S, settle: &impl Fn(&S)) {
    fill(store);
    let late = resolve(store, &["late{job=batch}"]);
    append(store, &[(late[0], 3_500_000, 1.0)]);
    settle(store);
    let control = QueryControl::unlimited();
    let api = vec![Matcher::equal("job", "api")];
    let batch = vec![Matcher::equal("job", "batch")];
    let names =
        |selectors: &[Vec<Matcher>], start, end| store.label_names(selectors, start, end, &control).unwrap();
    let values =
        |selectors: &[Vec<Matcher>]| store.label_values("job", selectors, 0, 4_000_000, &control).unwrap();
    assert_eq!(names(&[], 0, 4_000_000), ["Aa", "__name__", "code", "instance", "job", "only", "zone"]);
    assert_eq!(names(std::slice::from_ref(&api), 0, 4_000_000), ["__name__", "code", "job"]);
    assert_eq!(names(std::slice::from_ref(&api), 5_000_000, 6_000_000), [""; 0]);
    assert_eq!(values(&[]), ["api", "batch", "web"]);
    assert_eq!(values(&[api.clone(), batch.clone()]), ["api", "batch"]);
    let series = |limit, start| {
        SeriesSource::series(
            store,
            &[api.clone(), batch.clone(), api.clone()],
            start,
            4_000_000,
            limit,
            &control,
        )
        .unwrap()
    };
    let listed: Vec<String> = series(0, 0).iter().map(Labels::to_string).collect();
    assert_eq!(listed.len(), 3);
    assert_eq!(series(2, 0).iter().map(Labels::to_string).collect::<Vec<_>>(), listed[..2]);
    let newest: Vec<String> = series(0, 3_000_000).iter().map(Labels::to_string).collect();
    assert_eq!(newest, [labels("late{job=batch}").to_string()]);
}

fn equal_labels_are_one_series<S: SampleSink>(store: &S) {
    let refs = resolve(store, &["a{x=1}", "b", "a{x=1}", "a{x=2}"]);
    assert_eq!(refs[0], refs[2]);
    assert_eq!(refs.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert_eq!(resolve(store, &["b", "a{x=2}"]), [refs[1], refs[3]]);
}

fn batches_report_each_sample<S: SampleSink + SeriesSource>(store: &S) {
    let refs = resolve(store, &["a", "b"]);
    let hour = 3_600_000;
    assert_eq!(append(store, &[(refs[0], 10 * hour, 1.0)]).accepted, 1);
    let report = append(
        store,
        &[
            (refs[0], 10 * hour, 1.0),
            (refs[0], 10 * hour, 2.0),
            (refs[0], 10 * hour - 1, 1.0),
            (refs[1], 9 * hour - 1, 1.0),
            (refs[1], 9 * hour, 1.0),
            (SeriesRef(u64::MAX - 7), 10 * hour, 1.0),
            (refs[1], 11 * hour, 5.0),
            (refs[1], 11 * hour, 5.0),
        ],
    );
    use RejectReason::{Duplicate, OutOfBounds, OutOfOrder, UnknownSeries};
    assert_eq!(report.accepted, 4);
    assert_eq!(report.rejected, [(1, Duplicate), (2, OutOfOrder), (3, OutOfBounds), (5, UnknownSeries)]);
    assert_eq!(read_all(store).values().map(|samples| samples.len()).sum::<usize>(), 3);
}

fn queries_stop_when_told<S: SampleSink + SeriesSource>(store: &S, settle: &impl Fn(&S)) {
    let names: Vec<Labels> = (0..500).map(|n| labels(&format!("m{n}"))).collect();
    let mut refs = Vec::new();
    SampleSink::series(store, &names, &mut refs).unwrap();
    let batch: Vec<Sample> =
        refs.iter().map(|series| Sample { series: *series, timestamp: 1, value: 1.0 }).collect();
    store.append(&batch).unwrap();
    settle(store);
    let request = SelectRequest { matchers: vec![], start: 0, end: 1 };
    let control = QueryControl::unlimited();
    let flag = control.cancel_flag();
    let mut cursor = store.select(&request, &control).unwrap();
    let mut out = SeriesSamples::default();
    assert!(cursor.next(&mut out).unwrap());
    flag.store(true, std::sync::atomic::Ordering::Relaxed);
    let stopped = (0..500).find_map(|_| cursor.next(&mut out).err()).expect("a canceled query ends early");
    assert!(matches!(stopped, SelectError::Interrupted(Interrupt::Canceled)));
    assert!(!cursor.next(&mut out).unwrap_or(false), "the cursor is at its end");

    let poor = QueryControl::new(Pool::root("query", 100), None);
    let listed = SeriesSource::series(store, &[vec![]], 0, 1, 0, &poor);
    assert!(matches!(listed, Err(SelectError::OverBudget(_))), "{listed:?}");
    assert_eq!(poor.pool().used(), 0);
}
