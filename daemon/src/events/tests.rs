use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use prosed_protocol::{AccountChanged, ContactChanged, RosterLoaded, SubscriptionResolved};
use serde_json::{Value, json};

use super::*;

fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

fn log(start: u64) -> Arc<EventLog> {
    Arc::new(EventLog::new(start, Box::new(|next| Ok(next + 1_000_000))).unwrap())
}

fn small_log(most_events: usize, most_bytes: usize) -> Arc<EventLog> {
    let log = log(0);
    log.state().retained = Retained::new(0, most_events, most_bytes);
    log
}

fn append(log: &EventLog, account: &str, name: &str) -> u64 {
    let payload = match name {
        "contactChanged" => EventPayload::ContactChanged(ContactChanged::default()),
        "accountChanged" => EventPayload::AccountChanged(AccountChanged::default()),
        _ => EventPayload::RosterLoaded(RosterLoaded::default()),
    };
    log.append(&jid(account), payload)
}

/// An event of about this many bytes.
fn append_large(log: &EventLog, bytes: usize) -> u64 {
    append_large_of(log, "me@example.org", bytes)
}

fn append_large_of(log: &EventLog, account: &str, bytes: usize) -> u64 {
    let loaded = RosterLoaded { version: Some("x".repeat(bytes)), changed: 0 };
    log.append(&jid(account), EventPayload::RosterLoaded(loaded))
}

/// A change of these contacts.
fn append_changes(log: &EventLog, contacts: &[&str]) -> u64 {
    let ids = contacts.iter().map(|&contact| contact.to_owned()).collect();
    let changed = ContactChanged { ids, ..Default::default() };
    log.append(&jid("me@example.org"), EventPayload::ContactChanged(changed))
}

fn of(account: &str) -> Filter {
    Filter { account: Some(jid(account)), ..Filter::default() }
}

fn seqs(log: &Arc<EventLog>, filter: Filter, since: u64) -> Vec<u64> {
    let mut cursor = log.cursor(filter, Some(since)).unwrap();
    std::iter::from_fn(|| cursor.try_next().unwrap().map(|event| event.seq)).collect()
}

#[test]
fn an_event_is_one_flat_object() {
    let log = log(41);
    let before = Utc::now();
    let changed = ContactChanged { ids: vec!["a@example.org".to_owned()], ..Default::default() };
    assert_eq!(log.append(&jid("me@example.org"), EventPayload::ContactChanged(changed)), 42);
    let event = log.cursor(Filter::default(), Some(41)).unwrap().try_next().unwrap().unwrap();
    let event: Value = serde_json::from_str(event.json.get()).unwrap();
    assert_eq!(event["event"], "contactChanged");
    assert_eq!(event["seq"], 42);
    assert_eq!(event["account"], "me@example.org");
    assert_eq!(event["ids"], json!(["a@example.org"]));
    let time = event["time"].as_str().unwrap();
    assert_eq!(time.len(), "2026-01-01T00:00:00.000Z".len(), "{time}");
    assert!(time.ends_with('Z'));
    assert!(time >= rfc3339(before).as_str());
}

#[test]
fn numbers_never_repeat_across_a_crash() {
    let mark = Arc::new(AtomicU64::new(0));
    let open = || {
        let mark = Arc::clone(&mark);
        let start = mark.load(Ordering::SeqCst);
        // Like a registry: reserves blocks, and writes nothing while a number is within one.
        let reserve = move |wanted: u64| {
            mark.fetch_max(
                if wanted > mark.load(Ordering::SeqCst) { wanted + 20_000 } else { 0 },
                Ordering::SeqCst,
            );
            Ok(mark.load(Ordering::SeqCst))
        };
        EventLog::new(start, Box::new(reserve)).unwrap()
    };
    let log = open();
    for expected in 1..=50_000 {
        assert_eq!(append(&log, "me@example.org", "accountChanged"), expected);
        assert!(expected <= mark.load(Ordering::SeqCst));
    }
    let newest = log.last();
    drop(log);
    assert!(append(&open(), "me@example.org", "accountChanged") > newest);
}

#[test]
fn a_disk_that_fails_for_a_while_stops_no_event() {
    let calls = AtomicU64::new(0);
    let reserve = move |wanted: u64| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(wanted + RESERVE_AHEAD),
        1..=5 => Err(io::Error::other("full")),
        _ => Ok(wanted + 1_000_000),
    };
    let log = EventLog::new(0, Box::new(reserve)).unwrap();
    for expected in 1..=5_000 {
        assert_eq!(append(&log, "me@example.org", "accountChanged"), expected);
    }
    assert!(log.state().reserved > 1_000_000);
    assert!(EventLog::new(0, Box::new(|_| Err(io::Error::other("full")))).is_err());
}

#[tokio::test]
async fn since_then_live_has_no_gap_and_nothing_twice() {
    let log = log(100);
    for _ in 0..10 {
        append(&log, "me@example.org", "contactChanged");
    }
    let mut cursor = log.cursor(Filter::default(), Some(103)).unwrap();
    let writer = {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            for _ in 0..5_000 {
                append(&log, "me@example.org", "contactChanged");
            }
        })
    };
    for expected in 104..=5_110 {
        assert_eq!(cursor.next().await.unwrap().seq, expected);
    }
    writer.join().unwrap();
    assert!(cursor.try_next().unwrap().is_none());
}

#[test]
fn no_since_is_live_only() {
    let log = log(0);
    append(&log, "me@example.org", "contactChanged");
    let mut cursor = log.cursor(Filter::default(), None).unwrap();
    assert!(cursor.next().now_or_never().is_none());
    append(&log, "me@example.org", "contactChanged");
    assert_eq!(cursor.next().now_or_never().unwrap().unwrap().seq, 2);
}

#[test]
fn a_filter_passes_what_is_wanted_and_moves_over_the_rest() {
    let log = log(0);
    let names = Some(vec![EventName::RosterLoaded]);
    let filter = Filter { names, account: Some(jid("me@example.org")) };
    let mut cursor = log.cursor(filter, None).unwrap();
    append(&log, "me@example.org", "contactChanged");
    append(&log, "you@example.org", "rosterLoaded");
    append(&log, "me@example.org", "rosterLoaded");
    append(&log, "me@example.org", "contactChanged");
    assert_eq!(cursor.try_next().unwrap().unwrap().seq, 3);
    assert!(cursor.try_next().unwrap().is_none());
    assert_eq!(cursor.position(), 4);
}

#[test]
fn retention_by_number() {
    let log = small_log(3, usize::MAX);
    for _ in 0..5 {
        append(&log, "me@example.org", "contactChanged");
    }
    assert_eq!(log.cursor(Filter::default(), Some(1)).err(), Some(CursorExpired { oldest: 3 }));
    let mut cursor = log.cursor(Filter::default(), Some(2)).unwrap();
    assert_eq!(cursor.try_next().unwrap().unwrap().seq, 3);
}

#[test]
fn retention_by_bytes_keeps_the_newest_whatever_its_size() {
    let log = small_log(usize::MAX, 1_000);
    for _ in 0..10 {
        append_large(&log, 300);
    }
    assert_eq!(log.state().retained.oldest(None), 9);
    append_large(&log, 5_000);
    assert_eq!(log.state().retained.oldest(None), 11);
    assert!(log.cursor(Filter::default(), Some(10)).unwrap().try_next().unwrap().is_some());
}

#[test]
fn an_account_that_floods_loses_its_own_past_and_nobody_elses() {
    for log in [small_log(100, usize::MAX), small_log(usize::MAX, 40_000)] {
        let first = append_large_of(&log, "you@example.org", 300);
        let mut slow = log.cursor(of("you@example.org"), Some(0)).unwrap();
        for _ in 0..1_000 {
            append_large(&log, 300);
        }
        let second = append_large_of(&log, "you@example.org", 300);
        assert!(log.state().retained.len() <= 101 && log.state().retained.bytes() <= 50_000);
        assert_eq!(seqs(&log, of("you@example.org"), 0), [first, second]);
        assert_eq!(slow.try_next().unwrap().unwrap().seq, first);
        assert!(log.cursor(of("me@example.org"), Some(0)).is_err());
        let expired = log.cursor(Filter::default(), Some(0)).err().unwrap();
        assert_eq!(seqs(&log, Filter::default(), expired.oldest - 1).first(), Some(&expired.oldest));
    }
}

#[test]
fn strangers_of_one_domain_push_out_nothing_but_their_own() {
    let log = log(0);
    let first = append(&log, "me@example.org", "rosterLoaded");
    for n in 0..20_000 {
        let jid_text = format!("eve@domain{n}.evil.example");
        let resolved = SubscriptionResolved { jid: jid_text };
        log.append(&jid("me@example.org"), EventPayload::SubscriptionResolved(resolved));
    }
    let last = log.last();
    let expected: Vec<_> = std::iter::once(first).chain(last - 63..=last).collect();
    assert_eq!(seqs(&log, Filter::default(), 0), expected);
}

#[test]
fn accounts_that_flood_alike_share_alike() {
    let log = small_log(100, usize::MAX);
    for n in 0..3_000 {
        append(&log, ["a@example.org", "b@example.org", "b@example.org"][n % 3], "rosterLoaded");
    }
    let retained = |account: &str| {
        let oldest = log.state().retained.oldest(Some(&jid(account)));
        seqs(&log, of(account), oldest - 1).len()
    };
    assert_eq!((retained("a@example.org"), retained("b@example.org")), (50, 50));
}

#[test]
fn of_a_contact_that_floods_the_newest_states_are_retained() {
    let log = log(0);
    let quiet = append_changes(&log, &["quiet@example.org"]);
    let both = append_changes(&log, &["noisy@example.org", "quiet@example.org"]);
    let mut reader = log.cursor(Filter::default(), Some(0)).unwrap();
    for _ in 0..20_000 {
        append_changes(&log, &["noisy@example.org"]);
    }
    // Nothing is lost, and readers continue from wherever they were.
    let last = log.last();
    let mut expected = vec![quiet, both];
    expected.extend(last - 63..=last);
    assert_eq!(seqs(&log, Filter::default(), 0), expected);
    assert_eq!(seqs(&log, Filter::default(), 1_000), expected[2..]);
    let read: Vec<_> = std::iter::from_fn(|| reader.try_next().unwrap().map(|event| event.seq)).collect();
    assert_eq!(read, expected);
    // An event that shows two contacts goes once both have enough newer states.
    for _ in 0..63 {
        append_changes(&log, &["quiet@example.org"]);
    }
    assert_eq!(seqs(&log, Filter::default(), 0)[0], both);
    append_changes(&log, &["quiet@example.org"]);
    assert_eq!(log.state().retained.len(), 128);
}

#[test]
fn what_is_let_go_of_leaves_nothing_behind() {
    let log = small_log(10, usize::MAX);
    for n in 0..1_000 {
        append_changes(&log, &[&format!("c{n}@example.org"), &format!("c{}@example.org", n + 1)]);
    }
    append_large(&log, 10);
    assert_eq!(log.state().retained.len(), 10);
    assert_eq!(log.state().retained.states(), 18);
}

#[test]
fn the_bounds_are_those_of_the_contract() {
    let log = log(0);
    for _ in 0..RETAINED_EVENTS + 5 {
        append(&log, "me@example.org", "contactChanged");
    }
    assert_eq!(log.state().retained.oldest(None), 6);
    assert_eq!((RETAINED_EVENTS, RETAINED_BYTES), (10_000, 16 << 20));
}

#[test]
fn a_number_of_another_life_is_expired() {
    let log = log(1_000);
    assert!(log.cursor(Filter::default(), Some(1_000)).is_ok());
    assert_eq!(log.cursor(Filter::default(), Some(999)).err(), Some(CursorExpired { oldest: 1_001 }));
    assert_eq!(log.cursor(Filter::default(), Some(1_001)).err(), Some(CursorExpired { oldest: 1_001 }));
    assert!(log.cursor(Filter::default(), Some(u64::MAX)).is_err());
}

#[test]
fn a_reader_that_the_log_has_passed_lags_for_good() {
    let log = small_log(3, usize::MAX);
    let mut slow = log.cursor(Filter::default(), None).unwrap();
    append(&log, "me@example.org", "contactChanged");
    assert_eq!(slow.try_next().unwrap().unwrap().seq, 1);
    for _ in 0..3 {
        append(&log, "me@example.org", "contactChanged");
    }
    let mut just = log.cursor(Filter::default(), Some(1)).unwrap();
    append(&log, "me@example.org", "contactChanged");
    assert_eq!(slow.next().now_or_never().unwrap().err(), Some(Lagged { last: 1 }));
    assert!(slow.try_next().is_err());
    assert!(just.try_next().is_err());
}

#[tokio::test]
async fn a_page_of_large_events_ends_early_and_loses_none() {
    let log = log(0);
    for _ in 0..6 {
        append_large(&log, 2_000_000);
    }
    let mut since = 0;
    let mut seqs = Vec::new();
    while since < 6 {
        let page = log.page(Filter::default(), Some(since), 1_000, Duration::ZERO).await.unwrap();
        assert!(page.events.iter().map(|entry| entry.json.get().len()).sum::<usize>() < 2 * PAGE_BYTES);
        seqs.extend(page.events.iter().map(|entry| entry.seq));
        since = page.seq;
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_for_one_event_and_then_takes_what_is_there() {
    let log = log(0);
    let quiet = log.page(Filter::default(), Some(0), 10, Duration::from_secs(5)).await.unwrap();
    assert!(quiet.events.is_empty());
    assert_eq!(quiet.seq, 0);

    let waiting = log.page(Filter::default(), Some(0), 2, Duration::from_secs(5));
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    for _ in 0..3 {
        append(&log, "me@example.org", "contactChanged");
    }
    let page = waiting.await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(page.seq, 2);
}

#[test]
fn a_closed_log_keeps_what_it_has_and_takes_nothing() {
    let log = log(0);
    let mut cursor = log.cursor(Filter::default(), Some(0)).unwrap();
    append(&log, "me@example.org", "rosterLoaded");
    log.close();
    assert_eq!(append(&log, "me@example.org", "accountChanged"), 1);
    assert_eq!(cursor.try_next().unwrap().map(|event| event.seq), Some(1));
    assert!(cursor.try_next().unwrap().is_none());
    assert_eq!(log.last(), 1);
}
