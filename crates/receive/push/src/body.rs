//! Bodies of requests: read, unpacked and decoded within the memory there is.

use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use novaobs_model::{Lease, Tenant};
use novaobs_wire::encoding::{Encoding, EncodingError, unpack};

use crate::error::PushError;
use crate::push::{Format, Push};

/// A body, as it came, and the memory it holds.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lease: Lease,
}

/// How many times its own size a body may take once decoded into columns: short entries cost most.
const DECODED: usize = 4;
/// What any body may take on top.
const DECODED_ANYWAY: usize = 1 << 16;

impl Push {
    /// Reads a body whole.
    ///
    /// # Errors
    /// 413 when it is too long, 429 when too many bytes are on their way already, 400 when it breaks off.
    pub(crate) async fn receive(
        &self,
        tenant: &Tenant,
        format: Format,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<Received, PushError> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(length) = length.filter(|length| *length > self.options.max_body) {
            return Err(self.too_large(tenant, format, length, length));
        }
        let mut lease = self.memory.take(length.unwrap_or(0) as u64).map_err(busy)?;
        let mut bytes = Vec::with_capacity(length.unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| PushError::bad_request(format!("reading the body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let size = bytes.len() + data.len();
            if size > self.options.max_body {
                return Err(self.too_large(tenant, format, self.options.max_body + 1, size));
            }
            if size as u64 > lease.bytes() {
                lease.grow(data.len() as u64).map_err(busy)?;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes, lease })
    }

    fn too_large(&self, tenant: &Tenant, format: Format, shown: usize, counted: usize) -> PushError {
        self.metrics.body_too_large(tenant, format, counted as u64);
        let limit = self.options.max_body;
        let message = format!("request body too large: message size too large than max ({shown} vs {limit})");
        PushError::new(413, message)
    }

    /// Unpacks a body, and takes the memory that decoding it may need; gives the bound for that.
    ///
    /// # Errors
    /// 413 when it is too long unpacked, 429 when there is no memory for it, 400 when it is damaged.
    pub(crate) fn unpack<'b>(
        &self,
        tenant: &Tenant,
        format: Format,
        received: &'b mut Received,
        encodings: &[Encoding],
    ) -> Result<(std::borrow::Cow<'b, [u8]>, usize), PushError> {
        let free = self.memory.limit().saturating_sub(self.memory.used());
        // A column of text holds at most 4 GiB, and a byte that is not UTF-8 becomes three.
        let most = self.options.max_unpacked.min(u32::MAX as usize / 3);
        let mut limit = most.min(usize::try_from(free).unwrap_or(usize::MAX));
        let Received { bytes, lease } = received;
        let packed = bytes.len();
        let mut body = std::borrow::Cow::Borrowed(bytes.as_slice());
        for encoding in encodings {
            let unpacked = unpack(&body, *encoding, limit);
            let unpacked = unpacked.map(|body| body.into_owned()).map_err(|error| match error {
                EncodingError::Corrupt(message) => PushError::bad_request(message),
                EncodingError::TooLarge { .. } if limit < most => {
                    PushError::later(429, "too many bytes of pushes are on their way; send this again later")
                }
                error @ EncodingError::TooLarge { .. } => {
                    self.metrics.body_too_large(tenant, format, packed as u64);
                    PushError::new(413, format!("request body too large: {error}"))
                }
            })?;
            lease.grow(unpacked.len() as u64).map_err(busy)?;
            limit = limit.saturating_sub(unpacked.len());
            body = std::borrow::Cow::Owned(unpacked);
        }
        let decoded = body.len() * DECODED + DECODED_ANYWAY;
        // Most bodies take about their own size; the bound is for odd ones.
        lease.grow(body.len() as u64).map_err(busy)?;
        Ok((body, decoded))
    }
}

/// For now there is no memory for more.
pub(crate) fn busy(refused: novaobs_model::OverBudget) -> PushError {
    PushError::later(429, format!("too many bytes of pushes are on their way: {refused}"))
}
