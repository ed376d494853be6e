//! The proxy is tested before it is trusted.

use std::time::Duration;

use prosed_tests::proxy::{Cut, Proxy, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than loopback takes, by far.
const A_WHILE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

async fn pair() -> (Proxy, TcpListener) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = Proxy::to(upstream.local_addr().expect("bound")).await;
    (proxy, upstream)
}

async fn connect(proxy: &Proxy, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("it listens");
    let (server, _) = timeout(PATIENCE, upstream.accept()).await.expect("carried").expect("a connection");
    (client, server)
}

async fn read_all(stream: &mut TcpStream) -> (Vec<u8>, std::io::Result<usize>) {
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end");
    (bytes, end)
}

#[tokio::test]
async fn bytes_and_ends_get_through_both_ways_also_in_pieces() {
    let (proxy, upstream) = pair().await;
    for pieces in [0, 1, 7] {
        proxy.split(pieces);
        let (mut client, mut server) = connect(&proxy, &upstream).await;
        let sent: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        client.write_all(&sent).await.expect("sent");
        client.shutdown().await.expect("ended");
        assert_eq!(read_all(&mut server).await.0, sent);
        server.write_all(&sent[..500]).await.expect("the other half still stands");
        drop(server);
        assert_eq!(read_all(&mut client).await.0, &sent[..500]);
    }
    assert_eq!((proxy.connections(), proxy.broken()), (3, 0));
    assert_eq!((proxy.bytes(Way::Up), proxy.bytes(Way::Down)), (60_000, 1_500));
}

#[tokio::test]
async fn a_cut_falls_on_its_byte() {
    let (proxy, upstream) = pair().await;
    for after in [0, 1, 777, 9_000] {
        for way in [Way::Up, Way::Down] {
            for reset in [true, false] {
                proxy.cut_next(Cut { way, after, reset });
                let (mut client, mut server) = connect(&proxy, &upstream).await;
                assert!(!proxy.is_armed());
                let from = if way == Way::Up { &mut client } else { &mut server };
                // It may see the end before it has sent all.
                let _broken = from.write_all(&[7; 10_000]).await;
                let (to_client, end) = read_all(&mut client).await;
                let (to_server, _) = read_all(&mut server).await;
                let got = if way == Way::Up { &to_server } else { &to_client };
                // A reset may overtake what was sent before it.
                assert!(got.len() as u64 == after || way == Way::Down && reset, "{} of {after}", got.len());
                assert!(end.is_err() || !reset || way == Way::Down, "no reset after {after} {way:?}");
            }
        }
    }
    assert_eq!(proxy.broken(), 16);
    let (mut client, mut server) = connect(&proxy, &upstream).await;
    client.write_all(&[7; 10_000]).await.expect("the next one is not cut");
    server.read_exact(&mut [0; 10_000]).await.expect("it all arrives");
    proxy.cut();
    assert!(read_all(&mut client).await.1.is_err());
    assert_eq!((proxy.broken(), proxy.live()), (17, 0));
}

#[tokio::test]
async fn nothing_gets_through_a_black_hole_until_it_is_repaired() {
    let (proxy, upstream) = pair().await;
    let (mut client, mut server) = connect(&proxy, &upstream).await;
    proxy.stall();
    client.write_all(b"up").await.expect("nobody says that it is lost");
    server.write_all(b"down").await.expect("nobody says that it is lost");
    let mut buffer = [0; 4];
    assert!(timeout(A_WHILE, server.read(&mut buffer)).await.is_err());
    assert!(timeout(A_WHILE, client.read(&mut buffer)).await.is_err());
    let _new = TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("it listens");
    assert!(timeout(A_WHILE, upstream.accept()).await.is_err());
    proxy.flow();
    client.read_exact(&mut buffer).await.expect("what was sent arrives after all");
    assert_eq!(&buffer, b"down");
    timeout(PATIENCE, upstream.accept()).await.expect("so does the new one").expect("a connection");
}

#[tokio::test]
async fn whoever_is_refused_is_counted() {
    let (proxy, upstream) = pair().await;
    let (mut client, _server) = connect(&proxy, &upstream).await;
    proxy.refuse();
    assert!(read_all(&mut client).await.1.is_err(), "the old one is broken");
    let mut refused = TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("it listens");
    assert!(read_all(&mut refused).await.1.is_err());
    assert_eq!((proxy.connections(), proxy.broken()), (2, 1));
    proxy.flow();
    connect(&proxy, &upstream).await;
}
