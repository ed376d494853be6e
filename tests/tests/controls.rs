//! Negative controls: with a guard taken out of the real daemon, the fault record's row for it must find what the
//! guard prevents. A row that then finds nothing would never prove anything.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use prosed_tests::faults::{
    Record, Scale, apart, attacks, black_hole, cuts, disk, kills, mutations, refusals, restarts, stops,
};
use prosed_tests::{Daemon, Kind, negative_controls};
use tokio::runtime::Runtime;

/// Any seed. Rows that depend on chance are repeated: a row that is blind to a guard misses it each time.
const SEEDS: std::ops::Range<u64> = 20_000..20_006;

/// Rows at once: they wait most of the time.
const AT_ONCE: usize = 4;

type Row = fn(&Runtime, Scale) -> Record;

/// A guard, the row that tests it, how often the row breaks things, and everything that it must report.
type Control = (&'static str, Row, Kind, usize, &'static [&'static str]);

const ATTACKS: Row = |runtime, scale| runtime.block_on(attacks::run(scale));
const CUTS: Row = |runtime, scale| runtime.block_on(cuts::run(scale));
const KILLS: Row = |runtime, scale| runtime.block_on(kills::run(scale));
const RESTARTS: Row = |runtime, scale| runtime.block_on(restarts::run(scale, Duration::from_secs(2)));
const MUTATIONS: Row = |runtime, scale| runtime.block_on(mutations::run(scale, usize::MAX));
const HOLE: Row = |runtime, scale| runtime.block_on(black_hole::run(scale, Duration::ZERO));
const PASSWORD: Row = |runtime, scale| runtime.block_on(refusals::wrong_password(scale));
const CONFLICT: Row = |runtime, scale| runtime.block_on(refusals::conflict(scale));
const STOPS: Row = |runtime, scale| runtime.block_on(stops::run(scale));
const SECOND: Row = |runtime, scale| runtime.block_on(stops::second(scale));
const DISK: Row = |runtime, scale| runtime.block_on(disk::run(scale));

/// The longest first.
#[rustfmt::skip]
const CONTROLS: &[Control] = &[
    ("probe", HOLE, Kind::Prosody, 1, &["noticed false"]),
    ("roster-asked-again", CUTS, Kind::Prosody, 9, &["stranger@prosed.test"]),
    ("refusal-is-final", PASSWORD, Kind::Prosody, 1, &["connections"]),
    ("stop-deadlines", STOPS, Kind::Prosody, 2, &["it took"]),
    ("received-count", CUTS, Kind::Prosody, 1, &["after an outage: anna0@prosed.test said"]),
    ("changes-compared", CUTS, Kind::Prosody, 9, &["what was said before"]),
    ("image-fits-its-name", MUTATIONS, Kind::Prosody, 9, &["another picture"]),
    ("damage-set-aside", MUTATIONS, Kind::Prosody, 9, &["ended while starting"]),
    ("conflict-is-final", CONFLICT, Kind::Prosody, 1, &["thrown out in turn"]),
    // Prosody itself says who is not there, where it is asked.
    ("presences-doubted", RESTARTS, Kind::Ejabberd, 1, &["is shown as"]),
    ("back-off", RESTARTS, Kind::Prosody, 1, &["connects in a minute"]),
    ("kept-before-answered", KILLS, Kind::Prosody, 9, &["after kill"]),
    ("event-numbers", KILLS, Kind::Prosody, 4, &["numbers in life"]),
    ("whole-files", KILLS, Kind::Prosody, 8, &["is None, not"]),
    ("failed-writes-told", DISK, Kind::Prosody, 2, &["was acknowledged"]),
    ("lock", SECOND, Kind::Prosody, 1, &["second daemon 1"]),
    ("iterations", ATTACKS, Kind::Prosody, 1, &["FewIterations: a login", "ManyIterations: within"]),
    ("certificate", ATTACKS, Kind::Prosody, 1, &["WrongName: a login", "Expired: a login", "Untrusted: a login"]),
    ("tls", ATTACKS, Kind::Prosody, 1, &["StrippedStarttls: the password was said"]),
    ("plain-text", ATTACKS, Kind::Prosody, 1, &["InjectedText: a login"]),
    ("server-proof", ATTACKS, Kind::Prosody, 1, &["WrongSignature: a login", "NoSignature: a login", "TokenWithoutProof: a login", "TokenRefused: a login"]),
    ("challenge", ATTACKS, Kind::Prosody, 1, &["NoChallenge: a login"]),
    ("nonce", ATTACKS, Kind::Prosody, 1, &["ForeignNonce: a login"]),
    ("anonymous", ATTACKS, Kind::Prosody, 1, &["Anonymous: a login"]),
    ("no-step-down", ATTACKS, Kind::Prosody, 1, &["StepDown: a login", "StepDown: the password was said", "Unbound: a login", "WeakerHash: a login", "ForShow: a login"]),
    ("offer-hash", ATTACKS, Kind::Prosody, 1, &["ChangedOffer: a login"]),
    ("before-login", ATTACKS, Kind::Prosody, 1, &["DeepFeatures: the process is gone, signal"]),
    ("bound-account", ATTACKS, Kind::Prosody, 1, &["ForeignAccount: a login", "TokenForeignAccount: a login", "BoundForeign: a login"]),
    ("channel-binding", ATTACKS, Kind::Prosody, 1, &["Relayed: a login"]),
    ("token-binding", ATTACKS, Kind::Prosody, 1, &["TokenRelayed: a login"]),
    ("same-session", ATTACKS, Kind::Prosody, 1, &["ResumedOther: a login"]),
    ("true-count", ATTACKS, Kind::Prosody, 1, &["ResumedTooMuch: a login"]),
    ("inline-fits", ATTACKS, Kind::Prosody, 1, &["ResumedUnasked: a login", "ResumedAndBound: a login", "BoundUnasked: a login", "NotBound: a login"]),
];

#[test]
fn each_row_misses_its_guard() {
    let left = Mutex::new(CONTROLS.iter());
    let blind = Mutex::new(Vec::new());
    let next = || left.lock().expect("no row panics").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(control) = next() {
                    if let Err(said) = misses(control) {
                        blind.lock().expect("no row panics").push(said);
                    }
                }
            });
        }
    });
    let blind = blind.into_inner().expect("no row panics");
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}

/// Whether the row finds the effect of taking the guard out; else what it reported.
fn misses(&(guard, row, kind, times, says): &Control) -> Result<(), String> {
    let mut said = Vec::new();
    for seed in SEEDS {
        let begun = Instant::now();
        let scale = Scale::new(kind, times, seed).without(guard);
        let record = apart(move |runtime| row(runtime, scale));
        println!("without {guard}: {:.0} s, {}", begun.elapsed().as_secs_f64(), record.violations.join("; "));
        let found = |says: &&str| record.violations.iter().any(|violation| violation.contains(says));
        if says.iter().all(found) {
            return Ok(());
        }
        said.extend(record.violations);
    }
    Err(format!("without {guard} the row did not say {says:?}, but {said:?}"))
}

/// Here, or in a test of its own.
#[test]
fn every_guard_has_a_control() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folders = [folder.clone(), folder.join("process"), folder.join("secrets")];
    let entries = folders.map(|folder| fs::read_dir(folder).expect("tests").flatten());
    let tests = entries.into_iter().flatten().filter(|entry| entry.path().is_file());
    let tests: String = tests.map(|test| fs::read_to_string(test.path()).expect("a test")).collect();
    let unused: Vec<_> = negative_controls::guards()
        .into_iter()
        .filter(|guard| !tests.contains(&format!("\"{guard}\"")))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[tokio::test]
async fn a_guard_that_does_not_exist_is_not_taken_out() {
    assert!(negative_controls::guards().contains(&"host"));
    std::panic::catch_unwind(|| Daemon::setup().without("ghost")).expect_err("there is none");
}
