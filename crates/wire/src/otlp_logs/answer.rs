//! Answers to an export: `ExportLogsServiceResponse` and `google.rpc.Status`.

use crate::protobuf::{push_bytes, push_integer};

/// An `ExportLogsServiceResponse`; empty when nothing was rejected and there is nothing to say.
pub fn partial_success(rejected: usize, message: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    if rejected == 0 && message.is_none() {
        return out;
    }
    let mut partial = Vec::new();
    push_integer(&mut partial, 1, rejected as u64);
    push_bytes(&mut partial, 2, message.unwrap_or("").as_bytes());
    push_bytes(&mut out, 1, &partial);
    out
}

/// A `google.rpc.Status`; a code of 0 is left out.
pub fn status_message(code: i32, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if code != 0 {
        push_integer(&mut out, 1, i64::from(code) as u64);
    }
    push_bytes(&mut out, 2, message.as_bytes());
    out
}

/// A `google.rpc.Status` with a `RetryInfo`: when to come again.
pub fn retry_details(code: i32, message: &str, seconds: u64) -> Vec<u8> {
    let (mut duration, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
    push_integer(&mut duration, 1, seconds);
    push_bytes(&mut info, 1, &duration);
    push_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    push_bytes(&mut any, 2, &info);
    let mut out = status_message(code, message);
    push_bytes(&mut out, 3, &any);
    out
}
