//! Pictures and profiles.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prosed_protocol::api::{self, Done, Method};
use prosed_protocol::endpoint::Endpoint;
use prosed_protocol::{ApiError, ContactParams, ErrorKind, LoadProfileParams, SetAvatarParams};
use serde_json::{Map, Value, json};

use super::{Prosed, ask};
use crate::arguments::{Fields, SetProfile};
use crate::failure::Failure;
use crate::open::console;
use crate::output::Output;
use crate::render;

/// What fits into a request of 2 MiB in base64. prosed accepts less.
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
    let Some(file) = file else {
        let port = Endpoint::read(prosed.dir()?).ok().and_then(|endpoint| console(&endpoint.url?));
        if output.is_terminal()
            && let (Some(port), Some(path)) = (port, avatar["url"].as_str())
        {
            avatar["url"] = format!("{}{path}", port.trim_end_matches('/')).into();
        }
        return output.one(avatar, |avatar, look| {
            render::contacts::avatar(avatar, look) + &render::line("To save it, add --output FILE.")
        });
    };
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
    output.one(avatar, render::contacts::avatar)
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
    output.one(ask::<api::LoadProfile>(&client, params).await?, render::contacts::profile)
}

/// Publishes a picture, or removes ours if `picture` is absent.
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
    output.one(prosed.ask::<api::SetAvatar>(params).await?, render::contacts::published)
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
        // prosed would remove the picture.
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
    let patch = match given.patch {
        Some(patch) => super::json(&patch)?,
        None => named(given.fields).into(),
    };
    // As JSON, so that newer fields are kept.
    let mut params = json!({"profile": patch});
    if let Some(account) = prosed.account() {
        params["account"] = account.into();
    }
    let answer = prosed.client().await?.call_raw(api::SetProfile::NAME, params).await?;
    output.one(answer, |_: &Done, _| "The profile is published.\n".to_owned())
}

/// A patch of the given options; an empty value removes a field.
fn named(fields: Fields) -> Map<String, Value> {
    let Fields { full_name, nickname, organization, title, role, birthday, note, .. } = fields;
    let mut patch = texts([
        ("fullName", full_name),
        ("nickname", nickname),
        ("organization", organization),
        ("title", title),
        ("role", role),
        ("birthday", birthday),
        ("note", note),
    ]);
    for (name, list) in [("emails", fields.emails), ("phones", fields.phones), ("urls", fields.urls)] {
        if !list.is_empty() {
            let list = list.into_iter().filter(|item| !item.is_empty()).map(Value::from);
            patch.insert(name.to_owned(), list.collect());
        }
    }
    let address = texts([
        ("street", fields.street),
        ("locality", fields.locality),
        ("region", fields.region),
        ("postalCode", fields.postal_code),
        ("country", fields.country),
    ]);
    if !address.is_empty() {
        patch.insert("address".to_owned(), address.into());
    }
    patch
}

fn texts<const N: usize>(texts: [(&str, Option<String>); N]) -> Map<String, Value> {
    let named = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    named.map(|(name, text)| (name, if text.is_empty() { Value::Null } else { text.into() })).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn only_what_is_named_is_changed() {
        let arguments = ["prosectl", "set-profile", "--nickname", "Mo", "--note", "", "--email", ""];
        let arguments = arguments.into_iter().chain(["--country", "Italy", "--street", ""]);
        let Command::SetProfile(given) = Arguments::parse_from(arguments).command else { panic!() };
        assert_eq!(
            Value::from(named(given.fields)),
            json!({"nickname": "Mo", "note": null, "emails": [], "address": {"country": "Italy", "street": null}})
        );
    }
}
