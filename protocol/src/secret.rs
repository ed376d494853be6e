//! A string that must not be shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A password. It has no `Debug` and no `Display`, so that no log and no error can show it.
///
/// ```compile_fail
/// format!("{:?}", prosed_protocol::Secret::new("correct horse"));
/// ```
/// ```compile_fail
/// format!("{}", prosed_protocol::Secret::new("correct horse"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Secret(String);

impl Secret {
    /// Hides `secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Takes out the secret.
    pub fn into_inner(self) -> String {
        self.0
    }
}
