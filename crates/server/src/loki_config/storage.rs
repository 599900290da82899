//! Where logs are kept: the store that the newest schema names, out of all the places Loki's files describe
//! stores in.

use std::path::PathBuf;

use novaobs_config::{Cursor, Secret, Section, value};
use url::Url;

use super::set;
use super::without_effect::{WithoutEffect, holds_nothing};

/// Where logs are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageConfig {
    /// The folder of the store: `common.path_prefix`, or the folder of chunks when that lies elsewhere;
    /// `None` when the file names neither.
    pub folder: Option<PathBuf>,
    /// The bucket, for logs that are not kept in the folder.
    pub bucket: Option<Bucket>,
}

/// A bucket as a URL that the event store opens: `s3://bucket/prefix?region=…`, `gs://…`, `az://…`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// The URL; credentials are among its parameters.
    pub url: Secret,
    /// The URL without credentials.
    pub shown: String,
}

/// Everything about storage that a file may say.
#[derive(Clone, Debug, Default)]
pub(super) struct StorageSections {
    pub(super) path_prefix: String,
    common: Stores,
    main: Stores,
    thanos: Stores,
    use_thanos: bool,
    /// `common.storage.object_store` and `storage_config.object_prefix`.
    object_prefix: String,
    /// `object_store` of the newest period of the schema.
    wanted: Option<String>,
}

/// The stores that one section describes.
#[derive(Clone, Debug, Default)]
struct Stores {
    folder: String,
    rules_folder: String,
    s3: Option<S3>,
    gcs: Option<Gcs>,
    azure: Option<Azure>,
    prefix: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct S3 {
    url: Secret,
    buckets: String,
    endpoint: String,
    region: String,
    access_key: String,
    secret_key: Secret,
    session_token: Secret,
    insecure: bool,
    path_style: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Gcs {
    bucket: String,
    service_account: Secret,
    endpoint: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Azure {
    container: String,
    account: String,
    key: Secret,
    client_id: String,
    client_secret: Secret,
    tenant: String,
    endpoint_suffix: String,
}

impl StorageSections {
    /// `common`.
    pub(super) fn read_common(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        set(&mut map, "path_prefix", value::string, &mut self.path_prefix);
        map.optional("storage", |at| {
            let mut map = at.mapping();
            self.common.read(&mut map, "s3");
            map.optional("object_store", |at| self.thanos.read_thanos(at, rest));
            if self.common.described().len() > 1 {
                map.error("too many storage configs provided in the common config, please only define one storage backend");
            }
            rest.take_rest(&mut map, "common.storage");
            map.finish();
            Some(())
        });
        rest.take_rest(&mut map, "common");
        map.finish();
        Some(())
    }

    /// `storage_config`.
    pub(super) fn read_storage_config(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        self.main.read(&mut map, "aws");
        set(&mut map, "use_thanos_objstore", value::boolean, &mut self.use_thanos);
        set(&mut map, "object_prefix", value::string, &mut self.object_prefix);
        map.optional("object_store", |at| self.thanos.read_thanos(at, rest));
        rest.take_rest(&mut map, "storage_config");
        map.finish();
        Some(())
    }

    /// `schema_config`: only the store of the newest period matters.
    pub(super) fn read_schema(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        let mut periods = map.list("configs", |at| read_period(at, rest));
        map.finish();
        periods.sort();
        if let Some((_, store)) = periods.pop() {
            self.wanted = Some(store);
        }
        Some(())
    }

    /// Where rules lie when `ruler.storage` does not say: `common.storage.filesystem.rules_directory`.
    pub(super) fn rules_folder(&self) -> Option<PathBuf> {
        Some(&self.common.rules_folder).filter(|folder| !folder.is_empty()).map(PathBuf::from)
    }

    /// Chooses. What cannot be used is reported at `at`.
    pub(super) fn resolve(&self, at: &Cursor<'_>) -> StorageConfig {
        let chunks = [&self.main.folder, &self.common.folder].into_iter().find(|folder| !folder.is_empty());
        let prefix = Some(&self.path_prefix).filter(|prefix| !prefix.is_empty());
        let folder = match (prefix, chunks) {
            (Some(prefix), Some(chunks)) if PathBuf::from(chunks).starts_with(prefix) => Some(prefix),
            (prefix, chunks) => chunks.or(prefix),
        };
        let folder = folder.map(PathBuf::from);
        let common = self.common.described();
        let kind = self.wanted.as_deref().or(common.first().copied()).unwrap_or("filesystem");
        let bucket = match kind {
            "s3" | "aws" | "aws-dynamo" => self.bucket(|stores| S3::bucket(stores.s3.as_ref()?)),
            "gcs" | "gcp" | "gcp-columnkey" | "bigtable" | "bigtable-hashed" => {
                self.bucket(|stores| Gcs::bucket(stores.gcs.as_ref()?))
            }
            "azure" => self.bucket(|stores| Azure::bucket(stores.azure.as_ref()?)),
            "" | "filesystem" | "inmemory" => return StorageConfig { folder, bucket: None },
            other => {
                at.warn(format!(
                    "object_store {other} of schema_config is not built: logs are stored in the local folder; write filesystem, s3, gcs or azure"
                ));
                return StorageConfig { folder, bucket: None };
            }
        };
        match bucket {
            Some(Ok((url, stores))) => {
                let prefix = if stores.prefix.is_empty() { &self.object_prefix } else { &stores.prefix };
                StorageConfig { folder, bucket: Some(url.finish(prefix)) }
            }
            Some(Err(message)) => {
                at.error::<()>(message);
                StorageConfig { folder, bucket: None }
            }
            None => {
                at.warn(format!(
                    "schema_config stores objects in {kind}, and neither common.storage nor storage_config names a bucket there: logs are stored in the local folder"
                ));
                StorageConfig { folder, bucket: None }
            }
        }
    }

    /// The first section that describes a store of the wanted kind.
    fn bucket(
        &self,
        find: impl Fn(&Stores) -> Option<Result<BucketUrl, String>>,
    ) -> Option<Result<(BucketUrl, &Stores), String>> {
        let order = if self.use_thanos {
            [&self.thanos, &self.main, &self.common]
        } else {
            [&self.main, &self.common, &self.thanos]
        };
        order.into_iter().find_map(|stores| Some(find(stores)?.map(|url| (url, stores))))
    }
}

/// A period of the schema: its first day and its object store. Dates sort as texts.
fn read_period(at: &Cursor<'_>, rest: &WithoutEffect) -> Option<(String, String)> {
    let mut map = at.mapping();
    let from = map.or("from", value::string, String::new());
    let store = map.or("store", value::string, String::new());
    let object_store = map.or("object_store", value::string, String::new());
    rest.take_rest(&mut map, "schema_config");
    map.finish();
    // Older releases kept chunks in the store of the index when nothing else was said.
    let fallback =
        if matches!(store.as_str(), "tsdb" | "boltdb" | "boltdb-shipper") { String::new() } else { store };
    Some((from, if object_store.is_empty() { fallback } else { object_store }))
}

impl Stores {
    /// The blocks that `common.storage` and `storage_config` share; S3 has two names.
    fn read(&mut self, map: &mut Section<'_>, s3: &'static str) {
        if let Some(read) = map.optional(s3, S3::read) {
            self.s3 = Some(read);
        }
        if let Some(read) = map.optional("gcs", Gcs::read) {
            self.gcs = Some(read);
        }
        if let Some(read) = map.optional("azure", Azure::read) {
            self.azure = Some(read);
        }
        map.optional("filesystem", |at| {
            let mut map = at.mapping();
            for key in ["directory", "chunks_directory", "dir"] {
                set(&mut map, key, value::string, &mut self.folder);
            }
            set(&mut map, "rules_directory", value::string, &mut self.rules_folder);
            // Of the enterprise edition.
            map.take("admin_api_directory");
            map.finish();
            Some(())
        });
    }

    fn read_thanos(&mut self, at: &Cursor<'_>, rest: &WithoutEffect) -> Option<()> {
        let mut map = at.mapping();
        self.read(&mut map, "s3");
        set(&mut map, "storage_prefix", value::string, &mut self.prefix);
        rest.take_rest(&mut map, "object_store");
        map.finish();
        Some(())
    }

    /// The kinds of store this section describes. A block that names no bucket is one of a file that lists
    /// every default.
    fn described(&self) -> Vec<&'static str> {
        let named = [
            ("s3", self.s3.as_ref().is_some_and(|s3| !s3.url.is_empty() || !s3.buckets.is_empty())),
            ("gcs", self.gcs.as_ref().is_some_and(|gcs| !gcs.bucket.is_empty())),
            ("azure", self.azure.as_ref().is_some_and(|azure| !azure.account.is_empty())),
        ];
        named.into_iter().filter(|(_, named)| *named).map(|(kind, _)| kind).collect()
    }
}

/// Keys of stores that only tune their client.
const CLIENT_KEYS: [&str; 42] = [
    "http_config",
    "http",
    "backoff_config",
    "storage_class",
    "chunk_delimiter",
    "disable_dualstack",
    "dualstack_enabled",
    "bucket_lookup_type",
    "list_objects_version",
    "part_size",
    "send_content_md5",
    "sts_endpoint",
    "max_retries",
    "native_aws_auth_enabled",
    "trace",
    "chunk_buffer_size",
    "request_timeout",
    "enable_opencensus",
    "enable_http2",
    "enable_retries",
    "download_buffer_size",
    "upload_buffer_size",
    "upload_buffer_count",
    "min_retry_delay",
    "max_retry_delay",
    "environment",
    "active_directory_endpoint",
    "dynamodb",
    "signature_version",
    "use_managed_identity",
    "use_federated_token",
    "user_assigned_id",
    "use_service_principal",
    "connection_string",
    "sse",
    "sse_encryption",
    "metrics",
    "apiconfig",
    "hedging",
    "msi_resource",
    "reader_config",
    "pipeline_config",
];

/// Among them those that change where or how data is kept.
const MATTERS: [&str; 4] = ["connection_string", "sse", "sse_encryption", "use_federated_token"];

fn client_keys(map: &mut Section<'_>) {
    for key in CLIENT_KEYS {
        if let Some(at) = map.take(key)
            && MATTERS.contains(&key)
            && !holds_nothing(at.node())
        {
            at.warn(format!("without effect: {key} is not built for this store"));
        }
    }
}

impl S3 {
    fn read(at: &Cursor<'_>) -> Option<S3> {
        let mut map = at.mapping();
        let mut s3 = S3::default();
        set(&mut map, "s3", value::secret, &mut s3.url);
        set(&mut map, "bucketnames", value::string, &mut s3.buckets);
        set(&mut map, "bucket_name", value::string, &mut s3.buckets);
        set(&mut map, "endpoint", value::string, &mut s3.endpoint);
        set(&mut map, "region", value::string, &mut s3.region);
        set(&mut map, "access_key_id", value::string, &mut s3.access_key);
        set(&mut map, "secret_access_key", value::secret, &mut s3.secret_key);
        set(&mut map, "session_token", value::secret, &mut s3.session_token);
        set(&mut map, "insecure", value::boolean, &mut s3.insecure);
        s3.path_style = map.optional("s3forcepathstyle", value::boolean);
        client_keys(&mut map);
        if let Some((first, _)) = s3.buckets.clone().split_once(',') {
            map.cursor()
                .warn(format!("bucketnames: logs are not spread over several buckets: all go to {first}"));
            s3.buckets = first.trim().to_owned();
        }
        map.finish();
        Some(s3)
    }

    /// The block as a URL; `None` without the name of a bucket. The short form is `s3://key:secret@region/bucket`, or with the host of an endpoint
    /// in place of the region: a name with a dot or a port.
    fn bucket(&self) -> Option<Result<BucketUrl, String>> {
        let mut s3 = self.clone();
        if !self.url.is_empty() {
            let bad = |why: &str| format!("storage: s3: {why}: write s3://key:secret@region/bucket");
            let url = match Url::parse(self.url.expose()) {
                Ok(url) => url,
                Err(error) => return Some(Err(bad(&error.to_string()))),
            };
            let decoded = |text: &str| percent_decoded(text);
            if !url.username().is_empty() {
                s3.access_key = decoded(url.username());
                s3.secret_key = Secret::new(decoded(url.password().unwrap_or_default()));
            }
            let bucket = url.path().trim_matches('/');
            if s3.buckets.is_empty() {
                s3.buckets = bucket.to_owned();
            }
            match (url.host_str(), url.port()) {
                (Some(host), Some(port)) if s3.endpoint.is_empty() => s3.endpoint = format!("{host}:{port}"),
                (Some(host), None) if host.contains('.') && s3.endpoint.is_empty() => {
                    s3.endpoint = host.to_owned()
                }
                (Some(host), None) if !host.contains('.') && s3.region.is_empty() => {
                    s3.region = host.to_owned()
                }
                _ => {}
            }
        }
        if s3.buckets.is_empty() {
            return None;
        }
        let mut out = BucketUrl::new("s3", &s3.buckets);
        if !s3.endpoint.is_empty() {
            let scheme = if s3.insecure { "http" } else { "https" };
            let has_scheme = s3.endpoint.contains("://");
            let endpoint =
                if has_scheme { s3.endpoint.clone() } else { format!("{scheme}://{}", s3.endpoint) };
            out.shown("allow_http", if endpoint.starts_with("http://") { "true" } else { "" });
            // With names of hosts the bucket is part of the host, also of the endpoint's.
            let virtual_host = s3.path_style == Some(false) && endpoint.contains("amazonaws.com");
            out.shown("virtual_hosted_style_request", if virtual_host { "true" } else { "" });
            out.shown("endpoint", &endpoint);
        }
        out.shown("region", &s3.region);
        out.secret("access_key_id", &s3.access_key);
        out.secret("secret_access_key", s3.secret_key.expose());
        out.secret("session_token", s3.session_token.expose());
        Some(Ok(out))
    }
}

impl Gcs {
    fn read(at: &Cursor<'_>) -> Option<Gcs> {
        let mut map = at.mapping();
        let mut gcs = Gcs::default();
        set(&mut map, "bucket_name", value::string, &mut gcs.bucket);
        set(&mut map, "service_account", value::secret, &mut gcs.service_account);
        set(&mut map, "endpoint", value::string, &mut gcs.endpoint);
        client_keys(&mut map);
        map.finish();
        Some(gcs)
    }

    fn bucket(&self) -> Option<Result<BucketUrl, String>> {
        if self.bucket.is_empty() {
            return None;
        }
        let mut out = BucketUrl::new("gs", &self.bucket);
        out.shown("base_url", &self.endpoint);
        out.secret("service_account_key", self.service_account.expose());
        Some(Ok(out))
    }
}

impl Azure {
    fn read(at: &Cursor<'_>) -> Option<Azure> {
        let mut map = at.mapping();
        let mut azure = Azure::default();
        set(&mut map, "container_name", value::string, &mut azure.container);
        set(&mut map, "account_name", value::string, &mut azure.account);
        set(&mut map, "account_key", value::secret, &mut azure.key);
        set(&mut map, "client_id", value::string, &mut azure.client_id);
        set(&mut map, "client_secret", value::secret, &mut azure.client_secret);
        set(&mut map, "tenant_id", value::string, &mut azure.tenant);
        set(&mut map, "endpoint_suffix", value::string, &mut azure.endpoint_suffix);
        client_keys(&mut map);
        map.finish();
        Some(azure)
    }

    fn bucket(&self) -> Option<Result<BucketUrl, String>> {
        if self.account.is_empty() {
            return None;
        }
        let container = if self.container.is_empty() { "loki" } else { &self.container };
        let mut out = BucketUrl::new("az", container);
        out.shown("account_name", &self.account);
        if !self.endpoint_suffix.is_empty() {
            out.shown("endpoint", &format!("https://{}.{}", self.account, self.endpoint_suffix));
        }
        out.secret("account_key", self.key.expose());
        out.shown("client_id", &self.client_id);
        out.secret("client_secret", self.client_secret.expose());
        out.shown("tenant_id", &self.tenant);
        Some(Ok(out))
    }
}

/// A URL on its way: parameters that may be shown, and those that may not.
struct BucketUrl {
    base: String,
    shown: Vec<(&'static str, String)>,
    secret: Vec<(&'static str, String)>,
}

impl BucketUrl {
    fn new(scheme: &str, bucket: &str) -> Self {
        BucketUrl { base: format!("{scheme}://{bucket}"), shown: Vec::new(), secret: Vec::new() }
    }

    fn shown(&mut self, name: &'static str, value: &str) {
        self.shown.extend((!value.is_empty()).then(|| (name, value.to_owned())));
    }

    fn secret(&mut self, name: &'static str, value: &str) {
        self.secret.extend((!value.is_empty()).then(|| (name, value.to_owned())));
    }

    fn finish(self, prefix: &str) -> Bucket {
        let prefix = prefix.trim_matches('/');
        let base = if prefix.is_empty() { self.base } else { format!("{}/{prefix}", self.base) };
        let with = |pairs: &mut dyn Iterator<Item = &(&'static str, String)>| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in pairs {
                query.append_pair(name, value);
            }
            let query = query.finish();
            if query.is_empty() { base.clone() } else { format!("{base}?{query}") }
        };
        let shown = with(&mut self.shown.iter());
        Bucket { url: Secret::new(with(&mut self.shown.iter().chain(&self.secret))), shown }
    }
}

fn percent_decoded(text: &str) -> String {
    // A form decoder would make a blank of a plus sign, which keys may hold.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("k={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
