//! Serves Loki's API over logs in memory on a port, for trials with `logcli`:
//! `cargo run -p novaobs-api --example serve_loki -- 127.0.0.1:0`. Prints its URL.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "for trials")]

#[path = "../tests/loki_support/mod.rs"]
mod loki_support;

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let auth = std::env::args().any(|argument| argument == "--auth");
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let fixture = loki_support::Fixture { auth, ..Default::default() };
    axum::serve(listener, fixture.router()).await.unwrap();
}
