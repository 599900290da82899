//! Another reader of Parquet reads a part: pyarrow, where this machine has it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use novaobs_model::labels::Labels;
use novaobs_model::logs::LogStream;
use novaobs_parts::write;

const SCRIPT: &str = "
import sys, io
import pyarrow.parquet as pq
table = pq.read_table(io.BytesIO(open(sys.argv[1], 'rb').read()))
for row in table.slice(4999, 2).to_pylist():
    row = {k: v for k, v in row.items() if v is not None and not k.startswith('_shape')}
    print(sorted((k, v.hex() if isinstance(v, bytes) else str(v)) for k, v in row.items() if k != '_metadata_shape'))
";

#[test]
fn pyarrow_reads_what_we_write() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import pyarrow.parquet"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return; // Not installed here.
    }
    let mut stream = LogStream { labels: Labels::from_pairs([("app", "web")]), ..LogStream::default() };
    for n in 0..5001u64 {
        stream.timestamps.push(n as i64 * 1_000_000);
        let line = match n {
            5000 => "plain words".to_owned(),
            _ => format!(
                "{{\"status\":{},\"id\":\"{:016x}\",\"took\":{n}.50,\"msg\":\"served {n}\"}}",
                200 + n % 3,
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ),
        };
        stream.lines.push(&line);
        stream.metadata.push([("user", "ann")]);
    }
    let mut bytes = Vec::new();
    write(&[stream], &mut bytes).unwrap();
    let path = std::env::temp_dir().join(format!("novaobs-parts-{}.parquet", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new(&python).args(["-c", SCRIPT]).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = format!("{:016x}", 4999u64.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let expected = format!(
        "[('_meta_user', 'ann'), ('_stream', '{{app=\"web\"}}'), ('_timestamp', '1970-01-01 00:00:04.999000+00:00'), \
         ('id', '{id}'), ('msg', 'served 4999'), ('status', '201'), ('took', '4999.50')]\n\
         [('_line', 'plain words'), ('_meta_user', 'ann'), ('_stream', '{{app=\"web\"}}'), \
         ('_timestamp', '1970-01-01 00:00:05+00:00')]\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
