//! What memory has of a person's profiles: a summary of each. The whole is in the store; here it is only until the
//! store has it.

use std::sync::Arc;

use crate::effect::Ticket;
use crate::model::{Change, Profile, ProfileRecord, ProfileSummary, ProfileUpdate};

/// By source, as in [`crate::ProfileRecord`].
#[derive(Debug, Default)]
pub(crate) struct KnownProfiles {
    pub(crate) vcard4: KnownProfile,
    pub(crate) prose: KnownProfile,
    pub(crate) temp: KnownProfile,
}

/// What one source says.
#[derive(Debug, Default)]
pub(crate) enum KnownProfile {
    /// Nothing.
    #[default]
    Absent,
    /// The store has it.
    Stored(Arc<ProfileSummary>),
    /// The store had it, and has it no longer.
    Lost(Arc<ProfileSummary>),
    /// The store does not have it yet.
    Unsaved(Box<Unsaved>),
}

/// What the store does not have yet.
#[derive(Debug)]
pub(crate) struct Unsaved {
    /// The new profile; absent: there is none now.
    profile: Option<(Arc<ProfileSummary>, Arc<Profile>)>,
    /// It is being written.
    ticket: Option<Ticket>,
}

impl KnownProfiles {
    fn each(&mut self) -> [&mut KnownProfile; 3] {
        [&mut self.vcard4, &mut self.prose, &mut self.temp]
    }

    /// The profile to show: the standard node's, else the Prose clients', else the old vCard.
    pub(crate) fn best(&self) -> Option<&KnownProfile> {
        [&self.vcard4, &self.prose, &self.temp].into_iter().find(|known| known.is_known())
    }

    /// The summary of the profile to show.
    pub(crate) fn summary(&self) -> Option<&Arc<ProfileSummary>> {
        self.best()?.summary()
    }

    /// The profile to show, in full. `found`: what the store has, which may not be what it should have.
    pub(crate) fn whole(&mut self, found: ProfileRecord, seed: u64) -> Option<Arc<Profile>> {
        let ProfileRecord { vcard4, prose, temp } = found;
        let mut each = self.each().into_iter().zip([vcard4, prose, temp]);
        let (best, found) = each.find(|(known, _)| known.is_known())?;
        if let Some(whole) = best.whole() {
            return Some(Arc::clone(whole));
        }
        let summary = Arc::clone(best.summary()?);
        let found = found.filter(|found| summary.is_of(found, seed));
        *best = match found {
            Some(_) => KnownProfile::Stored(summary),
            None => KnownProfile::Lost(summary),
        };
        found
    }

    /// Their size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        [&self.vcard4, &self.prose, &self.temp].into_iter().map(KnownProfile::bytes).sum()
    }

    /// Their total size on disk, in bytes.
    pub(crate) fn stored_bytes(&self) -> usize {
        let all = [&self.vcard4, &self.prose, &self.temp].into_iter().filter_map(KnownProfile::summary);
        all.map(|summary| summary.whole_bytes()).sum()
    }

    /// What is neither in the store nor on its way there.
    pub(crate) fn update(&self) -> ProfileUpdate {
        let Self { vcard4, prose, temp } = self;
        ProfileUpdate { vcard4: vcard4.update(), prose: prose.update(), temp: temp.update() }
    }

    /// What [`Self::update`] returns is on its way.
    pub(crate) fn are_being_saved(&mut self, ticket: Ticket) {
        for known in self.each() {
            if let KnownProfile::Unsaved(unsaved) = known {
                unsaved.ticket.get_or_insert(ticket);
            }
        }
    }

    /// A write has ended. What could not be stored stays here, and goes with the next write.
    pub(crate) fn were_saved(&mut self, ticket: Ticket, stored: bool) {
        for known in self.each() {
            let KnownProfile::Unsaved(unsaved) = known else { continue };
            if unsaved.ticket != Some(ticket) {
                continue;
            }
            unsaved.ticket = None;
            if stored {
                let summary = unsaved.profile.take().map(|(summary, _)| summary);
                *known = summary.map_or(KnownProfile::Absent, KnownProfile::Stored);
            }
        }
    }
}

impl KnownProfile {
    /// It is known from the store.
    pub(crate) fn stored(summary: Option<ProfileSummary>) -> Self {
        summary.map_or(Self::Absent, |summary| Self::Stored(Arc::new(summary)))
    }

    pub(crate) fn summary(&self) -> Option<&Arc<ProfileSummary>> {
        match self {
            Self::Absent => None,
            Self::Stored(summary) | Self::Lost(summary) => Some(summary),
            Self::Unsaved(unsaved) => unsaved.profile.as_ref().map(|(summary, _)| summary),
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.summary().is_some()
    }

    /// The whole, unless only the store has it.
    pub(crate) fn whole(&self) -> Option<&Arc<Profile>> {
        match self {
            Self::Unsaved(unsaved) => unsaved.profile.as_ref().map(|(_, whole)| whole),
            Self::Absent | Self::Stored(_) | Self::Lost(_) => None,
        }
    }

    /// Whether the source said this before, and the store has it or will have it.
    pub(crate) fn is_known_to_be(&self, profile: Option<&ProfileSummary>) -> bool {
        self.summary().map(Arc::as_ref) == profile && !matches!(self, Self::Lost(_))
    }

    /// The source says something new.
    pub(crate) fn set(&mut self, profile: Option<(ProfileSummary, Profile)>) {
        let profile = profile.map(|(summary, whole)| (Arc::new(summary), Arc::new(whole)));
        *self = Self::Unsaved(Box::new(Unsaved { profile, ticket: None }));
    }

    fn update(&self) -> Change<Arc<Profile>> {
        match self {
            Self::Unsaved(unsaved) if unsaved.ticket.is_none() => match &unsaved.profile {
                Some((_, whole)) => Change::Set(Arc::clone(whole)),
                None => Change::Remove,
            },
            _ => Change::Keep,
        }
    }

    fn bytes(&self) -> usize {
        let whole = |whole: &Arc<Profile>| size_of::<Profile>() + whole.bytes();
        self.summary().map_or(0, |summary| summary.bytes()) + self.whole().map_or(0, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;

    fn named(name: &str) -> Profile {
        Profile { full_name: Some(name.to_owned()), ..Profile::default() }
    }

    fn stored(profile: &Profile) -> KnownProfile {
        KnownProfile::stored(Some(ProfileSummary::of(profile, SEED)))
    }

    fn record(vcard4: Option<Profile>) -> ProfileRecord {
        ProfileRecord { vcard4: vcard4.map(Arc::new), temp: Some(named("temp").into()), prose: None }
    }

    #[test]
    fn an_older_profile_in_the_store_is_not_shown() {
        let profile = Profile { note: Some("new".to_owned()), ..named("Anna") };
        let mut known = KnownProfiles { vcard4: stored(&profile), ..KnownProfiles::default() };
        for found in [None, Some(named("Anna")), Some(named("Ben"))] {
            assert_eq!(known.whole(record(found), SEED), None);
            assert!(matches!(known.vcard4, KnownProfile::Lost(_)));
        }
        assert_eq!(known.whole(record(Some(profile.clone())), SEED).as_deref(), Some(&profile));
        assert!(matches!(known.vcard4, KnownProfile::Stored(_)), "it is back");
        assert_eq!(KnownProfiles::default().whole(record(Some(profile)), SEED), None, "there is none by now");
    }

    #[test]
    fn the_answer_for_an_older_write_says_nothing_about_a_newer_one() {
        let of = |name: &str| Some((ProfileSummary::of(&named(name), SEED), named(name)));
        let mut known = KnownProfiles::default();
        known.vcard4.set(of("one"));
        known.are_being_saved(Ticket(1));
        known.vcard4.set(of("two"));
        known.are_being_saved(Ticket(2));
        known.were_saved(Ticket(1), true);
        assert_eq!(known.vcard4.whole().map(Arc::as_ref), Some(&named("two")));
        let two = ProfileSummary::of(&named("two"), SEED);
        assert!(known.vcard4.is_known_to_be(Some(&two)), "it is on its way");
        known.were_saved(Ticket(2), true);
        assert!(matches!(known.vcard4, KnownProfile::Stored(_)));
        // So is the news that there is none.
        known.vcard4.set(None);
        assert_eq!(known.update().vcard4, Change::Remove);
        known.are_being_saved(Ticket(3));
        known.were_saved(Ticket(3), true);
        assert!(matches!(known.vcard4, KnownProfile::Absent));
    }

    #[test]
    fn a_summary_is_cut_and_still_differs() {
        let long = "\u{20ac}".repeat(1_000);
        let profile = Profile { title: Some(long.clone()), nickname: Some(long.clone()), ..named(&long) };
        let other = Profile { note: Some("other".to_owned()), ..profile.clone() };
        let of = |profile| ProfileSummary::of(profile, SEED).bounded();
        assert!(of(&profile).bytes() <= size_of::<ProfileSummary>() + crate::bounds::SUMMARY_BYTES);
        assert_eq!(of(&profile).nickname.as_deref(), Some(long.as_str()));
        assert_ne!(of(&profile), of(&other));
        assert_eq!(of(&named("Anna")), ProfileSummary::of(&named("Anna"), SEED));
    }
}
