//! Shows the contacts, then their changes, with no gap between:
//! `cargo run -p prosed-protocol --features client --example follow`

use prosed_protocol::client::Client;
use prosed_protocol::endpoint::runtime_dir;
use prosed_protocol::{AccountParams, Availability, EventName, EventPayload, SubscribeParams, api};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = runtime_dir(|name| std::env::var_os(name)).ok_or("there is no home directory")?;
    let client = Client::find(&dir).await?;
    let roster = client.call::<api::LoadRoster>(AccountParams::default()).await?;
    for contact in roster.contacts.iter().filter(|contact| contact.availability != Availability::Unavailable)
    {
        println!("{:?} is {:?}", contact.name, contact.availability);
    }
    let params = SubscribeParams {
        events: Some(vec![EventName::ContactChanged]),
        account: Some(roster.account),
        since: Some(roster.seq),
    };
    let mut events = client.subscribe(params).await?;
    while let Some(event) = events.next().await {
        if let EventPayload::ContactChanged(change) = event?.payload {
            for contact in change.contacts {
                println!("{:?} is {:?} now", contact.name, contact.availability);
            }
        }
    }
    Ok(())
}
