//! Serves Alertmanager's API on a free port, for trials with `amtool`:
//! `cargo run -p novaobs-api --example serve -- alertmanager.yml FOLDER`. Prints its URL.

use std::path::PathBuf;
use std::sync::Arc;

use novaobs_alerts::{Alertmanager, Options, time};
use novaobs_api::alertmanager::{Face, VersionInfo, router};
use novaobs_receivers::Config;
use parking_lot::RwLock;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve alertmanager.yml FOLDER".into());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let loaded = Config::load(&file)?;
    let registry = prometheus::Registry::new();
    let runtime = tokio::runtime::Handle::current();
    let setup = loaded.value.setup(&url)?;
    let alertmanager = Alertmanager::open(&folder, Options::default(), setup, &registry, runtime)?;
    let config = Arc::new(RwLock::new(loaded.value.to_yaml()));
    let reload = {
        let (alertmanager, config, url) = (alertmanager.clone(), config.clone(), url.clone());
        move || -> Result<(), String> {
            let loaded = Config::load(&file).map_err(|error| error.to_string())?;
            alertmanager.apply(loaded.value.setup(&url).map_err(|error| error.to_string())?);
            *config.write() = loaded.value.to_yaml();
            Ok(())
        }
    };
    let face = Face {
        alertmanager,
        config,
        reload: Arc::new(move || Box::pin(std::future::ready(reload()))),
        registry,
        started: time::now(),
        version: VersionInfo { version: "0.34.0".to_owned(), ..VersionInfo::default() },
    };
    #[expect(clippy::print_stdout, reason = "the URL is what the caller waits for")]
    {
        println!("{url}");
    }
    axum::serve(listener, router(face)).await?;
    Ok(())
}
