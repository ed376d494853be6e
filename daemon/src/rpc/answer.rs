//! Answers: JSON-RPC 2.0 responses, with the id of the request.

use std::io::{self, Write};

use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use super::envelope::PeerId;
use super::limits::RESPONSE_BYTES;
use super::truncate::json_bytes;

/// The answer to one call, or to all of a batch.
#[derive(Debug)]
pub(super) struct Answer {
    /// Absent if it has been sent already.
    json: Option<Box<RawValue>>,
    code: Option<i32>,
    /// Each holds a call's place among those in flight.
    permits: Vec<OwnedSemaphorePermit>,
}

/// A response object; `jsonrpc` comes first, as is customary.
#[derive(Serialize)]
struct Response<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(flatten)]
    outcome: Outcome<'a, T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome<'a, T> {
    Result(&'a T),
    Error(&'a ErrorObjectOwned),
}

impl Answer {
    /// The call succeeded.
    ///
    /// # Errors
    /// The size of the result, if it is larger than [`RESPONSE_BYTES`].
    pub(super) fn result<T: Serialize>(id: &PeerId, result: &T) -> Result<Self, usize> {
        let json = write(id, Outcome::Result(result)).ok_or_else(|| json_bytes(result))?;
        Ok(Self { json: Some(json), code: None, permits: Vec::new() })
    }

    /// The call failed.
    pub(super) fn error(id: &PeerId, error: impl Into<ErrorObjectOwned>) -> Self {
        let error = error.into();
        // An error is small, but its id may be nearly as large as a message.
        let json = write(id, Outcome::<()>::Error(&error));
        let json = json.or_else(|| write(&PeerId::null(), Outcome::<()>::Error(&error)));
        Self { json, code: Some(error.code()), permits: Vec::new() }
    }

    /// A call that has been answered elsewhere, with this code if with an error.
    pub(super) fn sent(code: Option<i32>) -> Self {
        Self { json: None, code, permits: Vec::new() }
    }

    /// The answers of a batch, in order. None: together they are larger than [`RESPONSE_BYTES`].
    pub(super) fn batch(answers: Vec<Self>) -> Option<Self> {
        let mut json = String::from("[");
        let mut permits = Vec::new();
        for answer in answers {
            let Some(one) = answer.json else { continue };
            if json.len() > 1 {
                json.push(',');
            }
            if json.len() + one.get().len() >= RESPONSE_BYTES as usize {
                return None;
            }
            json.push_str(one.get());
            permits.extend(answer.permits);
        }
        json.push(']');
        let json = RawValue::from_string(json).ok()?;
        Some(Self { json: Some(json), code: None, permits })
    }

    /// The same, holding a call's place until it is sent.
    pub(super) fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permits.push(permit);
        self
    }

    /// The error's code, if it is one.
    pub(super) fn code(&self) -> Option<i32> {
        self.code
    }

    /// Whether it holds a call's place. Nothing else bounds answers that don't.
    pub(super) fn is_counted(&self) -> bool {
        !self.permits.is_empty()
    }

    /// This, if there is something to send.
    pub(super) fn sendable(self) -> Option<Self> {
        self.json.is_some().then_some(self)
    }

    /// The message, and what to hold until it is sent.
    pub(super) fn into_parts(self) -> (Box<RawValue>, Vec<OwnedSemaphorePermit>) {
        (self.json.unwrap_or_else(|| RawValue::NULL.to_owned()), self.permits)
    }
}

/// None: it is larger than [`RESPONSE_BYTES`].
fn write<T: Serialize>(id: &PeerId, outcome: Outcome<'_, T>) -> Option<Box<RawValue>> {
    let mut bounded = Bounded(Vec::new());
    serde_json::to_writer(&mut bounded, &Response { jsonrpc: "2.0", id: id.as_json(), outcome }).ok()?;
    RawValue::from_string(String::from_utf8(bounded.0).ok()?).ok()
}

/// Accepts this many bytes and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RESPONSE_BYTES as usize {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
