//! Turns: how long an account may work before the others get their turn. Ready tasks wait in one queue, so it is fair
//! as long as no turn is long.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What is at hand is handled together, so that changes that arrive together are reported together; at most this
/// many, so that callers and timers get their turn …
const BATCH: usize = 256;
/// … and for no longer than this, whatever the stanzas cost: then it is the other accounts' turn.
const TURN: Duration = Duration::from_millis(2);
/// Calls handled with them, so that callers do not depend on what the server sends.
const CALLS: usize = 16;

/// Something that works in turns.
pub(super) trait Worker {
    type Event;
    type End;

    /// Waits for an event, or for the end.
    async fn next(&mut self) -> ControlFlow<Self::End, Self::Event>;
    /// A call that is already waiting.
    fn call_at_hand(&mut self) -> Option<Self::Event>;
    /// Any other event that is already waiting.
    fn event_at_hand(&mut self) -> Option<Self::Event>;
    async fn handle(&mut self, event: Self::Event);
    /// The turn is over: reports its results.
    async fn settle(&mut self);
}

/// Works until the end. `now` is a clock.
pub(super) async fn work<W: Worker>(worker: &mut W, now: impl Fn() -> Instant) -> W::End {
    loop {
        let event = match worker.next().await {
            ControlFlow::Continue(event) => event,
            ControlFlow::Break(end) => return end,
        };
        let is_all = turn(worker, event, &now).await;
        worker.settle().await;
        if !is_all {
            // To the back of the queue: all other ready tasks run first, and sockets are polled.
            tokio::task::yield_now().await;
        }
    }
}

/// Handles an event and others at hand. Returns whether that was all.
async fn turn<W: Worker>(worker: &mut W, event: W::Event, now: &impl Fn() -> Instant) -> bool {
    let begun = now();
    worker.handle(event).await;
    for _ in 0..CALLS {
        let Some(call) = worker.call_at_hand() else { break };
        worker.handle(call).await;
    }
    for _ in 0..BATCH {
        let Some(event) = worker.event_at_hand() else { return true };
        worker.handle(event).await;
        if now() - begun >= TURN {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use tokio::sync::mpsc;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    /// More than any turn: one that gets here never yields.
    const ENDLESS: usize = 100_000;

    /// State shared by all workers of a test.
    struct Stage {
        clock: Cell<Instant>,
        /// Events that the floods have handled.
        flooded: Cell<usize>,
        /// How many of them came between each call or stanza of the honest account and its handling.
        waits: RefCell<Vec<usize>>,
    }

    /// An account that always has something to do.
    struct Flood {
        stage: Rc<Stage>,
        /// What each event costs.
        cost: Duration,
        calls: mpsc::UnboundedReceiver<usize>,
    }

    /// The same for calls: when each was sent, counted in the floods' events. A flood's own event has none.
    type Sent = Option<usize>;

    impl Stage {
        fn new() -> Rc<Self> {
            let clock = Cell::new(Instant::now());
            Rc::new(Self { clock, flooded: Cell::new(0), waits: RefCell::default() })
        }

        fn handled(&self, sent: usize) {
            self.waits.borrow_mut().push(self.flooded.get() - sent);
        }

        fn longest_wait(&self) -> usize {
            *self.waits.borrow().iter().max().expect("somebody waited")
        }
    }

    impl Worker for Flood {
        type Event = Sent;
        type End = ();

        async fn next(&mut self) -> ControlFlow<(), Sent> {
            ControlFlow::Continue(None)
        }

        fn call_at_hand(&mut self) -> Option<Sent> {
            self.calls.try_recv().ok().map(Some)
        }

        fn event_at_hand(&mut self) -> Option<Sent> {
            Some(None)
        }

        async fn handle(&mut self, event: Sent) {
            let Stage { clock, flooded, .. } = &*self.stage;
            match event {
                Some(sent) => self.stage.handled(sent),
                None => flooded.set(flooded.get() + 1),
            }
            assert!(flooded.get() < ENDLESS, "nobody else gets a turn");
            clock.set(clock.get() + self.cost);
        }

        async fn settle(&mut self) {}
    }

    /// An account whose server sends something now and then.
    struct Honest {
        stage: Rc<Stage>,
        stanzas: mpsc::UnboundedReceiver<usize>,
    }

    impl Worker for Honest {
        type Event = usize;
        type End = ();

        async fn next(&mut self) -> ControlFlow<(), usize> {
            self.stanzas.recv().await.map_or(ControlFlow::Break(()), ControlFlow::Continue)
        }

        fn call_at_hand(&mut self) -> Option<usize> {
            None
        }

        fn event_at_hand(&mut self) -> Option<usize> {
            self.stanzas.try_recv().ok()
        }

        async fn handle(&mut self, sent: usize) {
            self.stage.handled(sent);
        }

        async fn settle(&mut self) {}
    }

    /// The most events of two floods, at this cost each, between a stanza of an honest account (or a call to the
    /// first flood) and its handling.
    async fn waits(cost: Duration, is_call: bool) -> usize {
        let stage = Stage::new();
        let clock = stage.clone();
        let floods = LocalSet::new();
        let (call, calls) = mpsc::unbounded_channel();
        let (_nobody, no_calls) = mpsc::unbounded_channel();
        let (send, stanzas) = mpsc::unbounded_channel();
        floods
            .run_until(async move {
                let mut tasks = Vec::new();
                for calls in [calls, no_calls] {
                    let mut flood = Flood { stage: stage.clone(), cost, calls };
                    let clock = clock.clone();
                    tasks.push(spawn_local(async move { work(&mut flood, || clock.clock.get()).await }));
                }
                let mut honest = Honest { stage: stage.clone(), stanzas };
                let honest = spawn_local(async move { work(&mut honest, Instant::now).await });
                for round in 1..=20 {
                    let to = if is_call { &call } else { &send };
                    to.send(stage.flooded.get()).expect("it works");
                    while stage.waits.borrow().len() < round {
                        yield_now().await;
                        assert!(tasks.iter().all(|task| !task.is_finished()), "a flood has ended");
                    }
                }
                drop(send);
                honest.await.expect("the honest account works to the end");
                stage.longest_wait()
            })
            .await
    }

    #[tokio::test]
    async fn others_wait_for_two_milliseconds_of_each_flood() {
        // Twenty in each turn, and one in progress when the time was up.
        for is_call in [false, true] {
            let longest = waits(TURN / 20, is_call).await;
            assert!((1..=2 * 21).contains(&longest), "{longest} events came first");
        }
        // One event, whatever it costs.
        let longest = waits(10 * TURN, false).await;
        assert!(longest <= 2 * 2, "{longest} events came first");
    }

    #[tokio::test]
    async fn what_costs_nothing_is_handled_in_bounded_batches() {
        let longest = waits(Duration::ZERO, false).await;
        assert!(longest > BATCH / 2 && longest <= 2 * (BATCH + 1), "{longest} events came first");
    }
}
