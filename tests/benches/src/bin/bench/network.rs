//! S4: how many round trips a login takes after the bind, on a slow network.

use std::time::Duration;

use prosed_benches::outcome::monotonic_ns;
use prosed_benches::play::Play;
use prosed_tests::Daemon;

use crate::figures::{Row, Sample};
use crate::process::Canned;
use crate::startup::setup;
use crate::ui::Ui;

/// One round trip: everything from the server is delayed by this.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// S4, in round trips.
pub(crate) async fn login(times: usize) -> Vec<Row> {
    let play = Play::parse(&format!("b100d{}", ROUND_TRIP.as_millis())).expect("a play");
    let (mut answered, mut told) = <(Sample, Sample)>::default();
    let trips = |from: u64, to: u64| (to.saturating_sub(from)) as f64 / ROUND_TRIP.as_nanos() as f64;
    for _ in 0..times {
        let mut canned = Canned::start();
        let mut daemon = Daemon::start(setup(&canned)).await;
        let mut ui = Ui::watching(&daemon).await;
        ui.call("login", canned.login(&play)).await;
        let answered_ns = monotonic_ns();
        ui.until(|seen| seen.last).await;
        let told_ns = monotonic_ns();
        daemon.sigterm().await;
        let bound_ns = canned.report()["bound_ns"].as_u64().unwrap_or_default();
        answered.add(trips(bound_ns, answered_ns));
        told.add(trips(answered_ns, told_ns));
    }
    let row = |what: &str, result, at_most| Row {
        goal: "S4",
        what: what.to_owned(),
        figures: format!("a round trip takes {ROUND_TRIP:?}"),
        result,
        unit: "round trips",
        at_most: Some(at_most),
    };
    // Rounding up from half a trip would count one that does not exist.
    vec![
        row("from the bind's result to login's answer", answered, 1.5),
        row("from there until all that the server pushes is told", told, 1.5),
    ]
}
