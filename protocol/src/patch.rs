//! Partial changes: only what is named changes (JSON Merge Patch, RFC 7396).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::params::Object;
use crate::profile::Profile;

/// What happens to one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Unchanged: absent on the wire.
    #[default]
    Keep,
    /// Removed: null on the wire.
    Remove,
    /// Set to this.
    Set(T),
}

impl<T> Patch<T> {
    /// Whether it stays unchanged.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl<T> From<T> for Patch<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Remove => serializer.serialize_none(),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Remove, Self::Set))
    }
}

/// The same for an object.
fn patch_of_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Patch<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map_or(Patch::Remove, |Object(value)| Patch::Set(value)))
}

impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("PatchOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // With a title, to distinguish it from the null of an optional field, which is never sent.
        let nothing = json_schema!({"type": "null", "title": "Remove"});
        json_schema!({"anyOf": [generator.subschema_for::<T>(), nothing]})
    }
}

/// Changes to a profile. Absent fields stay unchanged; null, an empty text or an empty list removes the field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfilePatch {
    /// The full name.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub full_name: Patch<String>,
    /// The nickname.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub nickname: Patch<String>,
    /// The organization.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub organization: Patch<String>,
    /// The job title.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub title: Patch<String>,
    /// The function in the organization.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub role: Patch<String>,
    /// All e-mail addresses.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub emails: Patch<Vec<String>>,
    /// All telephone numbers.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub phones: Patch<Vec<String>>,
    /// All web addresses.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub urls: Patch<Vec<String>>,
    /// The postal address, changed in the same way.
    #[serde(default, skip_serializing_if = "Patch::is_keep", deserialize_with = "patch_of_object")]
    pub address: Patch<AddressPatch>,
    /// The birthday (RFC 6350 §6.2.5).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub birthday: Patch<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub note: Patch<String>,
}

/// Changes to a postal address. Absent fields stay unchanged; null or an empty text removes the field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressPatch {
    /// Street and number.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub street: Patch<String>,
    /// The town.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub locality: Patch<String>,
    /// The region or state.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub region: Patch<String>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub postal_code: Patch<String>,
    /// The country.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub country: Patch<String>,
}

impl From<Option<String>> for Patch<String> {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Remove, Self::Set)
    }
}

/// The whole profile: absent fields are removed.
impl From<Profile> for ProfilePatch {
    fn from(profile: Profile) -> Self {
        Self {
            full_name: profile.full_name.into(),
            nickname: profile.nickname.into(),
            organization: profile.organization.into(),
            title: profile.title.into(),
            role: profile.role.into(),
            emails: profile.emails.into(),
            phones: profile.phones.into(),
            urls: profile.urls.into(),
            address: profile.address.map_or(Patch::Remove, |address| {
                Patch::Set(AddressPatch {
                    street: address.street.into(),
                    locality: address.locality.into(),
                    region: address.region.into(),
                    postal_code: address.postal_code.into(),
                    country: address.country.into(),
                })
            }),
            birthday: profile.birthday.into(),
            note: profile.note.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let wire = json!({"nickname": "Mo", "note": null, "emails": [], "address": {"street": null}});
        let patch: ProfilePatch = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!((&patch.full_name, &patch.note), (&Patch::Keep, &Patch::Remove));
        assert_eq!(patch.nickname, Patch::Set("Mo".to_owned()));
        assert_eq!(patch.emails, Patch::Set(vec![]));
        assert_eq!(
            patch.address,
            Patch::Set(AddressPatch { street: Patch::Remove, ..AddressPatch::default() })
        );
        assert_eq!(serde_json::to_value(&patch).unwrap(), wire);
        for wrong in [json!({"nickname": 5}), json!({"nicname": "Mo"}), json!({"emails": "a@b"})] {
            assert!(serde_json::from_value::<ProfilePatch>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_whole_profile_removes_what_it_lacks() {
        let profile = Profile { nickname: Some("Mo".to_owned()), ..Profile::default() };
        let patch = serde_json::to_value(ProfilePatch::from(profile)).unwrap();
        assert_eq!((&patch["nickname"], &patch["emails"]), (&json!("Mo"), &json!([])));
        assert!(["fullName", "address", "note"].iter().all(|part| patch[part].is_null()), "{patch}");
        assert_eq!(patch.as_object().unwrap().len(), 11);
    }
}
