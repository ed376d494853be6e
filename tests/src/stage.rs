//! Lets tests in other languages request actions, one line of JSON each: a test in Rust carries them out and answers
//! with a line.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// A stage that waits for its one actor.
#[derive(Debug)]
pub struct Stage(TcpListener);

impl Stage {
    /// Opens a stage on a free port of 127.0.0.1.
    pub async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("a bound socket").port()
    }

    /// Carries out requests one at a time, for one connection after the other. Never ends: race it against the test
    /// that uses it.
    pub async fn serve(self, mut make_happen: impl AsyncFnMut(Value) -> Value) {
        loop {
            let (mut socket, _) = self.0.accept().await.expect("somebody");
            let (reader, mut writer) = socket.split();
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let wish = serde_json::from_str(&line).expect("a line of JSON");
                let answer = json!({ "done": make_happen(wish).await });
                if writer.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    }
}
