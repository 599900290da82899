//! Measures queries over 1,000 series with a sample every 15 s for a day, held in memory: prints the time
//! per query and per sample read. `cargo run --release --example measure`.

use std::time::Instant;

use novaobs_model::{Labels, METRIC_NAME, Pool, SeriesSamples};
use novaobs_promql::testlang::{MemorySource, default_options};
use novaobs_promql::{Engine, EngineOptions, EvalTime};
use novaobs_promql_parser::{ParseOptions, parse};

const SERIES: usize = 1000;
const DAY: i64 = 86_400_000;

#[expect(clippy::print_stdout, reason = "a command line tool")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut source = MemorySource::default();
    let mut samples = 0;
    for index in 0..SERIES {
        let labels = Labels::from_pairs([
            (METRIC_NAME, "m_total"),
            ("x", &format!("{}", index % 10)),
            ("instance", &format!("host-{index}:9100")),
            ("job", "api"),
        ]);
        let mut series = SeriesSamples { labels, ..SeriesSamples::default() };
        for step in 0..DAY / 15_000 {
            series.samples.push(step * 15_000, (step * (index as i64 % 7 + 1)) as f64);
        }
        samples += series.samples.len();
        source.insert(series);
    }
    let options = EngineOptions { max_samples: 50_000_000, pool: Pool::unlimited(), ..default_options() };
    let engine = Engine::new(options);
    for query in [
        "sum by (x) (rate(m_total[5m]))",
        "sum by (x) (m_total)",
        "sum by (x) (sum_over_time(m_total[5m]))",
        "sum by (x) (sum_over_time(m_total[6h]))",
        "max by (x) (max_over_time(m_total[1h]))",
        "topk(5, rate(m_total[5m]))",
        "m_total / on(instance) group_left m_total",
        "quantile(0.9, m_total)",
        "sum(max_over_time(rate(m_total[5m])[30m:1m]))",
    ] {
        let expr = parse(query, ParseOptions::all())?;
        let time = EvalTime::Range { start: 0, end: DAY - 1, step: 60_000 };
        let begin = Instant::now();
        let result = engine.query(&source, query, &expr, time, None, &engine.control(None))?;
        let took = begin.elapsed();
        let each = took.as_nanos() as f64 / samples as f64;
        println!(
            "{:>8.1} ms {each:>7.2} ns/sample {:>9} samples at peak  {query}",
            took.as_secs_f64() * 1e3,
            result.stats.peak_samples
        );
    }
    Ok(())
}
