//! Pipelines of any stages, over a line: the input's first line is the stages, the rest what runs through them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::parse_log;
use novaobs_model::Labels;

fuzz_target!(|text: &str| {
    let (stages, line) = text.split_once('\n').unwrap_or((text, "level=info msg=\"a b\" n=1.5"));
    let Ok(parsed) = parse_log(&format!("{{x=\"y\"}} {stages}")) else { return };
    let Ok(pipeline) = Pipeline::compile(&parsed.stages, None) else { return };
    let mut stream = pipeline.stream(&Labels::from_pairs([("a", "stream")]));
    for time in [0, 1] {
        if let Some(row) = stream.run(time, line, [("b", "metadata")].into_iter()) {
            let _ = (row.labels.merged(), row.labels.hash());
        }
    }
});
