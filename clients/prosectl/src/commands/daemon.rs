//! The daemon itself, and calls of any method.

use std::os::unix::fs::FileTypeExt as _;

use prosed_protocol::api::{self, NoParams};
use prosed_protocol::client::ClientError;
use prosed_protocol::endpoint::{Endpoint, EndpointError, FILE_NAME, SOCKET_NAME};
use serde_json::{Value, json};

use super::Prosed;
use crate::arguments::EndpointPart;
use crate::failure::Failure;
use crate::output::Output;
use crate::render;

pub(crate) async fn call(
    prosed: &Prosed,
    method: &str,
    params: Option<String>,
    output: &mut Output,
) -> Result<(), Failure> {
    if api::SUBSCRIPTIONS.iter().any(|other| method == other.subscribe || method == other.unsubscribe) {
        return Err(Failure::Subscription);
    }
    let params = params.as_deref().map_or_else(|| Ok(json!({})), super::json)?;
    output.raw(&prosed.client().await?.call_raw(method, params).await?)
}

pub(crate) async fn discover(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    output.raw(&prosed.ask::<api::Discover>(NoParams {}).await?)
}

/// Where the daemon listens. Doesn't check that it is running.
pub(crate) fn endpoint(
    prosed: &Prosed,
    part: Option<EndpointPart>,
    output: &mut Output,
) -> Result<(), Failure> {
    let dir = prosed.dir()?;
    let read = || -> Result<_, Failure> { Ok(Endpoint::read(dir).map_err(ClientError::from)?) };
    let text = match part {
        None => {
            let endpoint = serde_json::to_value(read()?);
            return output.raw(&endpoint.map_err(|error| Failure::Damaged(error.to_string()))?);
        }
        Some(EndpointPart::File) => dir.join(FILE_NAME).display().to_string(),
        Some(EndpointPart::Socket) => {
            let held = dir.join(SOCKET_NAME);
            let socket = match Endpoint::read(dir) {
                // If systemd holds it, connecting starts the daemon.
                Err(EndpointError::Absent(_))
                    if held.metadata().is_ok_and(|found| found.file_type().is_socket()) =>
                {
                    Some(held)
                }
                found => found.map_err(ClientError::from)?.socket,
            };
            socket.ok_or(Failure::NoSocket)?.display().to_string()
        }
        Some(EndpointPart::Url) => read()?.url.ok_or(Failure::NoPort)?,
        Some(EndpointPart::TokenFile) => read()?.token_file.display().to_string(),
    };
    output.line(&text)
}

/// prosectl's version is shown even without a daemon.
pub(crate) async fn version(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let daemon = match prosed.ask::<api::GetVersion>(NoParams {}).await {
        Ok(version) => version,
        Err(Failure::NotRunning(_)) => Value::Null,
        Err(failure) => return Err(failure),
    };
    output.one(json!({ "prosectl": env!("CARGO_PKG_VERSION"), "prosed": daemon }), render::version)
}
