//! A bucket in an object store: S3 and what speaks its protocol, Google Cloud Storage, Azure.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use novaobs_parts::PartFile;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig,
};
use tokio::runtime::Runtime;
use url::Url;

use super::cache::{PAGE, PageCache};
use super::{Bucket, Object, Upload};

/// An operation is tried again until this long after its begin.
const DEADLINE: Duration = Duration::from_secs(60);
/// The first pause between two attempts; each is twice the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A request without an answer for this long is given up and tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Pieces in which large objects are sent; S3 takes none below 5 MiB.
const PIECE: usize = 8 << 20;

/// Why a URL does not name a bucket.
#[derive(Debug, thiserror::Error)]
pub enum BucketUrlError {
    /// Not a URL.
    #[error(
        "{url} is no URL: {source}; write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    )]
    Url {
        /// What was given.
        url: String,
        /// Why.
        source: url::ParseError,
    },
    /// Another scheme, or an unknown parameter.
    #[error("{url}: {what}")]
    Unknown {
        /// What was given, without its parameters.
        url: String,
        /// What is wrong and what to write.
        what: String,
    },
    /// The object store's own words.
    #[error("{url}: {source}")]
    Store {
        /// What was given, without its parameters.
        url: String,
        /// Why.
        source: object_store::Error,
    },
    /// The threads of its client.
    #[error("cannot start the threads of {url}: {source}")]
    Threads {
        /// What was given, without its parameters.
        url: String,
        /// Why.
        source: io::Error,
    },
}

/// Objects in an object store below a prefix. Failed requests (5xx, time-outs, short answers) are tried
/// again with growing pauses for a minute.
pub struct RemoteBucket {
    name: String,
    prefix: String,
    client: Arc<Client>,
    cache: Arc<PageCache>,
}

impl RemoteBucket {
    /// The bucket that a URL names: `s3://bucket/prefix?endpoint=…&region=…&allow_http=true`, `gs://…`,
    /// `az://…`; parameters are those of `object_store` (`aws_…`, `google_…`, `azure_…`) with or without
    /// their first word. Credentials may also come from the environment. Up to `cache_bytes` of what was
    /// read are kept in memory.
    ///
    /// # Errors
    /// [`BucketUrlError`].
    pub fn from_url(text: &str, cache_bytes: u64) -> Result<RemoteBucket, BucketUrlError> {
        let url = Url::parse(text).map_err(|source| BucketUrlError::Url { url: text.to_owned(), source })?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let prefix = url.path().trim_matches('/').to_owned();
        let name = format!("{}://{host}/{prefix}", url.scheme());
        let parameters = || url.query_pairs();
        let allow_http =
            parameters().any(|(key, value)| key.ends_with("allow_http") && matches!(&*value, "true" | "1"));
        let client = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(Duration::from_secs(5));
        let failed = |source| BucketUrlError::Store { url: name.clone(), source };
        let unknown = |key: &str| BucketUrlError::Unknown {
            url: name.clone(),
            what: format!(
                "unknown parameter {key}; write one of endpoint, region, access_key_id, secret_access_key, allow_http or another of the object store's"
            ),
        };
        macro_rules! build {
            ($builder:ty, $key:ty, $named:ident) => {{
                let mut builder = <$builder>::from_env().$named(&host);
                for (key, value) in parameters().filter(|(key, _)| !key.ends_with("allow_http")) {
                    let known = key.parse::<$key>().map_err(|_| unknown(&key))?;
                    builder = builder.with_config(known, value);
                }
                let built = builder.with_client_options(client).with_retry(retry()).build();
                Arc::new(built.map_err(failed)?) as Arc<dyn ObjectStore>
            }};
        }
        let store = match url.scheme() {
            "s3" | "s3a" => build!(
                object_store::aws::AmazonS3Builder,
                object_store::aws::AmazonS3ConfigKey,
                with_bucket_name
            ),
            "gs" | "gcs" => build!(
                object_store::gcp::GoogleCloudStorageBuilder,
                object_store::gcp::GoogleConfigKey,
                with_bucket_name
            ),
            "az" | "azure" => build!(
                object_store::azure::MicrosoftAzureBuilder,
                object_store::azure::AzureConfigKey,
                with_container_name
            ),
            other => {
                let what = format!("unknown scheme {other}; write s3://, gs:// or az://");
                return Err(BucketUrlError::Unknown { url: name, what });
            }
        };
        let client =
            Client::new(store).map_err(|source| BucketUrlError::Threads { url: name.clone(), source })?;
        Ok(RemoteBucket { name, prefix, client, cache: Arc::new(PageCache::new(cache_bytes)) })
    }

    /// A bucket in memory, for tests and trials.
    ///
    /// # Errors
    /// When its threads cannot be started.
    pub fn in_memory() -> io::Result<RemoteBucket> {
        let client = Client::new(Arc::new(object_store::memory::InMemory::new()))?;
        let cache = Arc::new(PageCache::new(1 << 20));
        Ok(RemoteBucket { name: "memory".to_owned(), prefix: String::new(), client, cache })
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() { Path::from(key) } else { Path::from(format!("{}/{key}", self.prefix)) }
    }

    /// Runs `operation` until it succeeds, fails for good, or its time is over.
    fn retrying<T: Send + 'static, F>(&self, operation: impl Fn(Arc<dyn ObjectStore>) -> F) -> io::Result<T>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.client.wait(operation(self.client.store.clone()))? {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if !passes(&error) || begun.elapsed() + pause > DEADLINE {
                return Err(io_error(&self.name, error));
            }
            tracing::debug!(bucket = self.name, "request failed, will be tried again: {error}");
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Retries inside one request; [`RemoteBucket::retrying`] goes on around them.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 2.0 };
    RetryConfig { backoff, max_retries: 3, retry_timeout: DEADLINE / 3 }
}

/// Whether another attempt may succeed.
fn passes(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. })
}

fn io_error(bucket: &str, error: object_store::Error) -> io::Error {
    use object_store::Error;
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{bucket}: {error}"))
}

impl fmt::Debug for RemoteBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The object store and the threads its requests run on.
struct Client {
    store: Arc<dyn ObjectStore>,
    /// Taken when dropped.
    runtime: Option<Runtime>,
}

impl Client {
    fn new(store: Arc<dyn ObjectStore>) -> io::Result<Arc<Client>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("bucket")
            .enable_all()
            .build()?;
        Ok(Arc::new(Client { store, runtime: Some(runtime) }))
    }

    /// Waits for a future without being one: callers may be threads of any runtime that may block.
    fn wait<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        let gone = || io::Error::other("the bucket's client was shut down");
        let (send, receive) = mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        runtime.spawn(async move {
            // The receiver waits below.
            let _ = send.send(future.await);
        });
        receive.recv().map_err(|_| gone())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting would panic where the last owner is a task.
            runtime.shutdown_background();
        }
    }
}

impl Bucket for RemoteBucket {
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> io::Result<bool> {
        let bytes = Bytes::copy_from_slice(bytes);
        let path = self.path(key);
        let put = self.retrying(|store| {
            let (path, bytes) = (path.clone(), bytes.clone());
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            async move { store.put_opts(&path, bytes.into(), options).await.map(|_| ()) }
        });
        match put {
            Ok(()) => Ok(true),
            // Perhaps it was an earlier attempt of this very call that won and whose answer was lost.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(self.get(key)? == bytes),
            Err(error) => Err(error),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        let path = self.path(key);
        self.retrying(|store| {
            let (path, bytes) = (path.clone(), bytes.clone());
            async move { store.put(&path, bytes.into()).await.map(|_| ()) }
        })
    }

    fn upload(&self, key: &str) -> io::Result<Box<dyn Upload>> {
        Ok(Box::new(RemoteUpload {
            bucket: self.name.clone(),
            path: self.path(key),
            client: self.client.clone(),
            buffer: Vec::new(),
            pieces: None,
        }))
    }

    fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        let path = self.path(key);
        let bytes = self.retrying(|store| {
            let path = path.clone();
            async move { store.get(&path).await?.bytes().await }
        })?;
        Ok(bytes.to_vec())
    }

    fn open(&self, key: &str, bytes: u64) -> Arc<dyn PartFile> {
        let bucket = RemoteBucket {
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            client: self.client.clone(),
            cache: self.cache.clone(),
        };
        Arc::new(RemoteFile { path: self.path(key), key: key.into(), bytes, bucket })
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<Object>> {
        let path = self.path(prefix);
        let found = self.retrying(|store| {
            let path = path.clone();
            async move { store.list(Some(&path)).try_collect::<Vec<_>>().await }
        })?;
        let own =
            if self.prefix.is_empty() { String::new() } else { format!("{}/", Path::from(&*self.prefix)) };
        let objects = found.into_iter().filter_map(|meta| {
            let key = meta.location.as_ref().strip_prefix(&own)?.to_owned();
            Some(Object { key, bytes: meta.size, modified: meta.last_modified.into() })
        });
        Ok(objects.collect())
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        let path = self.path(key);
        let deleted = self.retrying(|store| {
            let path = path.clone();
            async move { store.delete(&path).await }
        });
        deleted.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }
}

/// An object that is read by pages, through the cache.
struct RemoteFile {
    path: Path,
    key: Arc<str>,
    bytes: u64,
    bucket: RemoteBucket,
}

impl RemoteFile {
    /// Reads `range` from the store; a shorter answer is an error that is tried again.
    fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.bucket.retrying(|store| {
            let (path, range) = (self.path.clone(), range.clone());
            async move {
                let wanted = range.end - range.start;
                let bytes = store.get_range(&path, range).await?;
                if bytes.len() as u64 == wanted {
                    return Ok(bytes);
                }
                let source = format!("{} of {wanted} bytes came", bytes.len()).into();
                Err(object_store::Error::Generic { store: "bucket", source })
            }
        })
    }
}

impl PartFile for RemoteFile {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let range = range.start..range.end.min(self.bytes);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let pages = range.start / PAGE..(range.end - 1) / PAGE + 1;
        let mut found: Vec<Option<Bytes>> =
            pages.clone().map(|page| self.bucket.cache.get(&self.key, page)).collect();
        // One request for all from the first to the last page that is missing.
        let first = found.iter().position(Option::is_none);
        if let (Some(first), Some(last)) = (first, found.iter().rposition(Option::is_none)) {
            let start = (pages.start + first as u64) * PAGE;
            let end = ((pages.start + last as u64 + 1) * PAGE).min(self.bytes);
            let bytes = self.fetch(start..end)?;
            for (slot, page) in found.iter_mut().zip(pages.clone()).take(last + 1).skip(first) {
                let from = (page * PAGE - start) as usize;
                let to = (from + PAGE as usize).min(bytes.len());
                // A copy: a slice would keep all of the answer in memory.
                let page_bytes = Bytes::copy_from_slice(bytes.get(from..to).unwrap_or_default());
                self.bucket.cache.put(&self.key, page, page_bytes.clone());
                *slot = Some(page_bytes);
            }
        }
        if let [Some(page)] = found.as_slice() {
            let at = (range.start - pages.start * PAGE) as usize;
            return Ok(page.slice(at..at + (range.end - range.start) as usize));
        }
        let mut all = Vec::with_capacity((range.end - range.start) as usize);
        for (page, number) in found.into_iter().flatten().zip(pages) {
            let from = range.start.saturating_sub(number * PAGE) as usize;
            let to = ((range.end - number * PAGE) as usize).min(page.len());
            all.extend_from_slice(page.get(from..to).unwrap_or_default());
        }
        Ok(all.into())
    }
}

/// A large object on its way, in pieces.
struct RemoteUpload {
    bucket: String,
    path: Path,
    client: Arc<Client>,
    buffer: Vec<u8>,
    pieces: Option<Box<dyn MultipartUpload>>,
}

impl RemoteUpload {
    fn failed(&self, error: object_store::Error) -> io::Error {
        io_error(&self.bucket, error)
    }

    fn send(&mut self) -> io::Result<()> {
        let mut pieces = match self.pieces.take() {
            Some(pieces) => pieces,
            None => {
                let (store, path) = (self.client.store.clone(), self.path.clone());
                let begun = self.client.wait(async move { store.put_multipart(&path).await })?;
                begun.map_err(|error| self.failed(error))?
            }
        };
        let bytes = std::mem::take(&mut self.buffer);
        let sent = self.client.wait(pieces.put_part(bytes.into()))?;
        self.pieces = Some(pieces);
        sent.map_err(|error| self.failed(error))
    }
}

impl Write for RemoteUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for RemoteUpload {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.pieces.is_some() && !self.buffer.is_empty() {
            self.send()?;
        }
        let done = match self.pieces.take() {
            Some(mut pieces) => self.client.wait(async move { pieces.complete().await.map(|_| ()) })?,
            None => {
                let (store, path) = (self.client.store.clone(), self.path.clone());
                let bytes = std::mem::take(&mut self.buffer);
                self.client.wait(async move { store.put(&path, bytes.into()).await.map(|_| ()) })?
            }
        };
        done.map_err(|error| self.failed(error))
    }
}

impl Drop for RemoteUpload {
    fn drop(&mut self) {
        if let Some(mut pieces) = self.pieces.take() {
            // Left behind, it would be billed; the store's own rules clean up what this cannot.
            let _ = self.client.wait(async move { pieces.abort().await });
        }
    }
}
