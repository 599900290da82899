//! The thread that finds files, reads them and delivers their lines.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use novaobs_model::{Labels, LabelsBuilder, LogStream};
use parking_lot::Mutex;

use crate::config::{FileGroup, Job};
use crate::deliver::{Deliver, DeliverError};
use crate::file::{Change, TailedFile};
use crate::journal::Journal;
use crate::positions::{FileId, Positions};
use crate::stages::{self, Line};
use crate::timestamp;

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often patterns are expanded again.
const RESCAN: Duration = Duration::from_secs(5);
/// How long a file that was moved away is watched for a writer that still has it open.
const MOVED_GRACE: Duration = Duration::from_secs(15);
/// Bytes of lines in one delivery.
const BATCH_BYTES: usize = 1 << 20;
/// Pauses between tries of a delivery, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tails the files of some jobs until it is dropped or stopped.
pub struct Tailer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    status: Arc<Mutex<Status>>,
}

/// What a tailer is doing, for its metrics and pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Files open now.
    pub files: usize,
    /// Lines delivered.
    pub lines: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Lines that the receiver refused for good.
    pub refused: u64,
    /// Deliveries that failed and were tried again.
    pub retries: u64,
}

impl Tailer {
    /// Starts tailing `jobs`, from the positions kept in `positions`.
    ///
    /// # Errors
    /// When the positions cannot be read or the thread cannot start.
    pub fn start(jobs: Vec<Job>, positions: &Path, to: Arc<dyn Deliver>) -> io::Result<Tailer> {
        let (stop, stopped) = channel();
        let status = Arc::new(Mutex::new(Status::default()));
        let worker = Worker {
            positions: Positions::load(positions)?,
            jobs: jobs.into_iter().map(Watched::new).collect(),
            to,
            stopped,
            status: status.clone(),
        };
        let thread = std::thread::Builder::new().name("log files".to_owned()).spawn(|| worker.run())?;
        Ok(Tailer { stop: Some(stop), thread: Some(thread), status })
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        *self.status.lock()
    }

    /// Stops; what was read is delivered or will be read again.
    pub fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that tails files ended with a panic");
        }
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A job and its files.
struct Watched {
    job: Job,
    files: BTreeMap<FileId, Open>,
    journal: Option<Journal>,
}

struct Open {
    file: TailedFile,
    /// Labels of its streams before the stages.
    labels: Labels,
    /// When it was first seen to have been moved away.
    moved: Option<Instant>,
}

impl Watched {
    fn new(job: Job) -> Self {
        Watched { job, files: BTreeMap::new(), journal: None }
    }
}

struct Worker {
    jobs: Vec<Watched>,
    positions: Positions,
    to: Arc<dyn Deliver>,
    stopped: Receiver<()>,
    status: Arc<Mutex<Status>>,
}

/// Lines of one delivery, by stream.
#[derive(Default)]
struct Batch {
    streams: BTreeMap<Labels, LogStream>,
    bytes: usize,
    lines: u64,
}

impl Batch {
    fn add(&mut self, mut line: Line) {
        let labels = line.labels.build();
        let stream = self
            .streams
            .entry(labels)
            .or_insert_with_key(|labels| LogStream { labels: labels.clone(), ..LogStream::default() });
        stream.timestamps.push(line.timestamp);
        stream.lines.push(&line.text);
        stream.metadata.push(line.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.bytes += line.text.len();
        self.lines += 1;
    }
}

/// The thread was told to stop.
struct Stopped;

impl Worker {
    fn run(mut self) {
        let mut scanned: Option<Instant> = None;
        loop {
            if scanned.is_none_or(|at| at.elapsed() >= RESCAN) {
                self.scan();
                scanned = Some(Instant::now());
            }
            match self.read_all() {
                Err(Stopped) => return,
                // More may be waiting: no pause while there is work.
                Ok(true) => continue,
                Ok(false) => {}
            }
            if self.pause(POLL).is_err() {
                return;
            }
        }
    }

    fn pause(&self, time: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    /// Finds new files, and files that were rotated away while nobody looked.
    fn scan(&mut self) {
        for watched in &mut self.jobs {
            for group in &watched.job.groups {
                for path in group.expand() {
                    open_new(&mut watched.files, group, &path, &self.positions, &watched.job.name);
                }
            }
            if let Some(config) = &watched.job.journal
                && watched.journal.as_mut().is_none_or(Journal::has_ended)
            {
                watched.journal = Journal::start(config, self.positions.cursor(&watched.job.name));
            }
        }
        self.status.lock().files = self.jobs.iter().map(|watched| watched.files.len()).sum();
    }

    /// Reads what is new of all files; whether there was something.
    fn read_all(&mut self) -> Result<bool, Stopped> {
        let mut any = false;
        for at in 0..self.jobs.len() {
            any |= self.read_journal(at)?;
            let ids: Vec<FileId> =
                self.jobs.get(at).map(|watched| watched.files.keys().copied().collect()).unwrap_or_default();
            for id in ids {
                any |= self.read_file(at, id)?;
            }
        }
        Ok(any)
    }

    fn read_file(&mut self, at: usize, id: FileId) -> Result<bool, Stopped> {
        let Some(watched) = self.jobs.get_mut(at) else { return Ok(false) };
        let Some(open) = watched.files.get_mut(&id) else { return Ok(false) };
        let change = match open.file.look() {
            Ok(change) => change,
            Err(error) => {
                tracing::warn!(file = %open.file.path.display(), %error, "a log file cannot be looked at");
                watched.files.remove(&id);
                return Ok(false);
            }
        };
        match change {
            Change::Restarted => {
                tracing::info!(file = %open.file.path.display(), "a log file was cut or replaced: read from its start");
            }
            Change::Grown => {}
            Change::None => {
                self.retire(at, id);
                return Ok(false);
            }
        }
        let mut batch = Batch::default();
        let now = timestamp::now();
        // Behind a rotation nothing more completes the last line.
        let is_last = open.moved.is_some_and(|at| at.elapsed() >= MOVED_GRACE);
        let (labels, stages) = (&open.labels, &watched.job.stages);
        let read = open.file.read(BATCH_BYTES, is_last, |text| {
            let mut line = Line::new(text, now, LabelsBuilder::from_labels(labels));
            if !text.is_empty() && stages::run(stages, &mut line) {
                batch.add(line);
            }
        });
        let path = open.file.path.clone();
        let offset = match read {
            Ok(offset) => offset,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a log file cannot be read");
                return Ok(false);
            }
        };
        let moved_on = offset != open.file.position().offset;
        self.deliver(batch)?;
        if let Some(open) = self.jobs.get_mut(at).and_then(|watched| watched.files.get_mut(&id)) {
            if let Err(error) = open.file.commit(offset) {
                tracing::warn!(file = %path.display(), %error, "a log file cannot be read");
            }
            self.positions.set(open.file.position());
        }
        self.save();
        Ok(moved_on)
    }

    /// Lets go of a file that was moved away and has nothing more to say.
    fn retire(&mut self, at: usize, id: FileId) {
        let Some(watched) = self.jobs.get_mut(at) else { return };
        let Some(open) = watched.files.get_mut(&id) else { return };
        if open.file.is_in_place() {
            open.moved = None;
            return;
        }
        let moved = *open.moved.get_or_insert_with(Instant::now);
        if moved.elapsed() >= MOVED_GRACE {
            watched.files.remove(&id);
            // Its name may be in use again, by a file of its own position.
            let open_now =
                |p: &crate::positions::Position| self.jobs.iter().any(|w| w.files.contains_key(&p.id));
            let gone = |p: &crate::positions::Position| !p.path.exists() && !open_now(p);
            self.positions.forget(gone);
            self.save();
        }
    }

    fn read_journal(&mut self, at: usize) -> Result<bool, Stopped> {
        let Some(watched) = self.jobs.get_mut(at) else { return Ok(false) };
        let Some(journal) = &watched.journal else { return Ok(false) };
        let mut batch = Batch::default();
        let mut cursor = None;
        while batch.bytes < BATCH_BYTES
            && let Some(entry) = journal.next()
        {
            cursor = Some(entry.cursor);
            let mut line = entry.line;
            if stages::run(&watched.job.stages, &mut line) {
                batch.add(line);
            }
        }
        let Some(cursor) = cursor else { return Ok(false) };
        let name = watched.job.name.clone();
        self.deliver(batch)?;
        self.positions.set_cursor(&name, cursor);
        self.save();
        Ok(true)
    }

    /// Delivers a batch, again and again while the receiver is away.
    fn deliver(&self, batch: Batch) -> Result<(), Stopped> {
        if batch.lines == 0 {
            return Ok(());
        }
        let streams: Vec<LogStream> = batch.streams.into_values().collect();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.to.deliver(&streams) {
                Ok(()) => {
                    let mut status = self.status.lock();
                    status.lines += batch.lines;
                    status.bytes += batch.bytes as u64;
                    return Ok(());
                }
                Err(DeliverError::Refused(reason)) => {
                    tracing::error!(
                        lines = batch.lines,
                        reason,
                        "lines of files were refused and are given up"
                    );
                    self.status.lock().refused += batch.lines;
                    return Ok(());
                }
                Err(DeliverError::Later(reason)) => {
                    tracing::warn!(reason, "lines of files cannot be delivered now, trying again");
                    self.status.lock().retries += 1;
                    self.pause(pause)?;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn save(&self) {
        if let Err(error) = self.positions.save() {
            tracing::error!(%error, "positions of log files cannot be saved: lines may be delivered twice after a restart");
        }
    }
}

/// Opens the file at `path` unless it is open, and files that stood there before and have undelivered lines.
fn open_new(
    files: &mut BTreeMap<FileId, Open>,
    group: &FileGroup,
    path: &Path,
    positions: &Positions,
    job: &str,
) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let id = FileId::of(&metadata);
    if let Some(open) = files.get_mut(&id) {
        // Renamed to another name that the pattern covers.
        path.clone_into(&mut open.file.path);
        return;
    }
    for old in positions.rotated_from(path, id) {
        if !files.contains_key(&old.id)
            && let Some(found) = find_by_id(path, old.id)
        {
            open_one(files, group, &found, positions, job, Some(path));
        }
    }
    open_one(files, group, path, positions, job, None);
}

fn open_one(
    files: &mut BTreeMap<FileId, Open>,
    group: &FileGroup,
    path: &Path,
    positions: &Positions,
    job: &str,
    named: Option<&Path>,
) {
    let position = std::fs::metadata(path).ok().and_then(|m| positions.get(FileId::of(&m)));
    match TailedFile::open(path, position) {
        Ok(file) => {
            let labels = group.labels_of(named.unwrap_or(path), job);
            files.insert(file.id, Open { file, labels, moved: named.map(|_| Instant::now()) });
        }
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a log file cannot be opened");
        }
    }
}

/// Where a file with this identity is now, beside the place it was at.
fn find_by_id(path: &Path, id: FileId) -> Option<PathBuf> {
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    entries.flatten().find(|entry| entry.metadata().is_ok_and(|m| FileId::of(&m) == id)).map(|e| e.path())
}
