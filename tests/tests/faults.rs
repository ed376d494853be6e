//! Each row of the fault record, short. `tests/faults` runs them long and writes `tests/RECORD.md`.
//!
//! What each row holds things against is tested on planted violations beside it (`src/faults`).

use std::time::Duration;

use prosed_tests::faults::{Scale, cuts, disk, hole, kills, mutations, refusals, restarts, stops};
use prosed_tests::{Kind, on_both_servers};

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

/// Both at once: a minute of silence can't be had shorter.
#[tokio::test]
async fn a_black_hole_is_noticed() {
    let hole = |kind| hole::run(scale(kind, 1), Duration::ZERO);
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
