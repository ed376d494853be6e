//! From a call's raw parameters to typed ones, with errors that list the parameters that exist.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jsonrpsee_types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::Method;
use crate::error::{ApiError, ErrorKind};

/// The error that says which parameter is wrong (-32602).
pub fn invalid_params(message: impl Into<String>) -> ErrorObjectOwned {
    ApiError::new(ErrorKind::InvalidParams).message(message).into()
}

/// Reads the parameters of a call to `M`. `raw` is the JSON of `params`, absent if the call has none.
///
/// Parameters are passed by name, in an object. `[{…}]` is accepted as that object, and `[value]` as the one
/// positional parameter if the method allows it.
///
/// # Errors
///
/// -32602 for an unknown, missing, repeated or ill-typed parameter. The message lists those that exist, and never
/// repeats a value: it could be a password.
pub fn parse_params<M: Method>(raw: Option<&str>) -> Result<M::Params, ErrorObjectOwned> {
    let wrong =
        |problem: &str| invalid_params(format!("{}: {problem}; {}", M::NAME, existing::<M::Params>()));
    let object = object(raw.unwrap_or("{}"), M::POSITIONAL).map_err(|problem| wrong(&problem))?;
    // From the text, since a `Value` would hold only the last of several values for one name.
    let mut json = serde_json::Deserializer::from_str(&object);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if !error.is_data() {
            return wrong(&unreadable(&error));
        }
        let problem = without_value(&error.to_string());
        // These name the field themselves.
        let named = ["unknown field", "missing field", "duplicate field"]
            .iter()
            .any(|start| problem.starts_with(start));
        let problem = if named || path == "." { problem } else { format!("`{path}` {problem}") };
        wrong(&problem)
    })
}

/// It is JSON, since the call was parsed, but a number may be too large, or half a character escaped. The message
/// contains no value.
fn unreadable(error: &serde_json::Error) -> String {
    format!("the parameters can't be read: {error}")
}

/// The parameters by name, as JSON.
fn object<'a>(raw: &'a str, positional: Option<&str>) -> Result<Cow<'a, str>, Cow<'static, str>> {
    const BY_NAME: Cow<'static, str> = Cow::Borrowed("the parameters go by name, in one object");
    if raw.starts_with('{') {
        return Ok(raw.into());
    }
    if raw == "null" {
        return Ok("{}".into());
    }
    if !raw.starts_with('[') {
        return Err(BY_NAME);
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|error| unreadable(&error))?;
    match (items[..].first().map(|item| item.get()), items.len(), positional) {
        (None, ..) => Ok("{}".into()),
        (Some(item), 1, _) if item.starts_with('{') => Ok(item.into()),
        (Some(item), 1, Some(name)) => Ok(format!("{{\"{name}\":{item}}}").into()),
        _ => Err(BY_NAME),
    }
}

/// Reads an object. On its own, serde would also read a list, as the values of the fields in their order.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// For fields that hold an [`Object`].
pub(crate) fn of_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(read)| read)
}

/// serde's message without the value found, in terms that a UI author knows.
fn without_value(message: &str) -> String {
    // Where it is in the text: the path says more.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let quotes_a_value = ["invalid type: ", "invalid value: ", "unknown variant "];
    if !quotes_a_value.iter().any(|start| message.starts_with(start)) {
        return message.to_owned();
    }
    // The value found may itself contain ", expected ": what serde expects comes last, and contains none.
    let expected = message.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
    let expected = match expected {
        "u8" => "an integer from 0 to 255",
        "i8" => "an integer from -128 to 127",
        "u16" => "an integer from 0 to 65535",
        "a nonzero u32" => "an integer from 1 on",
        "u32" | "u64" => "an integer that is not negative",
        other => other,
    };
    format!("must be {}", expected.strip_prefix("struct ").map_or(expected, |_| "an object"))
}

/// «the parameters are `jid`, `password`, …», required ones first.
fn existing<P: JsonSchema + DeserializeOwned>() -> String {
    let (mut required, optional): (Vec<_>, Vec<_>) =
        names::<P>().into_iter().partition(|(_, required)| *required);
    required.extend(optional);
    if required.is_empty() {
        return "it takes no parameters".to_owned();
    }
    let names: Vec<_> = required
        .iter()
        .map(|(name, required)| format!("`{name}`{}", if *required { "" } else { " (optional)" }))
        .collect();
    format!("its parameters are {}", names.join(", "))
}

fn names<P: JsonSchema>() -> Vec<(String, bool)> {
    let schema = schemars::schema_for!(P);
    let required: Vec<_> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    properties.keys().map(|name| (name.clone(), required.contains(&name.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;
    use crate::event::{EventName, SubscriptionId};

    fn error<M: Method>(raw: &str) -> String {
        let error = parse_params::<M>(Some(raw)).err().unwrap();
        assert_eq!(error.code(), -32602);
        error.message().to_owned()
    }

    #[test]
    fn by_name_or_as_a_wrapped_object() {
        for raw in [r#"{"jid":"a@example.org"}"#, r#"[{"jid":"a@example.org"}]"#] {
            let params = parse_params::<api::Login>(Some(raw)).ok().unwrap();
            assert_eq!(params.jid, "a@example.org");
            assert!(params.remember, "remembered unless told otherwise");
            assert!(params.password.is_none());
        }
    }

    #[test]
    fn none_is_an_empty_object() {
        for raw in [None, Some("{}"), Some("[]"), Some("[{}]"), Some("null")] {
            assert!(parse_params::<api::ListAccounts>(raw).is_ok(), "{raw:?}");
            assert!(parse_params::<api::GetAccount>(raw).unwrap().account.is_none(), "{raw:?}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_with_those_that_exist() {
        assert_eq!(
            error::<api::GetContact>(r#"{"jid":"a@example.org","acount":"x"}"#),
            "get_contact: unknown field `acount`, expected `account` or `jid`; \
             its parameters are `jid`, `account` (optional)"
        );
        assert_eq!(
            error::<api::ListAccounts>(r#"{"account":"x"}"#),
            "list_accounts: unknown field `account`, there are no fields; it takes no parameters"
        );
    }

    #[test]
    fn a_missing_parameter_is_named() {
        assert!(error::<api::GetContact>("{}").contains("missing field `jid`"));
    }

    #[test]
    fn an_ill_typed_parameter_is_named_with_what_it_must_be() {
        assert!(
            error::<api::GetContact>(r#"{"jid":5}"#).starts_with("get_contact: `jid` must be a string; ")
        );
        assert!(
            error::<api::Login>(r#"{"jid":"a@b","port":70000}"#)
                .starts_with("login: `port` must be an integer from 0 to 65535; ")
        );
        assert!(
            error::<api::Login>(r#"{"jid":"a@b","tls":"none"}"#)
                .starts_with("login: `tls` must be one of `auto`, `direct`, `starttls`; ")
        );
        let message = error::<api::Subscribe>(r#"{"events":["contactChanged","x"]}"#);
        assert!(message.contains("`events[1]` must be one of `contactChanged`, "), "{message}");
    }

    #[test]
    fn what_is_nested_deep_is_refused_like_the_rest() {
        for deep in [127, 100_000] {
            let raw = format!(r#"{{"jid":{}{}}}"#, "[".repeat(deep), "]".repeat(deep));
            let message = error::<api::GetContact>(&raw);
            assert!(message.contains("`jid` must be a string"), "{message}");
        }
    }

    #[test]
    fn a_parameter_is_there_once() {
        for raw in [
            r#"{"jid":"a@b","account":"c@d","jid":"e@f"}"#,
            r#"{"jid":"a@b","\u006aid":"a@b"}"#,
            r#"[{"jid":"a@b","jid":"a@b"}]"#,
        ] {
            assert!(error::<api::GetContact>(raw).contains("duplicate field `jid`"), "{raw}");
        }
        let raw = r#"{"profile":{"note":"x","address":{"street":"x","street":null}}}"#;
        assert!(error::<api::SetProfile>(raw).contains("duplicate field `street`"));
    }

    #[test]
    fn an_object_is_no_list() {
        for (raw, field) in [
            (r#"{"profile":["Full Name"]}"#, "profile"),
            (r#"{"profile":[]}"#, "profile"),
            (r#"{"profile":{"address":["Street"]}}"#, "profile.address"),
        ] {
            let message = error::<api::SetProfile>(raw);
            assert!(message.contains(&format!("`{field}` must be an object")), "{message}");
        }
        for raw in [r#"{"profile":{}}"#, r#"{"profile":{"address":{}}}"#, r#"{"profile":{"address":null}}"#] {
            assert!(parse_params::<api::SetProfile>(Some(raw)).is_ok(), "{raw}");
        }
    }

    #[test]
    fn half_a_character_is_refused() {
        for raw in [r#"{"jid":"\ud800"}"#, r#"{"jid":"\udc00x"}"#] {
            assert!(error::<api::GetContact>(raw).contains("the parameters can't be read"), "{raw}");
        }
    }

    #[test]
    fn positions_are_refused_but_for_one() {
        for raw in ["[1]", "[1,2]", "5", r#"[{"jid":"a@b"},{}]"#] {
            assert!(error::<api::GetContact>(raw).contains("go by name"), "{raw}");
        }
        for raw in ["[7]", r#"{"id":7}"#, r#"[{"id":7}]"#] {
            assert_eq!(parse_params::<api::Unsubscribe>(Some(raw)).unwrap().id, SubscriptionId(7), "{raw}");
        }
        assert!(error::<api::Unsubscribe>("[7,8]").contains("go by name"));
    }

    #[test]
    fn no_value_is_ever_repeated() {
        for raw in [
            r#"{"jid":"a@b","password":80085}"#,
            r#"{"jid":"a@b","remember":"80085"}"#,
            r#"{"jid":"a@b","port":80085}"#,
            r#"{"jid":"a@b","tls":"x, expected 80085"}"#,
            r#"["80085"]"#,
            r#""80085""#,
        ] {
            let message = error::<api::Login>(raw);
            assert!(!message.contains("80085"), "{message}");
        }
    }

    #[test]
    fn a_priority_is_negative() {
        let message = error::<api::SetPresence>(r#"{"availability":"away","priority":0}"#);
        assert!(
            message.contains("`priority` must be negative for now: prosed keeps no messages yet"),
            "{message}"
        );
        assert!(error::<api::SetPresence>(r#"{"availability":"away","priority":-129}"#).contains("-128"));
        let params =
            parse_params::<api::SetPresence>(Some(r#"{"availability":"away","priority":-1}"#)).unwrap();
        assert_eq!(params.priority, Some(-1));
    }

    #[test]
    fn a_subscription_to_one_event_is_a_filter() {
        let one = api::SUBSCRIPTIONS.iter().find(|s| s.subscribe == "subscribe_contactChanged").unwrap();
        let params = one.parse(Some(r#"{"account":"me@example.org","since":4}"#)).unwrap();
        assert_eq!(params.events, Some(vec![EventName::ContactChanged]));
        assert_eq!(params.since, Some(4));
        assert!(params.wants(EventName::ContactChanged, "me@example.org"));
        assert!(!params.wants(EventName::ContactChanged, "you@example.org"));
        assert!(!params.wants(EventName::RosterLoaded, "me@example.org"));
        assert!(one.parse(Some(r#"{"events":["rosterLoaded"]}"#)).is_err(), "it has no such parameter");
    }
}
