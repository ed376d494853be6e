//! Subscriptions: who may see whose presence.

use prosed_protocol::api::{self, Done, Method};
use prosed_protocol::{AccountParams, ContactParams, RequestSubscriptionParams};

use super::Prosed;
use crate::failure::Failure;
use crate::output::Output;
use crate::render;

pub(crate) async fn all(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let params = AccountParams { account: prosed.account() };
    output.list(prosed.ask::<api::ListSubscriptionRequests>(params).await?, render::contacts::requests)
}

pub(crate) async fn approve(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let done = format!("{jid} may see your presence.");
    tell::<api::ApproveSubscription>(prosed, jid, &done, output).await
}

pub(crate) async fn deny(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let done = format!("{jid} may not see your presence.");
    tell::<api::DenySubscription>(prosed, jid, &done, output).await
}

pub(crate) async fn request(
    prosed: &Prosed,
    jid: String,
    message: Option<String>,
    output: &mut Output,
) -> Result<(), Failure> {
    let done = render::line(&format!("A request is sent to {jid}."));
    let params = RequestSubscriptionParams { account: prosed.account(), jid, message };
    output.one(prosed.ask::<api::RequestSubscription>(params).await?, |_: &Done, _| done)
}

pub(crate) async fn cancel(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let done = format!("You no longer see {jid}'s presence.");
    tell::<api::CancelSubscription>(prosed, jid, &done, output).await
}

async fn tell<M: Method<Params = ContactParams>>(
    prosed: &Prosed,
    jid: String,
    done: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    let answer = prosed.ask::<M>(ContactParams { account: prosed.account(), jid }).await?;
    output.one(answer, |_: &Done, _| render::line(done))
}
