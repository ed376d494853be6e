//! What a method is, and the two small macros that create them from the table in [`crate::api`].

use jsonrpsee_types::ErrorObjectOwned;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ErrorKind;
use crate::event::{EventName, SubscribeParams};
use crate::params::parse_params;

/// One method of the API, by type.
pub trait Method: 'static {
    /// Its name on the wire.
    const NAME: &'static str;
    /// The first line is a summary; what follows an empty line is the description.
    const DOC: &'static str;
    /// Its parameters, an object.
    type Params: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// Its result.
    type Result: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// The errors of ours that it can return.
    const ERRORS: &'static [ErrorKind];
    /// The one parameter that may also be positional, as `[value]`.
    const POSITIONAL: Option<&'static str> = None;

    /// A real example: parameters and result.
    fn example() -> Option<(Value, Value)> {
        None
    }
}

/// One method of the API, by name.
pub struct MethodInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// The first line is a summary; what follows an empty line is the description.
    pub doc: &'static str,
    /// The errors of ours that it can return.
    pub errors: &'static [ErrorKind],
    /// Its parameters' schema.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// Its result's schema.
    pub result: fn(&mut SchemaGenerator) -> Schema,
    /// A real example: parameters and result.
    pub example: fn() -> Option<(Value, Value)>,
    /// Whether these raw parameters would be accepted.
    pub check_params: fn(Option<&str>) -> Result<(), ErrorObjectOwned>,
    /// Whether this is a result of it.
    pub check_result: fn(Value) -> Result<(), serde_json::Error>,
}

impl MethodInfo {
    /// Describes `M`.
    pub const fn of<M: Method>() -> Self {
        Self {
            name: M::NAME,
            doc: M::DOC,
            errors: M::ERRORS,
            // The parameters' own schema rather than a reference to it: OpenRPC lists them one by one.
            params: |generator| M::Params::json_schema(generator),
            result: |generator| generator.subschema_for::<M::Result>(),
            example: M::example,
            check_params: |raw| parse_params::<M>(raw).map(drop),
            check_result: |value| serde_json::from_value::<M::Result>(value).map(drop),
        }
    }
}

/// A method that opens a subscription, and the one that ends it.
pub struct SubscriptionInfo {
    /// The name of the method that opens it; also its name in the table.
    pub subscribe: &'static str,
    /// The name of the method that ends it.
    pub unsubscribe: &'static str,
    /// The only event that it carries; absent: those in its parameters.
    pub event: Option<EventName>,
    pub(crate) parse: fn(Option<&str>) -> Result<SubscribeParams, ErrorObjectOwned>,
}

impl SubscriptionInfo {
    /// Reads the parameters of a call to `subscribe`, filling in the one event if there is only one.
    ///
    /// # Errors
    ///
    /// As for [`parse_params`].
    pub fn parse(&self, raw: Option<&str>) -> Result<SubscribeParams, ErrorObjectOwned> {
        let mut params = (self.parse)(raw)?;
        if let Some(event) = self.event {
            params.events = Some(vec![event]);
        }
        Ok(params)
    }
}

/// Creates a unit struct with its [`Method`] for each row, and `CALLS` and `CallName` from all of them.
macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $method:ident = $name:literal($params:ty) -> $result:ty,
        errors [$($error:ident),*]
        $(, example $example_params:tt => $example_result:expr)?;)+) => {
        $(
            $(#[doc = $doc])+
            pub struct $method;

            impl Method for $method {
                const NAME: &'static str = $name;
                const DOC: &'static str = concat!($($doc, "\n"),+);
                type Params = $params;
                type Result = $result;
                const ERRORS: &'static [ErrorKind] = &[$($error),*];
                $(fn example() -> Option<(Value, Value)> {
                    Some((json!($example_params), $example_result))
                })?
            }
        )+

        /// Every method with a single answer.
        pub static CALLS: &[MethodInfo] = &[$(MethodInfo::of::<$method>()),+];

        /// The methods in [`CALLS`], for a `match` that does not compile if one is forgotten.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum CallName {
            $(
                #[doc = concat!("`", $name, "`")]
                $method,
            )+
        }

        impl CallName {
            /// The method with this name on the wire.
            #[must_use]
            pub fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$method),)+
                    _ => None,
                }
            }
        }
    };
}

/// Creates unit structs with their [`Method`] for each pair of rows, `SUBSCRIPTIONS`, and `SUBSCRIPTION_METHODS` from
/// all of them.
macro_rules! subscriptions {
    ($($(#[doc = $doc:literal])+ $subscribe:ident = $name:literal($params:ty), $event:expr;
       $(#[doc = $end_doc:literal])+ $unsubscribe:ident = $end_name:literal;)+) => {
        $(
            $(#[doc = $doc])+
            pub struct $subscribe;

            impl Method for $subscribe {
                const NAME: &'static str = $name;
                const DOC: &'static str = concat!($($doc, "\n"),+);
                type Params = $params;
                type Result = SubscriptionId;
                const ERRORS: &'static [ErrorKind] =
                    &[InvalidJid, CursorExpired, SubscriptionNeedsWebSocket];
                fn example() -> Option<(Value, Value)> {
                    Some((json!({"since": 41}), json!(7)))
                }
            }

            $(#[doc = $end_doc])+
            pub struct $unsubscribe;

            impl Method for $unsubscribe {
                const NAME: &'static str = $end_name;
                const DOC: &'static str = concat!($($end_doc, "\n"),+);
                type Params = UnsubscribeParams;
                type Result = bool;
                const ERRORS: &'static [ErrorKind] = &[SubscriptionNeedsWebSocket];
                const POSITIONAL: Option<&'static str> = Some("id");
                fn example() -> Option<(Value, Value)> {
                    Some((json!({"id": 7}), json!(true)))
                }
            }
        )+

        /// The methods that open and end subscriptions.
        pub static SUBSCRIPTION_METHODS: &[MethodInfo] =
            &[$(MethodInfo::of::<$subscribe>(), MethodInfo::of::<$unsubscribe>()),+];

        /// The subscriptions, with what the server must know about each.
        pub static SUBSCRIPTIONS: &[SubscriptionInfo] = &[$(SubscriptionInfo {
            subscribe: $name,
            unsubscribe: $end_name,
            event: $event,
            parse: |raw| parse_params::<$subscribe>(raw).map(Into::into),
        }),+];
    };
}
