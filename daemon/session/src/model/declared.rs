//! What somebody has declared about something optional.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What somebody has said about their picture, or about anything else that they need not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Declared<T> {
    /// Nothing that we know.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// There is this.
    Present(T),
}

impl<T> Declared<T> {
    /// What there is, or `Absent`.
    pub fn of(present: Option<T>) -> Self {
        present.map_or(Self::Absent, Self::Present)
    }

    /// What there is, if anything.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(present) => Some(present),
            Self::Unknown | Self::Absent => None,
        }
    }

    /// The same, by value.
    pub fn into_present(self) -> Option<T> {
        match self {
            Self::Present(present) => Some(present),
            Self::Unknown | Self::Absent => None,
        }
    }

    /// The same, to change.
    pub fn present_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Present(present) => Some(present),
            Self::Unknown | Self::Absent => None,
        }
    }

    /// Whether nothing has been said.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// Encoded as an option in an option, as the cache always had it: one that was written before reads the same.
impl<T: Serialize> Serialize for Declared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (!self.is_unknown()).then(|| self.present()).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Declared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<Option<T>>::deserialize(deserializer).map(|said| said.map_or(Self::Unknown, Self::of))
    }
}
