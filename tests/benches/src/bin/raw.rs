//! A bare WebSocket server: sends a text of 300 bytes to each connection at a given rate. `raw CONNECTIONS RATE`; it
//! prints the address it listens on.

use std::time::Duration;

use futures::SinkExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let [connections, pace] = numbers[..] else { return Err(std::io::Error::other("raw CONNECTIONS PACE")) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (sender, _) = broadcast::channel::<Utf8Bytes>(64);
    for _ in 0..connections {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let mut texts = sender.subscribe();
        tokio::spawn(async move {
            let Ok(mut socket) = accept_async(tcp).await else { return };
            while let Ok(text) = texts.recv().await {
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
        });
    }
    let text = Utf8Bytes::from("x".repeat(300));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / pace);
    loop {
        ticks.tick().await;
        // An error means that no receiver is left.
        let _readers = sender.send(text.clone());
    }
}
