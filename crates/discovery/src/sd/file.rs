//! file_sd_configs: lists of target groups in files, read again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use novaobs_config::{Cursor, Fields, Node, ToNode, value};
use tokio::sync::mpsc;

use super::groups::{self, RawGroup};
use super::{Provider, TargetGroup};
use crate::manager::Publisher;

const META_FILEPATH: &str = "__meta_filepath";
/// Writers change a file in several steps: this long after the first it is read.
const SETTLE: Duration = Duration::from_millis(50);

/// One entry of file_sd_configs.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSdConfig {
    /// Paths; the last segment may hold `*`, `?` and `[...]`.
    pub files: Vec<PathBuf>,
    /// How often the files are read even without a change. Default 5m.
    pub refresh_interval: Duration,
}

impl FileSdConfig {
    /// Reads one entry.
    pub fn read(at: &Cursor<'_>) -> Option<FileSdConfig> {
        let mut map = at.mapping();
        let files = map.or("files", value::list(pattern), Vec::new());
        // Files that are wrong were reported; those that are not there were not.
        if files.is_empty() && map.optional("files", |at| Some(at.node().is_empty())).unwrap_or(true) {
            map.error("file service discovery config must contain at least one path name");
        }
        let refresh_interval = map.or("refresh_interval", value::duration, Duration::from_secs(300));
        if refresh_interval.is_zero() {
            map.error_at("refresh_interval", "must be longer than zero");
        }
        map.finish();
        Some(FileSdConfig { files, refresh_interval })
    }
}

/// A path that ends in a known extension and has `*` in its last segment only.
fn pattern(at: &Cursor<'_>) -> Option<PathBuf> {
    let text = value::string(at)?;
    let extension = text.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = matches!(extension, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML");
    let star_in_folder = text.rsplit_once('/').is_some_and(|(folder, _)| folder.contains('*'));
    if !known || star_in_folder {
        return at.error(format!(
            "path name {text:?} is not valid for file discovery: end it in .json, .yml or .yaml, with * in the last segment only"
        ));
    }
    value::path(at)
}

impl ToNode for FileSdConfig {
    fn to_node(&self) -> Node {
        Fields::new().field("files", &self.files).field("refresh_interval", &self.refresh_interval).node()
    }
}

pub(super) fn provider(config: FileSdConfig) -> Provider {
    Provider::Running(Box::new(move |publisher| Box::pin(run(config, publisher))))
}

async fn run(config: FileSdConfig, publisher: Publisher) {
    let (changes, mut changed) = mpsc::channel(1);
    // The watcher works as long as it lives; without one the interval alone refreshes.
    let _watcher = match watch(&config.files, changes.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(job = %publisher.job, %error, "cannot watch files: they are read every refresh_interval only");
            None
        }
    };
    let mut known: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut ticks = tokio::time::interval(config.refresh_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = changed.recv() => {
                tokio::time::sleep(SETTLE).await;
                while changed.try_recv().is_ok() {}
            }
        }
        refresh(&config, &mut known, &publisher).await;
    }
}

/// Reads all files and publishes their groups; sources that are gone are published empty. A file that cannot
/// be read keeps the groups it had.
async fn refresh(config: &FileSdConfig, known: &mut BTreeMap<PathBuf, usize>, publisher: &Publisher) {
    let patterns = config.files.clone();
    let Ok(read) = tokio::task::spawn_blocking(move || read_all(&patterns)).await else { return };
    let mut groups = Vec::new();
    let mut now = BTreeMap::new();
    for (path, content) in read {
        let before = known.remove(&path).unwrap_or(0);
        match content {
            Ok(raw) => {
                let name = path.display().to_string();
                groups.extend(
                    raw.iter()
                        .enumerate()
                        .map(|(i, group)| group.named(source(&path, i), META_FILEPATH, &name)),
                );
                groups.extend((raw.len()..before).map(|i| gone(&path, i)));
                now.insert(path, raw.len());
            }
            Err(error) => {
                publisher.metrics.file_read_errors.inc();
                publisher.failed("file", &format!("{}: {error}", path.display()));
                now.insert(path, before);
            }
        }
    }
    for (path, count) in std::mem::replace(known, now) {
        groups.extend((0..count).map(|i| gone(&path, i)));
    }
    publisher.publish(groups).await;
}

fn source(path: &Path, i: usize) -> String {
    format!("{}:{i}", path.display())
}

fn gone(path: &Path, i: usize) -> TargetGroup {
    TargetGroup { source: source(path, i), ..TargetGroup::default() }
}

type Content = Result<Vec<RawGroup>, String>;

fn read_all(patterns: &[PathBuf]) -> BTreeMap<PathBuf, Content> {
    patterns.iter().flat_map(|pattern| expand(pattern)).map(|path| (path.clone(), read_file(&path))).collect()
}

fn read_file(path: &Path) -> Content {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        return groups::from_json(&bytes);
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    groups::from_yaml(&path.display().to_string(), &text)
}

/// The files that a path stands for; one without wildcards stands for itself when it exists.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if !name.contains(['*', '?', '[']) {
        return if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let folder = folder_of(pattern);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<PathBuf> = names
        .filter(|file| matches(name.as_bytes(), file.as_bytes()))
        .map(|file| pattern.with_file_name(file))
        .collect();
    found.sort_unstable();
    found
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a name matches a shell pattern of `*`, `?` and `[...]`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=name.len()).any(|skip| name.get(skip..).is_some_and(|tail| matches(rest, tail)))
        }
        ([b'?', rest @ ..], [_, tail @ ..]) => matches(rest, tail),
        ([b'[', rest @ ..], [byte, tail @ ..]) => {
            let Some(end) = rest.iter().skip(1).position(|b| *b == b']').map(|at| at + 1) else {
                return false;
            };
            let (class, after) = (rest.get(..end).unwrap_or(&[]), rest.get(end + 1..).unwrap_or(&[]));
            in_class(class, *byte) && matches(after, tail)
        }
        ([a, rest @ ..], [b, tail @ ..]) => a == b && matches(rest, tail),
        _ => false,
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    loop {
        class = match class {
            [low, b'-', high, rest @ ..] => {
                found |= (*low..=*high).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                found |= *one == byte;
                rest
            }
            [] => return found != negated,
        };
    }
}

/// Watches the folders of all patterns: files are replaced by renaming as often as they are written.
fn watch(patterns: &[PathBuf], changes: mpsc::Sender<()>) -> Result<RecommendedWatcher, notify::Error> {
    let mut watcher = notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| {
        if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
            // A full queue already has a change to be looked at.
            let _ = changes.try_send(());
        }
    })?;
    let mut folders: Vec<&Path> = patterns.iter().map(|pattern| folder_of(pattern)).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns() {
        let f = |pattern: &str, name: &str, want: bool| {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        };
        f("*.json", "a.json", true);
        f("*.json", "a.yml", false);
        f("a*b*.yml", "axxbyy.yml", true);
        f("a?.yml", "ab.yml", true);
        f("a?.yml", "a.yml", false);
        f("[a-c]x.yml", "bx.yml", true);
        f("[^a-c]x.yml", "bx.yml", false);
        f("[a", "a", false);
    }
}
