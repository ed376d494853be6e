//! Parses messages: JSON-RPC 2.0 requests, notifications and batches.
//!
//! An id is any string or number, and an answer returns it verbatim. jsonrpsee supports only strings and `u64`, and
//! treats a request with any other id as a notification, so messages are parsed here, for all doors.

use std::borrow::Cow;
use std::fmt;

use jsonrpsee::types::error::TOO_BIG_BATCH_REQUEST_CODE;
use prosed_protocol::{ApiError, ErrorKind};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::limits::{self, BATCH_CALLS};

/// A request's id as its sender wrote it.
#[derive(Debug, Clone)]
pub(super) struct PeerId(Box<RawValue>);

impl PeerId {
    /// For an answer to something without an id, or with an unreadable one.
    pub(super) fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    pub(super) fn as_json(&self) -> &RawValue {
        &self.0
    }

    /// Strings, numbers and null are ids.
    fn read(json: &RawValue) -> Option<Self> {
        let is_id = matches!(json.get().as_bytes(), [b'"' | b'-' | b'0'..=b'9' | b'n', ..]);
        is_id.then(|| Self(json.to_owned()))
    }
}

/// A message that could be parsed.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Single(Entry<'a>),
    /// At least one, and at most [`BATCH_CALLS`].
    Batch(Vec<Entry<'a>>),
}

/// A request, or the answer to something that is not one.
pub(super) type Entry<'a> = Result<Request<'a>, Refused>;

/// A request or, without an id, a notification.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) id: Option<PeerId>,
    pub(super) method: String,
    pub(super) params: Option<&'a RawValue>,
}

/// The answer to something that is not a request.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) id: PeerId,
    pub(super) error: ApiError,
}

impl Refused {
    fn new(id: PeerId, problem: &str) -> Self {
        let message = format!("This is not a JSON-RPC 2.0 request: {problem}.");
        Self { id, error: ApiError::new(ErrorKind::InvalidRequest).message(message) }
    }
}

/// Parses a message.
///
/// # Errors
/// If it is not JSON, or an empty or too large batch. The answer is a single one.
pub(super) fn read(message: &[u8]) -> Result<Message<'_>, ApiError> {
    let unreadable = |error: serde_json::Error| {
        // Reports the position, not the content: that may be a password.
        let place = format!("line {}, column {}", error.line(), error.column());
        ApiError::new(ErrorKind::ParseError).text(place)
    };
    let json: &RawValue = serde_json::from_slice(message).map_err(unreadable)?;
    if !json.get().starts_with('[') {
        return Ok(Message::Single(entry(json)));
    }
    let Batch { entries, too_many } = serde_json::from_str(json.get()).map_err(unreadable)?;
    if too_many {
        return Err(limits::exceeded(TOO_BIG_BATCH_REQUEST_CODE, "calls in a batch", BATCH_CALLS));
    }
    if entries.is_empty() {
        return Err(Refused::new(PeerId::null(), "the batch is empty").error);
    }
    Ok(Message::Batch(entries.into_iter().map(entry).collect()))
}

fn entry(json: &RawValue) -> Entry<'_> {
    if !json.get().starts_with('{') {
        return Err(Refused::new(PeerId::null(), "it must be an object"));
    }
    let members: Members<'_> = serde_json::from_str(json.get())
        .map_err(|_| Refused::new(PeerId::null(), "a member's name can't be read"))?;
    if let Some(name) = members.twice {
        return Err(Refused::new(PeerId::null(), &format!("it has `{name}` more than once")));
    }
    let Ok(id) = members.id.map(|id| PeerId::read(id).ok_or(())).transpose() else {
        return Err(Refused::new(PeerId::null(), "`id` must be a string or a number"));
    };
    let refuse = |problem| Refused::new(id.clone().unwrap_or_else(PeerId::null), problem);
    let text = |json: &RawValue| serde_json::from_str::<String>(json.get()).ok();
    if members.jsonrpc.and_then(text).as_deref() != Some("2.0") {
        return Err(refuse("`jsonrpc` must be \"2.0\""));
    }
    let Some(method) = members.method.and_then(text) else {
        return Err(refuse("`method` must be a string"));
    };
    Ok(Request { id, method, params: members.params })
}

/// The members of a request; others are ignored.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    /// It is there more than once: two readers could understand two different requests.
    twice: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let (name, member) = match &*name {
                        "jsonrpc" => ("jsonrpc", &mut members.jsonrpc),
                        "id" => ("id", &mut members.id),
                        "method" => ("method", &mut members.method),
                        "params" => ("params", &mut members.params),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if member.replace(map.next_value()?).is_some() {
                        members.twice = Some(name);
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// The first entries of a batch; the rest is read and dropped.
struct Batch<'a> {
    entries: Vec<&'a RawValue>,
    too_many: bool,
}

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Batch<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Batch<'de>, A::Error> {
                let mut entries = Vec::new();
                while entries.len() < BATCH_CALLS as usize {
                    match seq.next_element()? {
                        Some(entry) => entries.push(entry),
                        None => return Ok(Batch { entries, too_many: false }),
                    }
                }
                let mut too_many = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(Batch { entries, too_many })
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}
