//! The daemon itself, and whatever it can do.

use prosed_protocol::api::{self, NoParams};
use serde_json::json;

use super::Prosed;
use crate::failure::Failure;
use crate::output::Output;
use crate::people;

pub(crate) async fn call(
    prosed: &Prosed,
    method: &str,
    params: Option<String>,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = params.as_deref().map_or_else(|| Ok(json!({})), super::json)?;
    output.raw(&prosed.client().await?.call_raw(method, params).await?)
}

pub(crate) async fn discover(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    output.raw(&prosed.ask::<api::Discover>(NoParams {}).await?)
}

pub(crate) async fn version(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    output.one(prosed.ask::<api::GetVersion>(NoParams {}).await?, people::version)
}
