//! What JSON-RPC 2.0 requires, at every door.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding::CloseCode};

use super::*;

/// The expected answer to a message.
enum Wanted {
    Nothing,
    /// The version, with this id exactly as written.
    Version(&'static str),
    /// An error with this code and kind, and this id.
    Error(&'static str, i32, &'static str),
    /// This many answers, and the beginning of the whole.
    Answers(usize, &'static str),
}

use Wanted::{Answers, Error, Nothing, Version};

const INVALID: Wanted = Error("null", -32600, "invalidRequest");
const UNREADABLE: Wanted = Error("null", -32700, "parseError");

fn table() -> Vec<(Vec<u8>, Wanted)> {
    let mut rows: Vec<(Vec<u8>, Wanted)> = Vec::new();
    for id in [
        "-1",
        "1.5",
        "1e3",
        "-0.0E+07",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0",
        r#""""#,
        r#""a""#,
        r#""\u0061\/\n é 🦀""#,
        "null",
    ] {
        rows.push((format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"get_version"}}"#).into(), Version(id)));
        // Errors return it, too.
        rows.push((
            format!(r#"{{"method":"no","id": {id} ,"jsonrpc":"2.0"}}"#).into(),
            Error(id, -32601, "methodNotFound"),
        ));
        rows.push((
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":7}}"#).into(),
            Error(id, -32600, "invalidRequest"),
        ));
        rows.push((
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"get_version","params":{{"a":1}}}}"#).into(),
            Error(id, -32602, "invalidParams"),
        ));
    }
    for id in ["true", "false", "{}", "[]", r#"{"a":1}"#, "[1]"] {
        rows.push((format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"get_version"}}"#).into(), INVALID));
    }
    for (message, wanted) in [
        // Which of the two counts is ambiguous.
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"get_version"}"#, INVALID),
        (r#"{"jsonrpc":"2.0","id":1,"\u0069d":1,"method":"get_version"}"#, INVALID),
        (r#"{"jsonrpc":"2.0","id":1,"method":"get_version","method":"get_version"}"#, INVALID),
        (r#"{"jsonrpc":"2.0","id":1,"method":"get_version","params":{},"params":{}}"#, INVALID),
        (r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"get_version"}"#, INVALID),
        // Other members are ignored.
        (r#"{"jsonrpc":"2.0","id":1,"method":"get_version","x":[{}],"x":null}"#, Version("1")),
        (" \r\n\t{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"get_version\"}\n ", Version("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"get\u005fversion"}"#, Version("1")),
        (r#"{"jsonrpc":"1.0","id":1,"method":"get_version"}"#, Error("1", -32600, "invalidRequest")),
        (r#"{"id":1,"method":"get_version"}"#, Error("1", -32600, "invalidRequest")),
        (r#"{"jsonrpc":"2.0","id":1}"#, Error("1", -32600, "invalidRequest")),
        (r#"{"jsonrpc":"2.0","method":null}"#, INVALID),
        ("{}", INVALID),
        ("5", INVALID),
        ("null", INVALID),
        (r#""get_version""#, INVALID),
        // Notifications.
        (r#"{"jsonrpc":"2.0","method":"get_version"}"#, Nothing),
        (r#"{"jsonrpc":"2.0","method":"no_such"}"#, Nothing),
        (r#"{"jsonrpc":"2.0","method":"get_version","params":5}"#, Nothing),
        (r#"[{"jsonrpc":"2.0","method":"get_version"}]"#, Nothing),
        // Batches.
        ("[]", INVALID),
        (" [ ] ", INVALID),
        ("[1]", Answers(1, r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#)),
        ("[1,{},[]]", Answers(3, r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#)),
        (
            r#"[{"jsonrpc":"2.0","method":"get_version"},{"jsonrpc":"2.0","id":-1,"method":"get_version"},7]"#,
            Answers(2, r#"[{"jsonrpc":"2.0","id":-1,"result":"#),
        ),
        // Not JSON.
        ("", UNREADABLE),
        (" ", UNREADABLE),
        ("{", UNREADABLE),
        ("[", UNREADABLE),
        (r#"{"jsonrpc":"2.0","id":1,"method":"get_version""#, UNREADABLE),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"get_version"},"#, UNREADABLE),
        (r#"{"jsonrpc":"2.0","id":1,"method":"get_version"}{}"#, UNREADABLE),
        (r#"{"jsonrpc":"2.0","id":01,"method":"get_version"}"#, UNREADABLE),
        (r#"{"jsonrpc":"2.0","id":NaN,"method":"get_version"}"#, UNREADABLE),
        ("get_version", UNREADABLE),
    ] {
        rows.push((message.into(), wanted));
    }
    let many = format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"get_version"}"#; 33].join(","));
    rows.push((many.into(), Error("null", -32010, "limitExceeded")));
    rows.push((format!("[1{}]", ",1".repeat(500_000)).into(), Error("null", -32010, "limitExceeded")));
    rows.push(("[".repeat(1 << 20).into(), UNREADABLE));
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":{}{},"method":"x"}}"#, "[".repeat(1 << 19), "]".repeat(1 << 19));
    rows.push((deep.into(), INVALID));
    rows
}

fn check(message: &[u8], wanted: &Wanted, answer: Option<&str>, door: &str) {
    let message = String::from_utf8_lossy(message);
    let place = format!("{door}: {message:.100} -> {answer:.300?}");
    let json: Option<Value> = answer.map(|answer| serde_json::from_str(answer).unwrap());
    match wanted {
        Nothing => assert_eq!(answer, None, "{place}"),
        Version(id) => {
            assert!(
                answer.is_some_and(|it| it.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#))),
                "{place}"
            );
            assert_eq!(json.unwrap()["result"]["name"], "prosed", "{place}");
        }
        Error(id, code, kind) => {
            assert!(
                answer.is_some_and(|it| it.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":"#))),
                "{place}"
            );
            let error = &json.unwrap()["error"];
            assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(code), &json!(kind)), "{place}");
            assert_eq!(error["data"]["retryable"], false, "{place}");
        }
        Answers(count, start) => {
            assert!(answer.is_some_and(|answer| answer.starts_with(start)), "{place}");
            assert_eq!(json.unwrap().as_array().map(Vec::len), Some(*count), "{place}");
        }
    }
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// One connection to each type of door.
async fn doors(daemon: &Daemon) -> [(&'static str, Box<dyn Socket>); 2] {
    let port = TcpStream::connect(daemon.address).await.unwrap();
    let socket = UnixStream::connect(daemon.folder.path().join("socket")).await.unwrap();
    [("port", Box::new(port)), ("socket", Box::new(socket))]
}

async fn websocket(daemon: &Daemon, socket: Box<dyn Socket>) -> WebSocketStream<Box<dyn Socket>> {
    let mut request = format!("ws://{}/rpc", daemon.address).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", daemon.token).parse().unwrap());
    tokio_tungstenite::client_async(request, socket).await.unwrap().0
}

async fn next_text(socket: &mut WebSocketStream<Box<dyn Socket>>) -> String {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return text.to_string(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_id_is_answered_over_a_websocket() {
    const LAST: &str = r#"{"jsonrpc":"2.0","id":"last","method":"get_version"}"#;
    let daemon = Daemon::start().await;
    for (door, socket) in doors(&daemon).await {
        let mut socket = websocket(&daemon, socket).await;
        for (message, wanted) in table() {
            let text = String::from_utf8(message.clone()).unwrap();
            socket.send(Message::text(text)).await.unwrap();
            socket.send(Message::text(LAST)).await.unwrap();
            let first = next_text(&mut socket).await;
            let answer = if first.contains(r#""id":"last""#) {
                None
            } else {
                assert!(next_text(&mut socket).await.contains(r#""id":"last""#));
                Some(first)
            };
            check(&message, &wanted, answer.as_deref(), door);
        }
    }
}

#[tokio::test]
async fn every_id_is_answered_at_a_post() {
    let daemon = Daemon::start().await;
    for (message, wanted) in table() {
        for (door, mut socket) in doors(&daemon).await {
            let (status, head, body) = post(&daemon, &mut socket, &message).await;
            match wanted {
                Nothing => {
                    assert_eq!((status, body.as_str()), (204, ""), "{door}");
                    assert!(!head.lines().any(|line| line.starts_with("content-type:")), "{head}");
                    check(&message, &wanted, None, door);
                }
                _ => {
                    assert_eq!(status, 200, "{door}: {body}");
                    check(&message, &wanted, Some(&body), door);
                }
            }
        }
    }
}

async fn post(daemon: &Daemon, socket: &mut Box<dyn Socket>, body: &[u8]) -> (u16, String, String) {
    let head =
        daemon.post_request("").replace("content-length: 0", &format!("content-length: {}", body.len()));
    socket.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn what_is_not_utf_8_is_refused() {
    let message = b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"get_version\"}";
    let daemon = Daemon::start().await;
    for (door, mut socket) in doors(&daemon).await {
        let (status, _, body) = post(&daemon, &mut socket, message).await;
        assert_eq!(status, 200);
        check(message, &UNREADABLE, Some(&body), door);
    }
    // RFC 6455 §8.1; a binary message may contain any bytes.
    for (door, socket) in doors(&daemon).await {
        let mut socket = websocket(&daemon, socket).await;
        socket.send(Message::binary(message.to_vec())).await.unwrap();
        check(message, &UNREADABLE, Some(&next_text(&mut socket).await), door);
        let frame = Frame::message(message.to_vec(), OpCode::Data(Data::Text), true);
        socket.send(Message::Frame(frame)).await.unwrap();
        assert_eq!(close_code(socket).await, CloseCode::Invalid, "{door}");
    }
}

/// Read from the wire: tungstenite would respond, and fail if the daemon has closed the connection by then.
async fn close_code(mut socket: WebSocketStream<Box<dyn Socket>>) -> CloseCode {
    let wire = socket.get_mut();
    loop {
        let (opcode, length) = (wire.read_u8().await.unwrap(), wire.read_u8().await.unwrap());
        let mut payload = vec![0; length.into()];
        wire.read_exact(&mut payload).await.unwrap();
        match opcode {
            0x88 => return u16::from_be_bytes([payload[0], payload[1]]).into(),
            0x89 => {}
            other => panic!("neither a close nor a ping: {other:#x}"),
        }
    }
}

#[tokio::test]
async fn what_breaks_websockets_is_closed_with_its_code() {
    let daemon = Daemon::start().await;
    for (door, socket) in doors(&daemon).await {
        let mut socket = websocket(&daemon, socket).await;
        // Continues a message that has not begun.
        let frame = Frame::message("x", OpCode::Data(Data::Continue), true);
        socket.send(Message::Frame(frame)).await.unwrap();
        assert_eq!(close_code(socket).await, CloseCode::Protocol, "{door}");
    }
}

/// soketto would silently skip what follows it.
#[tokio::test]
async fn a_message_too_large_in_several_frames_ends_the_connection() {
    let daemon = Daemon::start().await;
    let frame = |text: &str, data, is_last| {
        Message::Frame(Frame::message(text.to_owned(), OpCode::Data(data), is_last))
    };
    for (door, socket) in doors(&daemon).await {
        let mut socket = websocket(&daemon, socket).await;
        let request = r#"{"jsonrpc":"2.0","id":7,"method":"get_version"}"#;
        // A message within the limit may come in any number of frames, with a ping in between.
        let (begin, end) = request.split_at(17);
        socket.send(frame(begin, Data::Text, false)).await.unwrap();
        socket.send(Message::Ping(Vec::new().into())).await.unwrap();
        let spaces = " ".repeat((2 << 20) - 1_000);
        socket.send(frame(&spaces, Data::Continue, false)).await.unwrap();
        socket.send(frame(end, Data::Continue, true)).await.unwrap();
        assert!(next_text(&mut socket).await.contains(r#""id":7"#), "{door}");
        socket.send(frame(&spaces, Data::Text, false)).await.unwrap();
        socket.send(frame(&spaces, Data::Continue, true)).await.unwrap();
        let _ = socket.send(frame(request, Data::Text, true)).await;
        let code = tokio::time::timeout(Duration::from_secs(5), close_code(socket)).await;
        assert_eq!(code.expect("it is told"), CloseCode::Size, "{door}");
    }
}

/// And its events follow it.
#[tokio::test]
async fn a_subscription_is_answered_under_every_id() {
    let daemon = Daemon::start().await;
    for (door, socket) in doors(&daemon).await {
        let mut socket = websocket(&daemon, socket).await;
        for (at, id) in
            ["-1", "1.5", "1e3", "18446744073709551616", r#""\u0061""#, "1", "null"].iter().enumerate()
        {
            let call = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"subscribe","params":{{"account":"u{at}@example.org"}}}}"#
            );
            socket.send(Message::text(call)).await.unwrap();
            let answer = next_text(&mut socket).await;
            assert!(
                answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#)),
                "{door}: {answer}"
            );
            let number = serde_json::from_str::<Value>(&answer).unwrap()["result"].clone();
            for _ in 0..3 {
                let seq = daemon.happen(&format!("u{at}@example.org"), 1);
                let event: Value = serde_json::from_str(&next_text(&mut socket).await).unwrap();
                assert_eq!(event["params"]["subscription"], number);
                assert_eq!(event["params"]["result"]["seq"], seq);
            }
            let refused = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"subscribe","params":{{"since":99999999}}}}"#
            );
            socket.send(Message::text(refused)).await.unwrap();
            let answer = next_text(&mut socket).await;
            assert!(
                answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":"#)),
                "{door}: {answer}"
            );
        }
    }
}

/// A peer that writes and never reads: once it cannot be answered, it is not read from.
#[tokio::test]
async fn refusals_pile_up_for_nobody() {
    let daemon = Daemon::start().await;
    let socket: Box<dyn Socket> = Box::new(TcpStream::connect(daemon.address).await.unwrap());
    let mut socket = websocket(&daemon, socket).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let flood = async {
        loop {
            socket.send(Message::text("x")).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), flood).await.is_err());
    assert!(tasks.num_alive_tasks() < before + 10, "{} tasks", tasks.num_alive_tasks() - before);
}
