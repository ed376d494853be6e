//! Profiles and pictures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::params::of_object;
use crate::patch::ProfilePatch;

/// A picture that prosed has fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Avatar {
    /// The SHA-1 of its bytes, in hexadecimal. Different pictures have different ids.
    pub id: String,
    /// Its media type, as in `image/png`, according to its bytes and not to what was announced.
    pub r#type: String,
    /// Its size, in bytes.
    pub bytes: u32,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Its path on this daemon, for use in `<img>`. With `?size=64` it is a square thumbnail of 64, 128 or 256
    /// pixels: other sizes are rounded up, larger ones count as 256. Smaller pictures are not enlarged. The path
    /// survives restarts, and changes when the token is replaced.
    pub url: String,
}

/// A picture with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadedAvatar {
    /// The picture.
    #[serde(flatten)]
    pub avatar: Avatar,
    /// Its bytes, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub data: String,
}

/// A profile, as its owner describes themselves: a vCard (RFC 6350).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The nickname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The function in the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// E-mail addresses, in the owner's order.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Telephone numbers, in the owner's order.
    #[serde(default)]
    pub phones: Vec<String>,
    /// Web addresses, in the owner's order. A peer wrote them: check the scheme before you open one.
    #[serde(default)]
    pub urls: Vec<String>,
    /// The postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The birthday, as the owner wrote it (RFC 6350 §6.2.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birthday: Option<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The part of a profile shown with contacts and accounts. In rosters, lists and events each text has at most 256
/// characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileSummary {
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The nickname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// A postal address (RFC 6350 §6.3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// The town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// The region or state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// The parameters of `set_avatar`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetAvatarParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The image's media type. Optional: the bytes decide.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// A GIF, JPEG, PNG or WebP in base64. Empty: remove the picture.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub data: String,
}

/// The answer to `set_avatar`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedAvatar {
    /// The id under which it is published. Absent if it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The parameters of `set_profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetProfileParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The changes: absent fields stay unchanged, null removes a field. A note has at most 4000 characters, any other
    /// text 1000, and a list 20 entries.
    #[serde(deserialize_with = "of_object")]
    pub profile: ProfilePatch,
}

/// The parameters of `load_profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadProfileParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whose profile: a bare JID, which may be our own.
    pub jid: String,
    /// Query the server again, even if the profile is known.
    #[serde(default)]
    pub refresh: bool,
}
