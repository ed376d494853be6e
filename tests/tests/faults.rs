//! A short form of each row of the fault record. `tests/faults` runs them long and writes `tests/RECORD.md`.
//!
//! The checks of each row are tested with planted violations next to it (`src/faults`).

use std::time::Duration;

use prosed_tests::daemon::Setup;
use prosed_tests::faults::{
    Scale, attacks, black_hole, cuts, disk, kills, mutations, refusals, restarts, stops,
};
use prosed_tests::http::bearer;
use prosed_tests::{Daemon, Kind, on_both_servers};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Any; the long form takes another each time.
const SEED: u64 = 20_000;

fn scale(kind: Kind, times: usize) -> Scale {
    Scale::new(kind, times, SEED)
}

on_both_servers!(
    a_wrong_password_is_tried_once,
    a_conflict_is_not_fought_over,
    cuts_lose_nothing_and_double_nothing,
    a_restarted_server_is_spared_and_all_is_right_again,
    what_was_acknowledged_survives_kill_9,
    sigterm_ends_it_at_any_moment,
);

async fn a_wrong_password_is_tried_once(kind: Kind) {
    refusals::wrong_password(scale(kind, 2)).await.assert_clean();
}

async fn a_conflict_is_not_fought_over(kind: Kind) {
    refusals::conflict(scale(kind, 1)).await.assert_clean();
}

async fn cuts_lose_nothing_and_double_nothing(kind: Kind) {
    cuts::run(scale(kind, 12)).await.assert_clean();
}

async fn a_restarted_server_is_spared_and_all_is_right_again(kind: Kind) {
    restarts::run(scale(kind, 1), Duration::from_secs(2)).await.assert_clean();
}

/// Both at the same time: a minute of silence cannot be shortened.
#[tokio::test]
async fn a_black_hole_is_noticed() {
    let hole = |kind| black_hole::run(scale(kind, 1), Duration::ZERO);
    let (prosody, ejabberd) = tokio::join!(hole(Kind::Prosody), hole(Kind::Ejabberd));
    prosody.assert_clean();
    ejabberd.assert_clean();
}

async fn what_was_acknowledged_survives_kill_9(kind: Kind) {
    kills::run(scale(kind, 6)).await.assert_clean();
}

async fn sigterm_ends_it_at_any_moment(kind: Kind) {
    stops::run(scale(kind, 4)).await.assert_clean();
    stops::at_start(scale(kind, 2)).await.assert_clean();
}

#[tokio::test]
async fn a_second_daemon_leaves_with_code_3() {
    stops::second(scale(Kind::Prosody, 2)).await.assert_clean();
}

#[tokio::test]
async fn a_damaged_cache_tells_no_lies_and_is_refilled() {
    mutations::run(scale(Kind::Prosody, 9), 3).await.assert_clean();
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_got_over() {
    disk::run(scale(Kind::Prosody, 2)).await.assert_clean();
}

#[tokio::test]
async fn no_attack_comes_to_a_login() {
    attacks::run(scale(Kind::Prosody, 1)).await.assert_clean();
}

/// Its TCP is up, but nobody is there: pinged every 20 s, gone after a minute. Not without the pings.
#[tokio::test]
async fn a_ui_without_a_sign_of_life_is_let_go() {
    let (guarded, unguarded) =
        tokio::join!(silence(Daemon::setup()), silence(Daemon::setup().without("ping")));
    let (pings, end) = guarded;
    let seconds: Vec<_> = pings.iter().map(|at| at.as_secs()).collect();
    assert!(matches!(seconds[..], [0, 18..24, 38..48, ..]), "{pings:?}");
    assert!(end.is_some_and(|end| (58..72).contains(&end.as_secs())), "{end:?}");
    assert!(unguarded.0.len() <= 1 && unguarded.1.is_none(), "{unguarded:?}");
}

/// When a WebSocket that never says anything was pinged, and when it was hung up on.
async fn silence(setup: Setup) -> (Vec<Duration>, Option<Duration>) {
    let daemon = Daemon::start(setup).await;
    let mut socket = TcpStream::connect(daemon.address()).await.expect("the port is open");
    let head = format!(
        "GET /rpc HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        daemon.address(),
        bearer(&daemon)
    );
    socket.write_all(head.as_bytes()).await.expect("the head is taken");
    // The first ping may come in one piece with the answer's head.
    let mut socket = BufReader::new(socket);
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert_ne!(socket.read_line(&mut answer).await.expect("an answer"), 0, "{answer}");
    }
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let begun = Instant::now();
    let mut pings = Vec::new();
    // A ping is two bytes (RFC 6455 §5.5.2).
    let mut frame = [0; 2];
    while let Ok(read) = timeout_at(begun + Duration::from_secs(75), socket.read_exact(&mut frame)).await {
        match read {
            Ok(_) if frame[0] == 0x89 => pings.push(begun.elapsed()),
            _ => return (pings, Some(begun.elapsed())),
        }
    }
    (pings, None)
}
