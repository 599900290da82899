//! Delivery to a Loki over HTTP.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use novaobs_http_client::{BuildError, HttpClient, Request};
use novaobs_model::{Labels, LabelsBuilder, LogStream};
use novaobs_wire::loki_push;
use tokio::runtime::Handle;
use url::Url;

use crate::config::ClientConfig;
use crate::deliver::{Deliver, DeliverError};

/// Most of an answer that is read for its text.
const ANSWER_BYTES: usize = 4 << 10;

/// Pushes to a Loki URL. Used from a thread that may block, never from one of `runtime`.
pub struct RemoteLoki {
    client: HttpClient,
    url: Url,
    tenant: Option<HeaderValue>,
    external_labels: Labels,
    timeout: Duration,
    runtime: Handle,
}

impl RemoteLoki {
    /// A client of what `config` says.
    ///
    /// # Errors
    /// When credentials or certificates cannot be used.
    pub fn new(config: &ClientConfig, runtime: Handle) -> Result<Self, BuildError> {
        Ok(RemoteLoki {
            client: HttpClient::new(&config.http)?,
            url: config.url.clone(),
            tenant: config.tenant.as_deref().and_then(|tenant| HeaderValue::from_str(tenant).ok()),
            external_labels: config.external_labels.clone(),
            timeout: config.timeout,
            runtime,
        })
    }

    async fn push(&self, body: Vec<u8>) -> Result<(), DeliverError> {
        let mut request = Request::post(self.url.clone(), body)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .header(CONTENT_ENCODING, HeaderValue::from_static("snappy"))
            .timeout(self.timeout);
        if let Some(tenant) = &self.tenant {
            request = request.header(HeaderName::from_static("x-scope-orgid"), tenant.clone());
        }
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| DeliverError::Later(format!("{}: {error}", self.url)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let text = response.bytes(ANSWER_BYTES).await.unwrap_or_default();
        let reason = format!("{}: {status}: {}", self.url, String::from_utf8_lossy(&text).trim());
        // The same rule as the peers': what may work later is tried again, a mistake is not.
        if status.is_server_error() || status.as_u16() == 429 {
            Err(DeliverError::Later(reason))
        } else {
            Err(DeliverError::Refused(reason))
        }
    }
}

impl Deliver for RemoteLoki {
    fn deliver(&self, streams: &[LogStream]) -> Result<(), DeliverError> {
        let body = if self.external_labels.is_empty() {
            loki_push::encode_protobuf(streams)
        } else {
            let mut streams = streams.to_vec();
            for stream in &mut streams {
                let mut labels = LabelsBuilder::from_labels(&stream.labels);
                for (name, value) in &self.external_labels {
                    labels.set(name, value);
                }
                stream.labels = labels.build();
            }
            loki_push::encode_protobuf(&streams)
        };
        let body = body.map_err(|error| DeliverError::Refused(format!("encoding a push: {error}")))?;
        self.runtime.block_on(self.push(body))
    }
}
