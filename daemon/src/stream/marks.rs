//! The marks of which the session has not heard: each is answered once, whatever becomes of the task, the connection or
//! the server.

use std::collections::{BTreeMap, BTreeSet};

use prosed_session::{Mark, Unsent};

/// See the module's description. Later marks are greater, so they are in the order of sending.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<Mark, Fate>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Handed to the task.
    Open,
    /// Meant for a session that was gone by then.
    Unwritten,
}

impl Marks {
    /// The task was handed this stanza.
    pub(super) fn open(&mut self, mark: Mark) {
        self.0.insert(mark, Fate::Open);
    }

    /// This stanza came too late for its session.
    pub(super) fn too_late(&mut self, mark: Mark) {
        self.0.insert(mark, Fate::Unwritten);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those of them that are not answered yet; they are now.
    pub(super) fn answer(&mut self, mut marks: Vec<Mark>) -> Vec<Mark> {
        marks.retain(|mark| self.0.remove(mark).is_some());
        marks
    }

    /// The session is over: answers all the rest. `unwritten`: what the task never wrote.
    pub(super) fn end(&mut self, unwritten: Vec<Mark>) -> Option<Unsent> {
        let never: BTreeSet<Mark> = unwritten.into_iter().collect();
        let mut unsent = Unsent::default();
        for (mark, fate) in std::mem::take(&mut self.0) {
            if fate == Fate::Unwritten || never.contains(&mark) {
                unsent.unwritten.push(mark);
            } else {
                unsent.doubtful.push(mark);
            }
        }
        (unsent != Unsent::default()).then_some(unsent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(numbers: &[u64]) -> Vec<Mark> {
        numbers.iter().copied().map(Mark).collect()
    }

    #[test]
    fn each_mark_is_answered_once_and_in_order() {
        let mut open = Marks::default();
        marks(&[1, 2, 3, 4]).into_iter().for_each(|mark| open.open(mark));
        assert_eq!(open.answer(marks(&[2, 1, 9])), marks(&[2, 1]));
        assert_eq!(open.answer(marks(&[1, 2])), []);
        open.too_late(Mark(5));
        let unsent = Unsent { doubtful: marks(&[3]), unwritten: marks(&[4, 5]) };
        assert_eq!(open.end(marks(&[4, 1])), Some(unsent));
        assert_eq!(open.end(marks(&[4])), None);
    }
}
