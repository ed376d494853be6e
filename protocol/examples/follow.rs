//! Shows the contacts, then their changes, for as long as it runs, restarts of the daemon included:
//! `cargo run -p prosed-protocol --features client --example follow`

use std::path::Path;

use prosed_protocol::client::{Client, ClientError, Follower};
use prosed_protocol::endpoint::runtime_dir;
use prosed_protocol::{Contact, ErrorKind, EventName, EventPayload, SubscribeParams};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = runtime_dir(|name| std::env::var_os(name), std::env::home_dir())
        .ok_or("there is no home directory")?;
    let (events, since) = (Some(vec![EventName::ContactChanged]), Some(load(&dir).await?));
    let mut events = Follower::start(&dir, SubscribeParams { events, since, account: None }).await?;
    loop {
        match events.next().await.map(|event| event.payload) {
            Ok(EventPayload::ContactChanged(change)) => change.contacts.iter().for_each(show),
            Ok(_) => {}
            // The daemon has restarted: start over.
            Err(error) if error.kind() == Some(ErrorKind::CursorExpired) => {
                events.resume_from(load(&dir).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Shows everybody, and returns the number to go on from.
async fn load(dir: &Path) -> Result<u64, ClientError> {
    let roster = Client::find(dir).await?.load_roster(None).await?;
    roster.contacts.iter().for_each(show);
    Ok(roster.seq)
}

fn show(contact: &Contact) {
    println!("{:?} is {:?}", contact.name, contact.availability);
}
