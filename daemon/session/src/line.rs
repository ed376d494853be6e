//! A waiting line: things in order of arrival, each once.

use std::collections::BTreeMap;

pub(crate) struct Line<T> {
    last_turn: u64,
    by_turn: BTreeMap<u64, T>,
    turns: BTreeMap<T, u64>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { last_turn: 0, by_turn: BTreeMap::new(), turns: BTreeMap::new() }
    }
}

impl<T: Clone + Ord> Line<T> {
    /// Puts it at the end, unless it is waiting already; returns its turn. Later turns are higher.
    pub(crate) fn put(&mut self, item: &T) -> u64 {
        if let Some(turn) = self.turns.get(item) {
            return *turn;
        }
        self.last_turn += 1;
        self.by_turn.insert(self.last_turn, item.clone());
        self.turns.insert(item.clone(), self.last_turn);
        self.last_turn
    }

    /// Returns the turn that it had.
    pub(crate) fn remove(&mut self, item: &T) -> Option<u64> {
        let turn = self.turns.remove(item)?;
        self.by_turn.remove(&turn);
        Some(turn)
    }

    pub(crate) fn contains(&self, item: &T) -> bool {
        self.turns.contains_key(item)
    }

    pub(crate) fn with_turn(&self, turn: u64) -> Option<&T> {
        self.by_turn.get(&turn)
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_turn.values()
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<T> {
        let (_, item) = self.by_turn.pop_first()?;
        self.turns.remove(&item);
        Some(item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_turn.len().max(self.turns.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_once_in_order_of_arrival() {
        let mut line = Line::default();
        let turns = ["a", "b", "a", "c"].map(|item| line.put(&item));
        assert_eq!((turns, line.len()), ([1, 2, 1, 3], 3));
        assert!(line.contains(&"b") && line.with_turn(2) == Some(&"b"));
        assert_eq!((line.remove(&"b"), line.remove(&"b")), (Some(2), None));
        assert_eq!(line.put(&"b"), 4, "at the end again");
        assert_eq!(line.iter().copied().collect::<Vec<_>>(), ["a", "c", "b"]);
        assert_eq!([line.pop_oldest(), line.pop_oldest()], [Some("a"), Some("c")]);
        assert!(!line.contains(&"a") && !line.is_empty());
        assert_eq!((line.pop_oldest(), line.pop_oldest(), line.len()), (Some("b"), None, 0));
    }
}
