//! An object store that answers with errors, short bodies and silence: requests are made again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use novaobs_events::{Bucket, RemoteBucket};

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Right,
    Unavailable,
    /// The connection ends in the middle of the body.
    Short,
    /// The object is written, and the connection ends without an answer.
    Silent,
}

/// As much of S3 as the test needs: objects by path, ranges, put-if-absent.
struct Server {
    answers: Mutex<Vec<Answer>>,
    objects: Mutex<std::collections::BTreeMap<String, Vec<u8>>>,
    requests: Mutex<Vec<String>>,
}

impl Server {
    fn start() -> (Arc<Server>, Arc<dyn Bucket>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "s3://b/p?endpoint=http://{}&region=x&allow_http=true&access_key_id=a&secret_access_key=b",
            listener.local_addr().unwrap()
        );
        let server = Arc::new(Server {
            answers: Mutex::default(),
            objects: Mutex::default(),
            requests: Mutex::default(),
        });
        let serving = server.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(connection.unwrap()));
            }
        });
        (server, Arc::new(RemoteBucket::from_url(&url, 1 << 20).unwrap()))
    }

    fn will_answer(&self, answers: &[Answer]) {
        *self.answers.lock().unwrap() = answers.iter().rev().copied().collect();
        self.requests.lock().unwrap().clear();
    }

    /// One request a connection.
    fn serve(&self, mut connection: TcpStream) {
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        let mut head = Vec::new();
        while let Some(Ok(line)) = reader.by_ref().lines().next() {
            if line.is_empty() {
                break;
            }
            head.push(line.to_lowercase());
        }
        let Some(first) = head.first() else { return };
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length: usize = header("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        self.requests.lock().unwrap().push(format!("{method} {path}"));
        let answer = self.answers.lock().unwrap().pop().unwrap_or(Answer::Right);
        if answer == Answer::Unavailable {
            let _ = connection
                .write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        let mut objects = self.objects.lock().unwrap();
        let (status, body) = match method {
            "put" if header("if-none-match").is_some() && objects.contains_key(&path) => {
                ("412 Precondition Failed", Vec::new())
            }
            "put" => {
                objects.insert(path, body);
                ("200 OK", Vec::new())
            }
            _ => match (objects.get(&path), header("range")) {
                (None, _) => ("404 Not Found", Vec::new()),
                (Some(bytes), None) => ("200 OK", bytes.clone()),
                (Some(bytes), Some(range)) => {
                    let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                    let total = bytes.len();
                    let body = bytes[from..=to.min(total - 1)].to_vec();
                    let head = format!(
                        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{to}/{total}\r\nContent-Length: {}\r\nETag: \"e\"\r\nLast-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let sent = if answer == Answer::Short { &body[..body.len() / 2] } else { &body };
                    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(sent));
                    return;
                }
            },
        };
        if answer == Answer::Silent {
            return;
        }
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"e\"\r\nLast-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let sent = if answer == Answer::Short { &body[..body.len() / 2] } else { &body };
        let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(sent));
    }
}

#[test]
fn errors_short_answers_and_lost_answers_are_got_over() {
    use Answer::*;
    let (server, bucket) = Server::start();
    let bytes: Vec<u8> = (0..600_000u32).map(|n| (n / 3) as u8).collect();

    server.will_answer(&[Unavailable, Unavailable, Right]);
    bucket.put("object", &bytes).unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), 3);

    server.will_answer(&[Unavailable, Short, Right]);
    assert_eq!(bucket.get("object").unwrap(), bytes);

    server.will_answer(&[Short, Unavailable, Right]);
    let file = bucket.open("object", bytes.len() as u64);
    assert_eq!(file.read(100..500_000).unwrap(), bytes[100..500_000]);
    let requests = server.requests.lock().unwrap().len();
    assert!(requests >= 3, "{requests}");
    // What was read is kept.
    assert_eq!(file.read(1000..2000).unwrap(), bytes[1000..2000]);
    assert_eq!(server.requests.lock().unwrap().len(), requests);

    // Another's object is not taken for one's own, one's own is known again.
    server.will_answer(&[Silent, Right]);
    assert!(bucket.put_if_absent("once", b"mine").unwrap());
    assert!(!bucket.put_if_absent("once", b"yours").unwrap());
    assert_eq!(bucket.get("once").unwrap(), b"mine");

    server.will_answer(&[]);
    assert_eq!(bucket.get("nothing").unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}
