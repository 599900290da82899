//! How fast exposition text is parsed: `cargo run --release -p novaobs-wire --example parse_throughput FILE`
//! with a body saved from an exporter (by default a made-up one), read as text or, if it ends in `# EOF`,
//! as OpenMetrics.
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::hint::black_box;
use std::time::Instant;

use novaobs_wire::exposition::{Entry, Format, Parser};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => made_up(),
    };
    let format = if body.ends_with(b"# EOF\n") { Format::OpenMetrics } else { Format::Text };
    let rounds = 1 + 400_000_000 / body.len();
    let begin = Instant::now();
    let mut samples = 0u64;
    for _ in 0..rounds {
        let mut parser = Parser::new(format, black_box(&body));
        while let Some(entry) = parser.next()? {
            if let Entry::Sample(sample) = entry {
                samples += 1;
                black_box((sample.series, sample.value));
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let megabytes = (rounds * body.len()) as f64 / 1e6;
    println!(
        "{format:?}: {:.0} MB/s, {:.1} million samples/s",
        megabytes / seconds,
        samples as f64 / 1e6 / seconds
    );
    Ok(())
}

fn made_up() -> Vec<u8> {
    let mut text = String::new();
    for metric in 0..100 {
        text.push_str(&format!(
            "# HELP node_metric_{metric}_total What it counts.\n# TYPE node_metric_{metric}_total counter\n"
        ));
        for cpu in 0..8 {
            text.push_str(&format!(
                "node_metric_{metric}_total{{cpu=\"{cpu}\",mode=\"system\"}} {}\n",
                metric * 1000 + cpu
            ));
        }
    }
    text.into_bytes()
}
