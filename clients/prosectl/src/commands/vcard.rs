//! Pictures and profiles.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prosed_protocol::api::{self, Done, Method};
use prosed_protocol::{ApiError, ContactParams, ErrorKind, LoadProfileParams, SetAvatarParams};
use serde_json::{Map, Value, json};

use super::{Prosed, ask};
use crate::arguments::{Fields, SetProfile};
use crate::failure::Failure;
use crate::output::Output;
use crate::people;

/// What fits into a request of 2 MiB, in base64. prosed takes smaller ones only.
const MAX_PICTURE_BYTES: u64 = 1_500_000;

pub(crate) async fn avatar(
    prosed: &Prosed,
    jid: Option<String>,
    file: Option<PathBuf>,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = prosed.client().await?;
    let jid = prosed.jid_or_own(&client, jid).await?;
    let params = ContactParams { account: prosed.account(), jid };
    let mut avatar = ask::<api::LoadAvatar>(&client, params).await?;
    let Some(file) = file else { return output.one(avatar, people::contacts::avatar) };
    let data = avatar.as_object_mut().and_then(|avatar| avatar.remove("data"));
    let data = data.as_ref().and_then(Value::as_str).unwrap_or_default();
    let bytes = STANDARD.decode(data).map_err(|error| Failure::Damaged(error.to_string()))?;
    if file == Path::new("-") {
        let mut out = std::io::stdout();
        if out.is_terminal() {
            return Err(Failure::Terminal);
        }
        return out.write_all(&bytes).and_then(|()| out.flush()).map_err(Failure::Output);
    }
    std::fs::write(&file, bytes).map_err(|error| Failure::File(file, error))?;
    output.one(avatar, people::contacts::avatar)
}

pub(crate) async fn profile(
    prosed: &Prosed,
    jid: Option<String>,
    refresh: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = prosed.client().await?;
    let jid = prosed.jid_or_own(&client, jid).await?;
    let params = LoadProfileParams { account: prosed.account(), jid, refresh };
    output.one(ask::<api::LoadProfile>(&client, params).await?, people::contacts::profile)
}

/// No picture: ours is taken away.
pub(crate) async fn set_avatar(
    prosed: &Prosed,
    picture: Option<PathBuf>,
    output: &mut Output,
) -> Result<(), Failure> {
    let data = match picture {
        Some(picture) => STANDARD.encode(read(&picture)?),
        None => String::new(),
    };
    let params = SetAvatarParams { account: prosed.account(), media_type: None, data };
    output.one(prosed.ask::<api::SetAvatar>(params).await?, people::contacts::published)
}

fn read(picture: &Path) -> Result<Vec<u8>, Failure> {
    let input: Box<dyn Read> = if picture == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(picture).map_err(|error| Failure::Unreadable(picture.to_owned(), error))?)
    };
    let mut bytes = Vec::new();
    input
        .take(MAX_PICTURE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Unreadable(picture.to_owned(), error))?;
    if bytes.is_empty() {
        // To prosed that would mean to take the picture away.
        return Err(Failure::from(ApiError::new(ErrorKind::InvalidMedia).text("it is empty")));
    }
    if bytes.len() as u64 > MAX_PICTURE_BYTES {
        return Err(Failure::from(ApiError::new(ErrorKind::InvalidMedia).text("it is too large")));
    }
    Ok(bytes)
}

pub(crate) async fn set_profile(
    prosed: &Prosed,
    given: SetProfile,
    output: &mut Output,
) -> Result<(), Failure> {
    let whole = given.whole.as_deref().map(super::json).transpose()?;
    let client = prosed.client().await?;
    let profile = match whole {
        Some(whole) => whole,
        None => {
            let jid = prosed.jid_or_own(&client, None).await?;
            // As the server has it now: another device may have changed it.
            let params = LoadProfileParams { account: prosed.account(), jid, refresh: true };
            let mut profile = match ask::<api::LoadProfile>(&client, params).await {
                Err(failure) if failure.kind() == Some(ErrorKind::NotFound) => json!({}),
                other => other?,
            };
            if let Some(profile) = profile.as_object_mut() {
                change(profile, given.fields);
            }
            profile
        }
    };
    // As JSON: of what is newer than we are, nothing gets lost.
    let mut params = json!({"profile": profile});
    if let Some(account) = prosed.account() {
        params["account"] = account.into();
    }
    let answer = client.call_raw(api::SetProfile::NAME, params).await?;
    output.one(answer, |_: &Done, _| "The profile is published.\n".to_owned())
}

/// Puts the named parts into the profile, and leaves the others.
fn change(profile: &mut Map<String, Value>, fields: Fields) {
    let Fields { full_name, nickname, organization, title, role, birthday, note, .. } = fields;
    let texts = [
        ("fullName", full_name),
        ("nickname", nickname),
        ("organization", organization),
        ("title", title),
        ("role", role),
        ("birthday", birthday),
        ("note", note),
    ];
    texts.into_iter().for_each(|(name, text)| set(profile, name, text));
    for (name, list) in [("emails", fields.emails), ("phones", fields.phones), ("urls", fields.urls)] {
        if !list.is_empty() {
            let list = list.into_iter().filter(|item| !item.is_empty()).map(Value::from);
            profile.insert(name.to_owned(), list.collect());
        }
    }
    let parts = [
        ("street", fields.street),
        ("locality", fields.locality),
        ("region", fields.region),
        ("postalCode", fields.postal_code),
        ("country", fields.country),
    ];
    if parts.iter().any(|(_, part)| part.is_some()) {
        let mut address = match profile.remove("address") {
            Some(Value::Object(address)) => address,
            _ => Map::new(),
        };
        parts.into_iter().for_each(|(name, part)| set(&mut address, name, part));
        if !address.is_empty() {
            profile.insert("address".to_owned(), address.into());
        }
    }
}

fn set(object: &mut Map<String, Value>, name: &str, text: Option<String>) {
    match text {
        None => {}
        Some(text) if text.is_empty() => {
            object.remove(name);
        }
        Some(text) => {
            object.insert(name.to_owned(), text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn what_is_not_named_stays() {
        let arguments = ["prosectl", "set-profile", "--nickname", "Mo", "--note", "", "--email", ""];
        let arguments = arguments.into_iter().chain(["--country", "Italy", "--street", ""]);
        let Command::SetProfile(given) = Arguments::parse_from(arguments).command else { panic!() };
        let mut profile = json!({"fullName": "Romeo", "note": "old", "emails": ["a@b"], "phones": ["1"],
            "address": {"street": "old", "locality": "Verona"}, "new": {"a": 1}});
        change(profile.as_object_mut().unwrap(), given.fields);
        assert_eq!(
            profile,
            json!({"fullName": "Romeo", "nickname": "Mo", "emails": [], "phones": ["1"],
                   "address": {"locality": "Verona", "country": "Italy"}, "new": {"a": 1}})
        );
    }
}
