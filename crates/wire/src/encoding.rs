//! Content encodings of request bodies, unpacked within a bound.

use std::borrow::Cow;
use std::io::{self, Read};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// One snappy block.
    Snappy,
    /// gzip, several members in a row allowed.
    Gzip,
    /// A DEFLATE stream without a zlib header.
    Deflate,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

/// Why a body cannot be unpacked; the texts are the peer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Not what the encoding says, or damaged.
    #[error("{0}")]
    Corrupt(&'static str),
    /// It would take more room than allowed.
    #[error("message decompressed size too large than max ({size} vs {limit})")]
    TooLarge {
        /// Its size, as far as it was unpacked.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// Unpacks a body of at most `limit` bytes once unpacked; a body that is not packed is given back as it is,
/// whatever its length.
///
/// # Errors
/// [`EncodingError`].
pub fn unpack(body: &[u8], encoding: Encoding, limit: usize) -> Result<Cow<'_, [u8]>, EncodingError> {
    match encoding {
        Encoding::Identity => Ok(Cow::Borrowed(body)),
        Encoding::Snappy => unpack_snappy(body, limit).map(Cow::Owned),
        Encoding::Gzip if !body.starts_with(&[0x1f, 0x8b]) => {
            Err(EncodingError::Corrupt(if body.is_empty() { "EOF" } else { "gzip: invalid header" }))
        }
        Encoding::Gzip => read(flate2::read::MultiGzDecoder::new(body), limit, |error| match error.kind() {
            io::ErrorKind::UnexpectedEof => "unexpected EOF",
            _ => "gzip: invalid checksum",
        }),
        Encoding::Deflate => {
            read(flate2::read::DeflateDecoder::new(body), limit, |error| match error.kind() {
                io::ErrorKind::UnexpectedEof => "unexpected EOF",
                _ => "flate: corrupt input",
            })
        }
        Encoding::Lz4 => read(lz4_flex::frame::FrameDecoder::new(body), limit, |_| "lz4: bad magic number"),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body);
            let mut decoder =
                decoder.map_err(|_| EncodingError::Corrupt("invalid input: magic number mismatch"))?;
            // The largest window a frame may ask for: 128 MiB.
            decoder.window_log_max(27).map_err(|_| EncodingError::Corrupt("window size exceeded"))?;
            read(decoder, limit, |error| match error.kind() {
                io::ErrorKind::UnexpectedEof => "unexpected EOF",
                _ => "invalid input: magic number mismatch",
            })
        }
    }
}

fn unpack_snappy(body: &[u8], limit: usize) -> Result<Vec<u8>, EncodingError> {
    let corrupt = |_| EncodingError::Corrupt("snappy: corrupt input");
    if body.is_empty() {
        return Err(EncodingError::Corrupt("snappy: corrupt input"));
    }
    let size = snap::raw::decompress_len(body).map_err(corrupt)?;
    if size > limit {
        return Err(EncodingError::TooLarge { size, limit });
    }
    // A copy of snappy is at most 64 bytes long and takes at least two.
    if size / 64 > body.len() {
        return Err(EncodingError::Corrupt("snappy: corrupt input"));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
}

fn read<'a>(
    reader: impl Read,
    limit: usize,
    describe: impl Fn(&io::Error) -> &'static str,
) -> Result<Cow<'a, [u8]>, EncodingError> {
    let mut out = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(bound).read_to_end(&mut out).map_err(|error| EncodingError::Corrupt(describe(&error)))?;
    if out.len() > limit {
        return Err(EncodingError::TooLarge { size: out.len(), limit });
    }
    Ok(Cow::Owned(out))
}
